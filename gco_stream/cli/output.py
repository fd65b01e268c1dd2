"""Output of commands: tables on a terminal, aligned columns in a pipe, and JSON, YAML or names on request."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gco_stream.model.text import printable, terminal_safe

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
    """Output formats that can be selected instead of the default table."""

    JSON = "json"
    YAML = "yaml"
    NAME = "name"


OutputOption = Annotated[
    Format | None,
    typer.Option("--output", "-o", help="Output format. The default is a table.", show_default=False),
]
TextOrJsonOption = Annotated[str, typer.Option("--output", "-o", help="Output format: text or json.", metavar="FORMAT")]
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
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "-"
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
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
