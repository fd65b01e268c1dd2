"""`gco-stream top`: shows the fleet live, with endpoints that need attention first."""

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
from gco_stream.cli.interrupt import enable_ctrl_c
from gco_stream.cli.options import DEFAULT_TABLE, RegionOption, TableOption, open_table
from gco_stream.cli.output import Format, TextOutputOption

if TYPE_CHECKING:
    from gco_stream.cli.render.fleet_rows import FleetRow, Order
    from gco_stream.cli.render.top import View
    from gco_stream.model.objects import PodHealth
    from gco_stream.planning.lifecycle.health import HealthStatus
    from gco_stream.table.sync_table import SyncEndpointTable

    Pods = Mapping[tuple[str, str], Sequence[PodHealth]]

_CLUSTER_TIMEOUT: Final = 5.0
_RETRY_SECONDS: Final = 60.0
_NAMESPACE: Final = ("INFERENCE_NAMESPACE", "gco-inference")
_STATUSES: Final = ("error", "waiting", "held", "ok")
_ORDERS: Final = ("status", "name", "updated", "ready")


def top(
    *,
    interval: Annotated[
        float,
        typer.Option("--interval", "-n", min=0.2, max=3600, help="Seconds between two updates.", metavar="SECONDS"),
    ] = 5,
    once: Annotated[bool, typer.Option("--once", help="Show the current state and exit.")] = False,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            help=f"Show only endpoints with this status ({', '.join(_STATUSES)}). Can be repeated. By default, all.",
            metavar="STATUS",
        ),
    ] = None,
    needs_attention: Annotated[
        bool, typer.Option("--needs-attention", help="Short for --state error --state waiting.")
    ] = False,
    not_as_asked: Annotated[
        bool, typer.Option("--not-as-asked", help="Former name of --needs-attention.", hidden=True)
    ] = False,
    sort: Annotated[str, typer.Option("--sort", help=f"Sort order: {', '.join(_ORDERS)}.", metavar="ORDER")] = "status",
    in_region: Annotated[
        str | None,
        typer.Option("--in-region", help="Show only endpoints in this region. By default, all.", metavar="REGION"),
    ] = None,
    pods: Annotated[
        bool | None,
        typer.Option(
            "--pods/--no-pods",
            help="Count pods in the cluster of KUBECONFIG. By default, only if it is reachable.",
            show_default=False,
        ),
    ] = None,
    form: TextOutputOption = Format.TEXT,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Show the fleet and its changes until Ctrl-C, with endpoints that need attention first.

    STATUS is error, waiting (for a region to reach the desired state), held, or ok (in the desired state), according to
    the reports of the regions. SINCE is the time in that status, and MESSAGE names the region and the cause. A terminal
    shows a screen that is updated continuously. In a pipe, each update prints the rows that changed, or with -o json
    one document per line.

    Each update is a consistent scan of the whole table (one read unit per 4 KB) and a list of pods in the cluster.

    Keys of the JSON: `at`, `note` (what could not be read, or null) and `endpoints`, each with `name`, `status`,
    `desired_state`, `message`, `since`, `updated`, `replicas_ready`, `replicas_desired`, `regions` (the reported state,
    by name) and `pods` (null if unknown, otherwise each with `name`, `ready` and `reason`).

    Examples:

      gco-stream top

      gco-stream top --needs-attention --interval 2

      gco-stream top --once -o json | jq '.endpoints[] | select(.status == "error") | .name'
    """
    from gco_stream.cli.render import top as fleet_view
    from gco_stream.cli.render.fleet_rows import Order
    from gco_stream.planning.lifecycle.health import HealthStatus

    statuses = _checked("--state", state or [], _STATUSES) or (
        ["error", "waiting"] if needs_attention or not_as_asked else list(_STATUSES)
    )
    order = Order(_checked("--sort", [sort], _ORDERS)[0])
    fleet = _Fleet(open_table(table, region), in_region, pods)

    def look() -> "View":
        return fleet.snapshot(frozenset(map(HealthStatus, statuses)), order)

    enable_ctrl_c()
    with suppress(KeyboardInterrupt):
        if form is Format.JSON:
            fleet_view.documents(look, None if once else interval)
        elif once:
            fleet_view.show(look())
        elif output.is_terminal():
            fleet_view.live(look, interval)
        else:
            fleet_view.changes(look, interval)


def _checked(option: str, given: list[str], allowed: Sequence[str]) -> list[str]:
    for one in given:
        if one not in allowed:
            raise CommandError(f"{option}: invalid value {one!r}: must be one of {', '.join(allowed)}", USAGE)
    return given


class _Fleet:
    """The source of snapshots of the fleet.

    `region`: the region to which the snapshots are limited, or None for all regions. `pods`: whether to list pods; with
    None, they are listed if the cluster is reachable.

    If the table or the cluster cannot be read, the snapshot has a note. However, an error of the first table scan is
    raised, and so is an error of the cluster if `pods` is True.
    """

    def __init__(self, table: "SyncEndpointTable", region: str | None, pods: bool | None) -> None:
        self._table = table
        self._region = region
        self._pods = pods
        self._last_pods: list[FleetRow] | None = None
        self._retry_at = 0.0

    def snapshot(self, statuses: "frozenset[HealthStatus]", order: "Order") -> "View":
        from gco_stream.aws.errors import AWSError
        from gco_stream.cli.render.fleet_rows import in_order, with_pods
        from gco_stream.cli.render.top import View

        notes = []
        try:
            self._last_pods = list(self._read())
        except AWSError as error:
            if self._last_pods is None:
                raise
            notes.append(f"showing the last known state: {error.message}")
        endpoints, namespace = self._last_pods, os.environ.get(*_NAMESPACE)
        if self._pods is not False and time.monotonic() >= self._retry_at:
            try:
                found = self._pods_of({one.namespace or namespace for one in endpoints})
            except Exception as error:
                if self._pods or not _is_of_cluster(error):
                    raise
                notes.append(f"without pods: {error}")
                # An attempt can take as long as the timeout, so it is not repeated on every update.
                self._retry_at = time.monotonic() + _RETRY_SECONDS
            else:
                endpoints = [with_pods(one, found, namespace) for one in endpoints]
        shown = in_order((one for one in endpoints if one.status in statuses), order)
        return View(endpoints, shown, datetime.now(UTC), self._pods is not False, "; ".join(notes))

    def _read(self) -> "Iterator[FleetRow]":
        from gco_stream.cli.render.fleet_rows import row_of
        from gco_stream.model.item.endpoint import read_endpoint

        for item in self._table.scan():
            endpoint = read_endpoint(item)
            if self._region in {None, *endpoint.target_regions, *endpoint.region_status}:
                yield row_of(endpoint)

    def _pods_of(self, namespaces: set[str]) -> "Pods":
        from gco_stream.cluster.api.client import KubeClient
        from gco_stream.cluster.pods import pods_by_app

        async def read() -> "Pods":
            found: dict[tuple[str, str], Sequence[PodHealth]] = {}
            async with KubeClient.connect(timeout=_CLUSTER_TIMEOUT) as client:
                for namespace in sorted(namespaces):
                    by_app = await pods_by_app(client, namespace, timeout=_CLUSTER_TIMEOUT)
                    found |= {(namespace, app): pods for app, pods in by_app.items()}
            return found

        return asyncio.run(read())


def _is_of_cluster(error: Exception) -> bool:
    from gco_stream.cluster.api.errors import ClusterError

    return isinstance(error, ClusterError)
