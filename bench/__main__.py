"""Runs the benchmarks, prints their results as tables and saves them as JSON."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bench.figures import Figure, Measurement
from bench.fleet import Fleets
from bench.machine import load, machine, versions
from bench.place import control_plane

MEASUREMENTS: Mapping[str, str] = MappingProxyType(
    {
        "latency": "bench.latency",
        "cold-start": "bench.cold_start",
        "rest": "bench.rest",
        "memory": "bench.memory",
        "resync": "bench.resync",
        "load": "bench.load",
        "failover": "bench.failover",
        "recovery": "bench.recovery",
        "polling": "bench.polling",
    }
)
_RESULTS = Path(__file__).with_name("results")
_WIDE = 140
_COLUMNS = ("min", "median", "p99", "max")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Benchmark the real controller on real servers."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(MEASUREMENTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to check that the benchmarks run")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="JSON file for the results (default: bench/results/TIME.json)"
    )
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in MEASUREMENTS]:
        parser.error(f"NAME: invalid value {', '.join(unknown)}: must be one of {', '.join(MEASUREMENTS)}")
    # A file or pipe has no width of its own.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    began = datetime.now(UTC)
    with control_plane(controllers=False) as plane:
        result: dict[str, Any] = {
            "time": began.isoformat(timespec="seconds"),
            "quick": chosen.quick,
            "machine": machine(),
            "versions": versions(plane),
            "commit": _commit(),
            "measurements": {},
        }
    out = chosen.out or _RESULTS / f"{began:%Y%m%dT%H%M%SZ}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    console.print(" · ".join(f"{key} {value}" for key, value in {**result["machine"], **result["versions"]}.items()))
    with closing(Fleets()) as fleets:
        for name in chosen.names or MEASUREMENTS:
            measure: Callable[..., Measurement] = import_module(MEASUREMENTS[name]).measure
            busy = load()
            with console.status(f"{name} ..."):
                made = measure(fleets, quick=chosen.quick)
            result["measurements"][name] = {
                "load": {"before": busy, "after": load()},
                "figures": [figure.as_json() for figure in made.figures],
                "notes": list(made.notes),
            }
            out.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
            _show(console, name, made, busy)
    console.print(f"Saved to {out}")
    return 0


def _show(console: Console, name: str, made: Measurement, busy: Sequence[float]) -> None:
    table = Table(title=f"{name} (load before: {busy[0]:g})", title_justify="left")
    table.add_column("figure")
    for column in ("unit", "n", *_COLUMNS, "target"):
        table.add_column(column, justify="right" if column not in {"unit", "target"} else "left", no_wrap=True)
    for figure in made.figures:
        found = figure.statistics()
        numbers = [_number(found[column]) if column in found else "" for column in _COLUMNS]
        table.add_row(figure.name, figure.unit, str(len(figure.values)), *numbers, _aim(figure))
    console.print(table)
    for note in made.notes:
        console.print(f"  {note}", style="dim")


def _aim(figure: Figure) -> str:
    colour = {True: "green", False: "red"}
    single = len(figure.values) < 2
    return ", ".join(
        f"[{colour[holds]}]{'' if single else name + ' '}≤ {figure.at_most[name]:g}{'' if holds else ' missed'}[/]"
        for name, holds in figure.verdicts().items()
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 or value == 0 else f"{value:.3g}"


def _commit() -> str:
    """The commit of the sources, with a "+" if files are modified. Empty without git."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],  # noqa: S607 - git from PATH
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return answer.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
