"""`gco-stream endpoint get` and `list`: show the desired state of endpoints and the reports of the regions."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gco_stream.cli import output
from gco_stream.cli.errors import USAGE, CommandError
from gco_stream.cli.interrupt import enable_ctrl_c
from gco_stream.cli.options import DEFAULT_TABLE, NameArgument, RegionOption, TableOption, item_of, open_table
from gco_stream.cli.output import ItemsOutputOption, Rows, SecretsOption

if TYPE_CHECKING:
    from gco_stream.model.item.endpoint import Endpoint, InvalidItem
    from gco_stream.model.wire import WireItem

_POLL_INTERVAL: Final = 2.0
_MAX_CELL: Final = 70


class StateFilter(StrEnum):
    """Values of `list --state`: a desired state, or `error` for invalid endpoints and errors in any region."""

    DEPLOYING = "deploying"
    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"
    ERROR = "error"


def get(
    name: NameArgument,
    form: ItemsOutputOption = None,
    show_secrets: SecretsOption = False,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Show the desired state of an endpoint and the report of each region.

    Examples:

      gco-stream endpoint get chat

      gco-stream endpoint get chat -o json | jq .region_status
    """
    from gco_stream.model import wire
    from gco_stream.model.item.endpoint import read_endpoint

    item = item_of(open_table(table, region), name)
    if form is not None:
        output.show_items([wire.decode(item)], form, single=True, secrets=show_secrets)
        return
    endpoint = read_endpoint(item)
    output.show_rows(Rows(("FIELD", "VALUE"), list(facts(endpoint))))
    output.say("")
    output.show_rows(region_rows(endpoint, datetime.now(UTC)))


