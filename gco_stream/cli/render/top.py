"""The forms in which `top` shows a look at the fleet: a screen, lines for a pipe, JSON."""

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
from gco_stream.cli.render.health import EndpointHealth, as_json, cells, headings, summary
from gco_stream.model.text import printable

# Headings, the summary, the note, and a line for what is left out.
_RESERVED_LINES: Final = 6
# Narrower terminals have no room for what each region reports; WHY names the one that matters.
_MIN_WIDE_WIDTH: Final = 110
_GAP: Final = 3


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of one look at the fleet. `note`: what could not be seen, "" where all could."""

    endpoints: list[EndpointHealth]
    shown: list[EndpointHealth]
    at: datetime
    pods: bool
    note: str


def _rows(view: View, endpoints: Sequence[EndpointHealth]) -> Rows:
    rows = [cells(one, view.at, pods=view.pods) for one in endpoints]
    return Rows(headings(pods=view.pods), rows)


def show(view: View) -> None:
    """Prints one look."""
    if view.note:
        output.warn(view.note)
    output.say(summary(view.endpoints))
    output.show_rows(_rows(view, view.shown))


def live(look: Callable[[], View], interval: float) -> None:
    """Draws the screen anew with each look, until interrupted."""
    console = Console()
    with Live(screen(look(), *console.size), console=console, screen=True, auto_refresh=False) as drawn:
        while True:
            time.sleep(interval)
            drawn.update(screen(look(), *console.size), refresh=True)


def screen(view: View, width: int, height: int) -> RenderableType:
    """What a terminal of that size shows."""
    fitting = view.shown[: max(1, height - _RESERVED_LINES)]
    left_out = len(view.shown) - len(fitting)
    lines = [Text(f"{summary(view.endpoints)}  {view.at:%H:%M:%S}Z", style="bold")]
    if view.note:
        lines.append(Text(printable(view.note), style="yellow"))
    footer = [Text(f"and {left_out} more: --state and --in-region leave out")] if left_out else []
    return Group(*lines, output.as_table(_fitted(_rows(view, fitting), width)), *footer)


def _fitted(rows: Rows, width: int) -> Rows:
    """A row a line: what does not fit is in `-o json`, and in `endpoint get`. The last column has what is left."""
    columns = [
        number for number, heading in enumerate(rows.headings) if width >= _MIN_WIDE_WIDTH or heading != "REGIONS"
    ]
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
    """Prints the fleet, and then each look's changes, until interrupted."""
    shown: dict[str, tuple[str, ...]] = {}
    note, first = "", True
    while True:
        view = look()
        if view.note and view.note != note:
            output.warn(view.note)
        note, rows = view.note, _rows(view, view.shown)
        # Time passes by itself; anything else is a change.
        current = {row[0]: (*row[:-2], row[-1]) for row in rows.rows}
        changed = [row for row in rows.rows if shown.get(row[0]) != current[row[0]]]
        if first or changed:
            for line in output.aligned(Rows(rows.headings, changed))[0 if first else 1 :]:
                output.say(line)
        for name in sorted(shown.keys() - current.keys()):
            output.say(f"{name}  no longer among them")
        shown, first = current, False
        time.sleep(interval)


def documents(look: Callable[[], View], interval: float | None) -> None:
    """Prints each look as JSON, one a line, until interrupted; one alone where `interval` is None."""
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
