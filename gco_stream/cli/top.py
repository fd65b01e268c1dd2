"""`gco-stream top`: the fleet as it stands and changes, what is not as asked first."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gco_stream.cli import output
from gco_stream.cli.access import DEFAULT_TABLE, RegionOption, TableOption, open_table
from gco_stream.cli.failure import USAGE, Failure
from gco_stream.cli.output import Rows, TextOrJsonOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gco_stream.cli.standing import Order, Standing, Verdict
    from gco_stream.model.objects import PodHealth
    from gco_stream.table.user_writes import UserTable

    Pods = Mapping[tuple[str, str], Sequence[PodHealth]]

_CLUSTER_SECONDS: Final = 5.0
_REST_SECONDS: Final = 60.0
_NAMESPACE: Final = ("INFERENCE_NAMESPACE", "gco-inference")
# Headings, the summary, the note, and a line for what is left out.
_LINES_BESIDE: Final = 6
# Narrower terminals have no room for what each region reports; WHY names the one that matters.
_WIDE: Final = 110
_GAP: Final = 3
_VERDICTS: Final = ("error", "waiting", "held", "as-asked")
_ORDERS: Final = ("standing", "name", "updated", "ready")


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of one look at the fleet. `note`: what could not be seen, "" where all could."""

    standings: "list[Standing]"
    shown: "list[Standing]"
    at: datetime
    pods: bool
    note: str