def list_endpoints(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Continue to show changes until Ctrl-C.")] = False,
    state: Annotated[
        StateFilter | None,
        typer.Option(
            "--state",
            help="Show only endpoints with this desired state, or with an error. By default, all.",
            show_default=False,
        ),
    ] = None,
    in_region: Annotated[
        str | None,
        typer.Option("--in-region", help="Show only endpoints in this region. By default, all.", metavar="REGION"),
    ] = None,
    form: ItemsOutputOption = None,
    show_secrets: SecretsOption = False,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """List endpoints, sorted by name.

    Examples:

      gco-stream endpoint list --state error

      gco-stream endpoint list -w --in-region eu-west-1

      gco-stream endpoint list -o name | xargs -n1 gco-stream endpoint stop
    """
    from gco_stream.model import wire

    if watch and form is not None:
        raise CommandError("--watch cannot be combined with --output", USAGE)
    endpoints = open_table(table, region)

    def read() -> list[tuple["WireItem", "Endpoint | InvalidItem"]]:
        return sorted(_filtered(endpoints.scan(), state, in_region), key=lambda pair: pair[1].name)

    def rows() -> Rows:
        return endpoint_rows([endpoint for _, endpoint in read()], datetime.now(UTC), in_region)

    if form is not None:
        output.show_items((wire.decode(item) for item, _ in read()), form, single=False, secrets=show_secrets)
    elif watch:
        enable_ctrl_c()
        _watch(rows)
    else:
        output.show_rows(rows())


def facts(endpoint: "Endpoint | InvalidItem") -> Iterator[tuple[str, str]]:
    """Yields the fields that `get` shows, each with its value. For `env`, only the names of the variables are shown."""
    from gco_stream.model.item.endpoint import InvalidItem

    yield "name", endpoint.name
    if isinstance(endpoint, InvalidItem):
        yield "error", endpoint.error
        return
    yield "desired", str(endpoint.desired_state)
    if endpoint.hold:
        yield "held", endpoint.hold
    yield "regions", ", ".join(sorted(endpoint.target_regions))
    yield "namespace", endpoint.namespace or "(default)"
    yield "path", endpoint.ingress_path
    for problem in endpoint.all_problems:
        yield "error", str(problem)
    regions = sorted(endpoint.target_regions)
    for warning in dict.fromkeys(str(one) for region in regions for one in endpoint.warnings_in(region)):
        yield "warning", warning
    if (spec := endpoint.spec) is not None:
        yield "image", spec.image
        yield from ((f"image in {region}", image) for region, image in sorted(spec.region_image_uris.items()))
        scaling = spec.autoscaling
        replicas = f"{scaling.min_replicas} to {scaling.max_replicas}, autoscaled" if scaling.enabled else spec.replicas
        yield "replicas", str(replicas)
        yield "accelerators", f"{spec.device_count} {spec.accelerator}" if spec.device_count else "none"
        if spec.canary is not None:
            count = "1 replica" if spec.canary.replicas == 1 else f"{spec.canary.replicas} replicas"
            yield "canary", f"{spec.canary.image}, {count}, {spec.canary.weight}% of the traffic"
        if spec.env:
            yield "env", ", ".join(sorted(spec.env))
    yield "created", endpoint.created_at or "-"
    yield "updated", endpoint.updated_at or "-"


def region_rows(endpoint: "Endpoint | InvalidItem", now: datetime) -> Rows:
    """Returns one row per region, including target regions that have not reported."""
    from gco_stream.planning.lifecycle.health import endpoint_health

    rows = []
    for one in endpoint_health(endpoint).regions:
        if one.status is None:
            rows.append((one.region, "-", "-", "-", str(one)))
            continue
        counts = f"{one.status.replicas_ready}/{one.status.replicas_desired}"
        message = one.status.error or ("" if one.is_target else "no longer a target")
        rows.append((one.region, str(one.status.state), counts, output.age(one.status.last_sync, now), message))
    return Rows(("REGION", "STATE", "READY", "REPORTED", "MESSAGE"), rows)


def endpoint_rows(endpoints: "list[Endpoint | InvalidItem]", now: datetime, region: str | None = None) -> Rows:
    """Returns one row per endpoint. With `region`, the rows include only the report of that region."""
    from gco_stream.model.item.endpoint import InvalidItem
    from gco_stream.planning.lifecycle.health import HealthStatus, endpoint_health

    rows = []
    for endpoint in endpoints:
        health = endpoint_health(endpoint, region)
        reports = {one.region: one.status for one in health.regions if one.status is not None}
        desired, updated = "-", "-"
        if not isinstance(endpoint, InvalidItem):
            desired, updated = str(endpoint.desired_state), output.age(endpoint.updated_at, now)
        message = health.message if health.status is HealthStatus.OK else f"{health.status}: {health.message}"
        rows.append(
            (
                endpoint.name,
                desired,
                f"{sum(one.replicas_ready for one in reports.values())}"
                f"/{sum(one.replicas_desired for one in reports.values())}",
                ", ".join(f"{name} {status.state}" for name, status in reports.items()) or "-",
                updated,
                _truncated(message),
            )
        )
    return Rows(("NAME", "DESIRED", "READY", "REGIONS", "UPDATED", "MESSAGE"), rows)


def _truncated(text: str) -> str:
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def _filtered(
    items: "Iterator[WireItem]", state: StateFilter | None, region: str | None
) -> "Iterator[tuple[WireItem, Endpoint | InvalidItem]]":
    from gco_stream.model.item.endpoint import read_endpoint

    for item in items:
        endpoint = read_endpoint(item)
        if region is not None and region not in endpoint.target_regions | endpoint.region_status.keys():
            continue
        if state is None or _matches(endpoint, state):
            yield item, endpoint


def _matches(endpoint: "Endpoint | InvalidItem", state: StateFilter) -> bool:
    from gco_stream.model.item.endpoint import InvalidItem
    from gco_stream.planning.lifecycle.health import endpoint_health

    if isinstance(endpoint, InvalidItem):
        return state is StateFilter.ERROR
    if state is StateFilter.ERROR:
        return bool(endpoint.all_problems) or any(one.is_error for one in endpoint_health(endpoint).regions)
    return endpoint.desired_state.value == state.value


def _watch(rows: Callable[[], Rows]) -> None:
    if output.is_terminal():
        from rich.live import Live

        with Live(output.as_table(rows()), auto_refresh=False) as live:
            while True:
                time.sleep(_POLL_INTERVAL)
                live.update(output.as_table(rows()), refresh=True)
    output.print_changes(rows, _POLL_INTERVAL, ignore="UPDATED", gone="deleted")
