"""Output of `top`: a live screen on a terminal, changed rows in a pipe, or JSON."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from gco_stream.cli import output
from gco_stream.cli.output import Rows
from gco_stream.cli.render.fleet_rows import FleetRow, as_json, cells, headings, summary
from gco_stream.model.text import printable

# Screen lines that are not endpoints: summary, note, headings, and the number of endpoints that do not fit.
_EXTRA_LINES: Final = 6
# Minimum terminal width, in characters, to show these columns. Without REGIONS, MESSAGE still names the region.
_MIN_WIDTHS: Final = {"REGIONS": 110, "SINCE": 70}
_GAP: Final = 3


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot of the fleet.

    `endpoints`: all endpoints, for the summary. `shown`: the filtered and sorted endpoints to list. `pods`: whether to
    show the column PODS. `note`: what could not be read, "" if everything was read.
    """

    endpoints: list[FleetRow]
    shown: list[FleetRow]
    at: datetime
    pods: bool
    note: str


def _rows(view: View, endpoints: Sequence[FleetRow]) -> Rows:
    rows = [cells(one, view.at, pods=view.pods) for one in endpoints]
    return Rows(headings(pods=view.pods), rows)


def show(view: View) -> None:
    """Prints one snapshot."""
    if view.note:
        output.warn(view.note)
    output.say(summary(view.endpoints))
    output.show_rows(_rows(view, view.shown))


def live(look: Callable[[], View], interval: float) -> None:
    """Shows a new snapshot on the screen every `interval` seconds, until interrupted."""
    console = Console()
    with Live(screen(look(), *console.size), console=console, screen=True, auto_refresh=False) as drawn:
        while True:
            time.sleep(interval)
            drawn.update(screen(look(), *console.size), refresh=True)


def screen(view: View, width: int, height: int) -> RenderableType:
    """Returns the content of a terminal with `width` columns and `height` lines."""
    fitting = view.shown[: max(1, height - _EXTRA_LINES)]
    left_out = len(view.shown) - len(fitting)
    lines = [Text(f"{summary(view.endpoints)}  {view.at:%H:%M:%S}Z", style="bold")]
    if view.note:
        lines.append(Text(printable(view.note), style="yellow"))
    footer = [Text(f"and {left_out} more; filter with --state and --in-region")] if left_out else []
    return Group(*lines, output.as_table(_fitted(_rows(view, fitting), width)), *footer)


def _fitted(rows: Rows, width: int) -> Rows:
    """Omits columns and truncates cells so that each row fits on one line. The last column gets the remaining width."""
    columns = [number for number, heading in enumerate(rows.headings) if width >= _MIN_WIDTHS.get(heading, 0)]
    headings = [rows.headings[number] for number in columns]
    limits = [width // 4 if heading in {"NAME", "REGIONS"} else width for heading in headings]
    cells = [
        [_cut(printable(row[number]), limit) for number, limit in zip(columns, limits, strict=True)]
        for row in rows.rows
    ]
    used_width = sum(max(map(len, column)) + _GAP for column in list(zip(headings, *cells, strict=True))[:-1])
    last_width = max(len(headings[-1]), width - used_width - _GAP)
    return Rows(headings, [(*row[:-1], _cut(row[-1], last_width)) for row in cells])


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def changes(look: Callable[[], View], interval: float) -> None:
    """Prints the fleet and then, every `interval` seconds, the rows that changed, until interrupted."""
    note = ""

    def rows() -> Rows:
        nonlocal note
        view = look()
        if view.note and view.note != note:
            output.warn(view.note)
        note = view.note
        return _rows(view, view.shown)

    output.print_changes(rows, interval, ignore="SINCE", gone="no longer listed")


def documents(look: Callable[[], View], interval: float | None) -> None:
    """Prints a snapshot as one line of JSON every `interval` seconds, until interrupted.

    If `interval` is None, prints one snapshot as indented JSON and returns.
    """
    while True:
        value = _document(look())
        if interval is None:
            output.say_json(value)
            return
        typer.echo(orjson.dumps(value).decode())
        time.sleep(interval)


def _document(view: View) -> dict[str, Any]:
    return {
        "at": view.at.isoformat(),
        "endpoints": [as_json(one) for one in view.shown],
        "note": view.note or None,
    }
