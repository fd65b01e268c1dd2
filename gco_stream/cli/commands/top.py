"""`gco-stream top`: the fleet as it stands and changes, what is not as asked first."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gco_stream.cli import output
from gco_stream.cli.errors import USAGE, CommandError
from gco_stream.cli.options import DEFAULT_TABLE, RegionOption, TableOption, open_table
from gco_stream.cli.output import TextOrJsonOption

if TYPE_CHECKING:
    from gco_stream.cli.render.health import EndpointHealth, HealthStatus, Order
    from gco_stream.cli.render.top import View
    from gco_stream.model.objects import PodHealth
    from gco_stream.table.sync_table import SyncEndpointTable

    Pods = Mapping[tuple[str, str], Sequence[PodHealth]]

_CLUSTER_SECONDS: Final = 5.0
_REST_SECONDS: Final = 60.0
_NAMESPACE: Final = ("INFERENCE_NAMESPACE", "gco-inference")
_STATUSES: Final = ("error", "waiting", "held", "as-asked")
_ORDERS: Final = ("standing", "name", "updated", "ready")


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
            help=f"Only those: {', '.join(_STATUSES)}; all without it. May be given several times.",
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
    from gco_stream.cli.render import top as fleet_view
    from gco_stream.cli.render.health import HealthStatus, Order

    statuses = _validated("--state", state or [], _STATUSES) or (
        ["error", "waiting"] if not_as_asked else list(_STATUSES)
    )
    order = Order(_validated("--sort", [sort], _ORDERS)[0])
    if form not in {"text", "json"}:
        raise CommandError(f"--output: {form!r} is not allowed; allowed: text, json", USAGE)
    fleet = _Fleet(open_table(table, region), in_region, pods)

    def look() -> "View":
        return fleet.snapshot(frozenset(map(HealthStatus, statuses)), order)

    with suppress(KeyboardInterrupt):
        if form == "json":
            fleet_view.documents(look, None if once else interval)
        elif once:
            fleet_view.show(look())
        elif output.is_terminal():
            fleet_view.live(look, interval)
        else:
            fleet_view.changes(look, interval)


def _validated(option: str, given: list[str], allowed: Sequence[str]) -> list[str]:
    for one in given:
        if one not in allowed:
            raise CommandError(f"{option}: {one!r} is not allowed; allowed: {', '.join(allowed)}", USAGE)
    return given


class _Fleet:
    """Looks at table and cluster. A table that fails once it was read, and a cluster that does, are noted."""

    def __init__(self, table: "SyncEndpointTable", region: str | None, pods: bool | None) -> None:
        self._table = table
        self._region = region
        self._pods = pods
        self._last_pods: list[EndpointHealth] | None = None
        self._rest_until = 0.0

    def snapshot(self, statuses: "frozenset[HealthStatus]", order: "Order") -> "View":
        from gco_stream.aws.table_errors import TableError
        from gco_stream.cli.render.health import in_order, with_pods
        from gco_stream.cli.render.top import View

        notes = []
        try:
            self._last_pods = list(self._read())
        except TableError as error:
            if self._last_pods is None:
                raise
            notes.append(f"as it was: {error.message}")
        endpoints, namespace = self._last_pods, os.environ.get(*_NAMESPACE)
        if self._pods is not False and time.monotonic() >= self._rest_until:
            try:
                found = self._pods_of({one.namespace or namespace for one in endpoints})
            except Exception as error:
                if self._pods or not _is_of_cluster(error):
                    raise
                notes.append(f"without pods: {error}")
                # Nobody wants to wait for it with each look.
                self._rest_until = time.monotonic() + _REST_SECONDS
            else:
                endpoints = [with_pods(one, found, namespace) for one in endpoints]
        shown = in_order((one for one in endpoints if one.status in statuses), order)
        return View(endpoints, shown, datetime.now(UTC), self._pods is not False, "; ".join(notes))

    def _read(self) -> "Iterator[EndpointHealth]":
        from gco_stream.cli.render.health import health_of
        from gco_stream.model.endpoint import read_endpoint

        for item in self._table.scan():
            endpoint = read_endpoint(item)
            if self._region in {None, *endpoint.target_regions, *endpoint.region_status}:
                yield health_of(endpoint)

    def _pods_of(self, namespaces: set[str]) -> "Pods":
        from gco_stream.cluster.api.client import KubeClient
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
    from gco_stream.cluster.api.errors import ClusterError

    return isinstance(error, ClusterError)
