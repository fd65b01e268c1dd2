"""`gco-stream endpoint wait`: waits until the regions report the expected state or the item is gone."""

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gco_stream.cli.errors import FAILED, NOT_FOUND, CommandError
from gco_stream.cli.options import DEFAULT_TABLE, NameArgument, RegionOption, TableOption, item_of, open_table
from gco_stream.cli.output import say

if TYPE_CHECKING:
    from gco_stream.model.item.endpoint import Endpoint, InvalidItem, RegionStatus
    from gco_stream.table.sync_table import SyncEndpointTable

_POLL_INTERVAL: Final = 1.0


class WaitCondition(StrEnum):
    """Values of `wait --for`.

    `running`, `stopped`, `deleted`: every target region reports this state for the current spec. `error`: any region
    reports an error. `gone`: the item does not exist. A missing item also satisfies `deleted`.
    """

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"
    GONE = "gone"
    ERROR = "error"


def wait(
    name: NameArgument,
    condition: Annotated[WaitCondition, typer.Option("--for", help="What to wait for.")] = WaitCondition.RUNNING,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Maximum time to wait, in seconds.")] = 600,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Wait until every target region reports the state given with --for, for the current spec.

    With --for error, the command waits for an error in any region, and with --for gone until the item is deleted from
    the table. The exit code is 1 if the time runs out.

    Examples:

      gco-stream endpoint wait chat --for running --timeout 900

      gco-stream endpoint delete chat && gco-stream endpoint wait chat --for gone
    """
    endpoints = open_table(table, region)
    if condition not in {WaitCondition.GONE, WaitCondition.DELETED}:
        item_of(endpoints, name)
    wait_for(endpoints, name, condition, timeout)


def wait_for(endpoints: "SyncEndpointTable", name: str, condition: WaitCondition, timeout: float) -> None:
    """Waits until the condition is met, and prints the outcome.

    Raises CommandError after `timeout` seconds, or if the item does not exist and the condition is neither `gone` nor
    `deleted`.
    """
    from gco_stream.model.item.endpoint import read_endpoint

    deadline = time.monotonic() + timeout
    while True:
        item = endpoints.get(name)
        endpoint = None if item is None else read_endpoint(item)
        if (reached := condition_met(endpoint, condition)) is not None:
            say(f"{name} {reached}")
            return
        if endpoint is None:
            raise CommandError(f"endpoint {name} does not exist", NOT_FOUND)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise CommandError(f"{name} is not {condition} after {timeout:g} s: {progress_text(endpoint)}", FAILED)
        time.sleep(min(_POLL_INTERVAL, remaining))


def condition_met(endpoint: "Endpoint | InvalidItem | None", condition: WaitCondition) -> str | None:
    """Returns the outcome as text, or None if the condition is not met. `endpoint`: None if the item does not exist."""
    if endpoint is None:
        return "gone" if condition in {WaitCondition.GONE, WaitCondition.DELETED} else None
    if condition is WaitCondition.GONE:
        return None
    if condition is WaitCondition.ERROR:
        errors = [f"{region}: {entry.error}" for region, entry in sorted(errors_of(endpoint).items())]
        return f"error in {'; '.join(errors)}" if errors else None
    return str(condition) if _all_report(endpoint, condition) else None


def errors_of(endpoint: "Endpoint | InvalidItem") -> dict[str, "RegionStatus"]:
    """Returns the reports with the state `error`, by region."""
    return {
        region: entry
        for region, entry in endpoint.region_status.items()
        if entry.state.value == WaitCondition.ERROR.value
    }


def progress_text(endpoint: "Endpoint | InvalidItem") -> str:
    """Returns the desired state, or the error of an invalid item, and the reports of all regions, in one line."""
    from gco_stream.model.item.endpoint import InvalidItem
    from gco_stream.planning.lifecycle.health import endpoint_health

    parts = [endpoint.error] if isinstance(endpoint, InvalidItem) else [f"desired: {endpoint.desired_state}"]
    return "; ".join([*parts, *(f"{one.region}: {one}" for one in endpoint_health(endpoint).regions)])


def _all_report(endpoint: "Endpoint | InvalidItem", condition: WaitCondition) -> bool:
    from gco_stream.model.item.endpoint import InvalidItem
    from gco_stream.planning.lifecycle.health import final_state, region_health

    if isinstance(endpoint, InvalidItem):
        return False
    # If another state is desired, a report of this state is from before the desired state changed.
    return all(
        final_state(endpoint, region) == condition.value and region_health(endpoint, region).reached
        for region in endpoint.target_regions
    )