def top(
    *,
    interval: Annotated[
        float, typer.Option("--interval", "-n", min=0.2, max=3600, help="Seconds between two looks.", metavar="SECONDS")
    ] = 5,
    once: Annotated[bool, typer.Option("--once", help="Show the fleet as it is now, and end.")] = False,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            help=f"Only those: {', '.join(_VERDICTS)}; all without it. May be given several times.",
            metavar="STATE",
        ),
    ] = None,
    not_as_asked: Annotated[
        bool, typer.Option("--not-as-asked", help="Short for --state error --state waiting.")
    ] = False,
    sort: Annotated[
        str, typer.Option("--sort", help=f"What comes first: {', '.join(_ORDERS)}.", metavar="ORDER")
    ] = "standing",
    in_region: Annotated[
        str | None,
        typer.Option("--in-region", help="Only endpoints that this region serves; all without it.", metavar="REGION"),
    ] = None,
    pods: Annotated[
        bool | None,
        typer.Option(
            "--pods/--no-pods",
            help="Count the pods of the cluster that KUBECONFIG names. Without either: where it can be reached.",
            show_default=False,
        ),
    ] = None,
    form: TextOrJsonOption = "text",
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Show the fleet and its changes until Ctrl-C, what is not as asked first.

    IS says how an endpoint stands by what its regions report: in error, waiting for what was asked last, held by
    somebody, or as asked. SINCE is how long that has been so; WHY names the region. On a terminal the screen is drawn
    anew with each look. In a pipe each look prints the rows that have changed; with -o json, one document a line.

    Each look is a consistent scan of the whole table (a read unit for every 4 KB), and a list of pods in the cluster.

    Examples:

      gco-stream top

      gco-stream top --not-as-asked --interval 2

      gco-stream top --once -o json | jq '.endpoints[] | select(.verdict == "error") | .name'
    """
    from gco_stream.cli.standing import Order, Verdict

    wanted = _chosen("--state", state or [], _VERDICTS) or (["error", "waiting"] if not_as_asked else list(_VERDICTS))
    order = Order(_chosen("--sort", [sort], _ORDERS)[0])
    if form not in {"text", "json"}:
        raise Failure(f"--output: {form!r} is not allowed; allowed: text, json", USAGE)
    fleet = _Fleet(open_table(table, region), in_region, pods)

    def look() -> View:
        return fleet.look(frozenset(map(Verdict, wanted)), order)

    with suppress(KeyboardInterrupt):
        if form == "json":
            _as_json(look, None if once else interval)
        elif once:
            _print(look())
        elif output.is_terminal():
            _live(look, interval)
        else:
            _changes(look, interval)


def _chosen(option: str, given: list[str], allowed: Sequence[str]) -> list[str]:
    for one in given:
        if one not in allowed:
            raise Failure(f"{option}: {one!r} is not allowed; allowed: {', '.join(allowed)}", USAGE)
    return given


class _Fleet:
    """Looks at table and cluster. A table that fails once it was read, and a cluster that does, are noted."""

    def __init__(self, table: "UserTable", region: str | None, pods: bool | None) -> None:
        self._table = table
        self._region = region
        self._pods = pods
        self._known: list[Standing] | None = None
        self._rest_until = 0.0

    def look(self, wanted: "frozenset[Verdict]", order: "Order") -> View:
        from gco_stream.cli.standing import in_order, with_pods
        from gco_stream.table.errors import TableError

        notes = []
        try:
            self._known = list(self._read())
        except TableError as error:
            if self._known is None:
                raise
            notes.append(f"as it was: {error.message}")
        standings, namespace = self._known, os.environ.get(*_NAMESPACE)
        if self._pods is not False and time.monotonic() >= self._rest_until:
            try:
                found = self._pods_of({one.namespace or namespace for one in standings})
            except Exception as error:
                if self._pods or not _is_of_cluster(error):
                    raise
                notes.append(f"without pods: {error}")
                # Nobody wants to wait for it with each look.
                self._rest_until = time.monotonic() + _REST_SECONDS
            else:
                standings = [with_pods(one, found, namespace) for one in standings]
        shown = in_order((one for one in standings if one.verdict in wanted), order)
        return View(standings, shown, datetime.now(UTC), self._pods is not False, "; ".join(notes))

    def _read(self) -> "Iterator[Standing]":
        from gco_stream.cli.standing import standing_of
        from gco_stream.model.endpoint import read_endpoint

        for item in self._table.scan():
            endpoint = read_endpoint(item)
            if self._region in {None, *endpoint.target_regions, *endpoint.region_status}:
                yield standing_of(endpoint)

    def _pods_of(self, namespaces: set[str]) -> "Pods":
        from gco_stream.cluster.client import KubeClient
        from gco_stream.cluster.pods import pods_by_app

        async def read() -> "Pods":
            found: dict[tuple[str, str], Sequence[PodHealth]] = {}
            async with KubeClient.connect(timeout=_CLUSTER_SECONDS) as client:
                for namespace in sorted(namespaces):
                    by_app = await pods_by_app(client, namespace, timeout=_CLUSTER_SECONDS)
                    found |= {(namespace, app): pods for app, pods in by_app.items()}
            return found

        return asyncio.run(read())


def _is_of_cluster(error: Exception) -> bool:
    from gco_stream.cluster.errors import ClusterError

    return isinstance(error, ClusterError)


def _rows(view: View, standings: "Sequence[Standing]") -> Rows:
    from gco_stream.cli.standing import cells, headings

    rows = [cells(one, view.at, pods=view.pods) for one in standings]
    return Rows(headings(pods=view.pods), rows)


def _print(view: View) -> None:
    from gco_stream.cli.standing import summary

    if view.note:
        output.warn(view.note)
    output.say(summary(view.standings))
    output.show_rows(_rows(view, view.shown))


def _live(look: Callable[[], View], interval: float) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(_screen(look(), *console.size), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(_screen(look(), *console.size), refresh=True)


def _screen(view: View, width: int, height: int) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from gco_stream.cli.standing import summary
    from gco_stream.model.text import printable

    fitting = view.shown[: max(1, height - _LINES_BESIDE)]
    left_out = len(view.shown) - len(fitting)
    lines = [Text(f"{summary(view.standings)}  {view.at:%H:%M:%S}Z", style="bold")]
    if view.note:
        lines.append(Text(printable(view.note), style="yellow"))
    below = [Text(f"and {left_out} more: --state and --in-region leave out")] if left_out else []
    return Group(*lines, output.as_table(_fitted(_rows(view, fitting), width)), *below)


def _fitted(rows: Rows, width: int) -> Rows:
    """A row a line: what does not fit is in `-o json`, and in `endpoint get`. The last column has what is left."""
    from gco_stream.model.text import printable

    wanted = [number for number, heading in enumerate(rows.headings) if width >= _WIDE or heading != "REGIONS"]
    headings = [rows.headings[number] for number in wanted]
    limits = [width // 4 if heading in {"NAME", "REGIONS"} else width for heading in headings]
    cells = [
        [_cut(printable(row[number]), limit) for number, limit in zip(wanted, limits, strict=True)] for row in rows.rows
    ]
    taken = sum(max(map(len, column)) + _GAP for column in list(zip(headings, *cells, strict=True))[:-1])
    left = max(len(headings[-1]), width - taken - _GAP)
    return Rows(headings, [(*row[:-1], _cut(row[-1], left)) for row in cells])


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _changes(look: Callable[[], View], interval: float) -> None:
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


def _as_json(look: Callable[[], View], interval: float | None) -> None:
    import orjson

    while True:
        value = _document(look())
        if interval is None:
            output.say_json(value)
            return
        typer.echo(orjson.dumps(value).decode())
        time.sleep(interval)


def _document(view: View) -> dict[str, Any]:
    from gco_stream.cli.standing import as_json

    return {
        "at": view.at.isoformat(),
        "endpoints": [as_json(one) for one in view.shown],
        "note": view.note or None,
    }
