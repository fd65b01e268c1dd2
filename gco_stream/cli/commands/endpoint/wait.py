"""`gco-stream endpoint wait`: until the regions have done what was asked, as the item says."""

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gco_stream.cli.errors import FAILED, NOT_FOUND, Failure
from gco_stream.cli.options import DEFAULT_TABLE, NameArgument, RegionOption, TableOption, item_of, open_table
from gco_stream.cli.output import say

if TYPE_CHECKING:
    from gco_stream.model.endpoint import Endpoint, RegionStatus, Unreadable
    from gco_stream.table.sync_table import UserTable

_LOOK_EVERY: Final = 1.0


class Outcome(StrEnum):
    """What can be waited for: every target region says so, at what is asked now; gone: the item is not there."""

    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"
    GONE = "gone"
    ERROR = "error"


def wait(
    name: NameArgument,
    outcome: Annotated[Outcome, typer.Option("--for", help="What to wait for.")] = Outcome.RUNNING,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait at most.")] = 600,
    table: TableOption = DEFAULT_TABLE,
    region: RegionOption = None,
) -> None:
    """Wait until every target region reports what was asked.

    error waits for any region's error; gone for the item to be purged. Ends with code 1 where the time runs out.

    Examples:

      gco-stream endpoint wait chat --for running --timeout 900

      gco-stream endpoint delete chat && gco-stream endpoint wait chat --for gone
    """
    endpoints = open_table(table, region)
    if outcome not in {Outcome.GONE, Outcome.DELETED}:
        item_of(endpoints, name)
    wait_for(endpoints, name, outcome, timeout)


def wait_for(endpoints: "UserTable", name: str, outcome: Outcome, timeout: float) -> None:
    """Returns when the outcome is there and says so. Raises Failure after `timeout` seconds, or where the item goes."""
    from gco_stream.model.endpoint import read_endpoint

    deadline = time.monotonic() + timeout
    while True:
        item = endpoints.get(name)
        endpoint = None if item is None else read_endpoint(item)
        if (reached := has_come(endpoint, outcome)) is not None:
            say(f"{name} {reached}")
            return
        if endpoint is None:
            raise Failure(f"{name} is gone from the table", NOT_FOUND)
        left = deadline - time.monotonic()
        if left <= 0:
            raise Failure(f"{name} is not {outcome} after {timeout:g} s: {situation(endpoint)}", FAILED)
        time.sleep(min(_LOOK_EVERY, left))


def has_come(endpoint: "Endpoint | Unreadable | None", outcome: Outcome) -> str | None:
    """The outcome in words where it has come, else None. `endpoint` None: the item is gone."""
    if endpoint is None:
        return "gone" if outcome in {Outcome.GONE, Outcome.DELETED} else None
    if outcome is Outcome.GONE:
        return None
    if outcome is Outcome.ERROR:
        errors = [f"{region}: {entry.error}" for region, entry in sorted(errors_of(endpoint).items())]
        return f"error in {'; '.join(errors)}" if errors else None
    return str(outcome) if _all_report(endpoint, outcome) else None


def errors_of(endpoint: "Endpoint | Unreadable") -> dict[str, "RegionStatus"]:
    """The entries of the regions that report an error."""
    return {
        region: entry for region, entry in endpoint.region_status.items() if entry.state.value == Outcome.ERROR.value
    }


def situation(endpoint: "Endpoint | Unreadable") -> str:
    """What is asked and what each region says, in one line."""
    from gco_stream.model.endpoint import Unreadable

    parts = [endpoint.error] if isinstance(endpoint, Unreadable) else [f"asked: {endpoint.desired_state}"]
    for region in sorted(endpoint.target_regions | endpoint.region_status.keys()):
        entry = endpoint.region_status.get(region)
        if entry is None:
            parts.append(f"{region}: has not reported")
        else:
            error = f" ({entry.error})" if entry.error else ""
            parts.append(f"{region}: {entry.state} {entry.replicas_ready}/{entry.replicas_desired}{error}")
    return ", ".join(parts)


def _all_report(endpoint: "Endpoint | Unreadable", outcome: Outcome) -> bool:
    from gco_stream.model.endpoint import Unreadable
    from gco_stream.planning.lifecycle.region_status import is_for_another_intent

    if isinstance(endpoint, Unreadable) or not _is_asked(endpoint, outcome):
        return False
    entries = [endpoint.region_status.get(region) for region in endpoint.target_regions]
    return all(
        entry is not None and entry.state.value == outcome.value and not is_for_another_intent(entry, endpoint.intent)
        for entry in entries
    )


def _is_asked(endpoint: "Endpoint", outcome: Outcome) -> bool:
    # A former report counts for nothing: GCO's entries do not say which request they answer.
    asked = endpoint.desired_state.value
    return asked in {"deploying", "running"} if outcome is Outcome.RUNNING else asked == outcome.value
