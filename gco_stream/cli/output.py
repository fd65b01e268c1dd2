"""Output of commands: tables on a terminal, aligned columns in a pipe, and JSON, YAML or names on request."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gco_stream.cli.errors import USAGE, CommandError
from gco_stream.model.text import printable, terminal_safe
from gco_stream.model.times import parse_time

if TYPE_CHECKING:
    from rich.table import Table

REDACTED: Final = "<redacted>"
_FIRST: Final = ("endpoint_name", "desired_state", "hold", "target_regions", "namespace", "ingress_path", "spec")
_LAST: Final = ("created_at", "updated_at", "region_status")
_COLOURS: Final[Mapping[str, str]] = {
    "running": "green",
    "error": "bold red",
    "deploying": "yellow",
    "creating": "yellow",
    "updating": "yellow",
    "pending": "yellow",
    "stopped": "dim",
    "stopping": "dim",
    "deleted": "dim",
    "deleting": "dim",
}


class Format(StrEnum):
    """Output formats of all commands. Each command accepts a subset."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


def _output_option(*formats: Format, help_text: str, show_default: bool = True) -> Any:
    allowed = f"{', '.join(formats[:-1])} or {formats[-1]}"

    def parse(text: str) -> Format:
        if text not in formats:
            raise CommandError(f"--output: invalid value {text!r}: must be {allowed}", USAGE)
        return Format(text)

    return typer.Option(
        "--output",
        "-o",
        parser=parse,
        autocompletion=lambda: list(formats),
        help=help_text,
        metavar=f"[{'|'.join(formats)}]",
        show_default=show_default,
    )


ItemsOutputOption = Annotated[
    Format | None,
    _output_option(
        Format.JSON, Format.YAML, Format.NAME, help_text="Output format. The default is a table.", show_default=False
    ),
]
TextOutputOption = Annotated[Format, _output_option(Format.TEXT, Format.JSON, help_text="Output format.")]
SecretsOption = Annotated[
    bool, typer.Option("--show-secrets", help="Show the values of env in JSON and YAML. They are redacted otherwise.")
]


@dataclass(frozen=True, slots=True)
class Rows:
    """A text table. On a terminal, cells that contain a state are coloured."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def is_terminal() -> bool:
    """Returns whether standard output is a terminal."""
    return sys.stdout.isatty()


def say(line: str) -> None:
    """Prints one line of output. Control characters are escaped, because items are untrusted."""
    typer.echo(terminal_safe(line))


def say_json(value: object) -> None:
    """Prints a value as indented JSON."""
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def warn(line: str) -> None:
    """Prints a warning to standard error."""
    typer.echo(f"warning: {terminal_safe(line)}", err=True)


def show_rows(rows: Rows) -> None:
    """Prints the rows, as a table on a terminal and as aligned columns in a pipe."""
    if is_terminal():
        from rich.console import Console

        Console().print(as_table(rows))
    else:
        for line in aligned(rows):
            typer.echo(line)


def print_changes(look: Callable[[], Rows], interval: float, *, ignore: str, gone: str) -> None:
    """Prints the rows, then those that changed every `interval` seconds, until interrupted.

    The first column identifies a row. `ignore`: heading of a column that changes all the time. `gone`: what to print
    for a row that no longer exists.
    """
    shown: dict[str, list[str]] | None = None
    while True:
        rows = look()
        ignored = rows.headings.index(ignore)
        current = {row[0]: [*row[:ignored], *row[ignored + 1 :]] for row in rows.rows}
        before = shown or {}
        changed = [row for row in rows.rows if before.get(row[0]) != current[row[0]]]
        for line in aligned(Rows(rows.headings, changed))[0 if shown is None else 1 :]:
            say(line)
        for name in sorted(before.keys() - current.keys()):
            say(f"{name}  {gone}")
        shown = current
        time.sleep(interval)


def as_table(rows: Rows) -> "Table":
    """Formats the rows as a table for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in rows.headings:
        table.add_column(heading, overflow="fold")
    for row in rows.rows:
        # A plain string would be parsed as Rich markup, but names and errors can contain square brackets.
        table.add_row(*(Text(printable(cell), style=_colour(cell)) for cell in row))
    return table


def aligned(rows: Rows) -> list[str]:
    """Formats the headings and rows as lines with aligned columns. Empty cells become "-"."""
    lines = [list(rows.headings), *([printable(" ".join(cell.split())) or "-" for cell in row] for row in rows.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(rows.headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def show_items(items: Iterable[Mapping[str, Any]], form: Format, *, single: bool, secrets: bool) -> None:
    """Prints items as JSON (an array unless `single`), as YAML documents, or as one name per line.

    The items have plain values. `secrets`: whether to show the values of spec.env, which are redacted otherwise.
    """
    shown = [_in_order(item if secrets else redacted(item)) for item in items]
    match form:
        case Format.NAME:
            for item in shown:
                say(item["endpoint_name"])
        case Format.JSON:
            import json

            typer.echo(json.dumps(shown[0] if single else shown, indent=2, default=_jsonable, ensure_ascii=False))
        case Format.YAML:
            import yaml

            documents = [_plain(item) for item in shown]
            typer.echo(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=120), nl=False)


def redacted(item: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of the item with the values of spec.env redacted, because they can be secrets."""
    spec = item.get("spec")
    if not isinstance(spec, Mapping) or not isinstance(spec.get("env"), Mapping):
        return dict(item)
    return {**item, "spec": {**spec, "env": dict.fromkeys(spec["env"], REDACTED)}}


def _in_order(item: Mapping[str, Any]) -> dict[str, Any]:
    first = [name for name in _FIRST if name in item]
    last = [name for name in _LAST if name in item]
    return {name: item[name] for name in (*first, *sorted(item.keys() - {*first, *last}), *last)}


def age(text: str, now: datetime) -> str:
    """Returns the age of an ISO 8601 time (UTC by default), such as 40s, 12m, 3h or 5d; "-" if the time is invalid."""
    moment = parse_time(text)
    if moment is None:
        return "-"
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _colour(cell: str) -> str:
    words = cell.split()
    return next((_COLOURS[word] for word in words if word == "error"), "") or next(
        (_COLOURS[word] for word in words if word in _COLOURS), ""
    )


def _jsonable(value: Any) -> Any:
    match value:
        case Decimal():
            return float(value)
        case set() | frozenset():
            return sorted(value)
        case bytes() | bytearray():
            import base64

            return base64.b64encode(value).decode()
        case _:
            raise TypeError(f"unsupported type {type(value).__name__}")


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case str() | int() | float() | None:
            return value
        case _:
            return _plain(_jsonable(value))
