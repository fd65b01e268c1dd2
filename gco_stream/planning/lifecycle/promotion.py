"""Changes to the table after all regions have reported: rollout completion (deploying to running) and purge."""

from typing import Final

from gco_stream.model.item.endpoint import DesiredState, Endpoint
from gco_stream.model.wire import WireItem
from gco_stream.planning.lifecycle.health import RegionHealth, region_health
from gco_stream.planning.types.plan import TableChange

_AGREED_STATES: Final = {"deploying": "running", "deleted": "deleted"}


def may_complete_or_purge(image: WireItem) -> bool:
    """Returns whether `table_change` may return a change. This is a cheap check of an item in wire form."""
    entries = image.get("region_status", {}).get("M", {}).values()
    states = {entry.get("M", {}).get("state", {}).get("S") for entry in entries}
    awaited_state = _AGREED_STATES.get(image.get("desired_state", {}).get("S", "deploying"))
    # Regions that are no longer targets report deleted, whatever the desired state is.
    return awaited_state in states and states <= {awaited_state, "deleted"}


def table_change(endpoint: Endpoint, region: str) -> TableChange | None:
    """Returns the change that the reports of all regions allow; None if there is none or this region has no part."""
    if region not in endpoint.target_regions and region not in endpoint.reported_regions:
        return None
    change, waits_for = pending_change(endpoint)
    return None if waits_for else change


def pending_change(endpoint: Endpoint) -> tuple[TableChange | None, tuple[RegionHealth, ...]]:
    """Returns the change that requires the reports of all regions, and the regions that it still waits for.

    The regions are sorted by name. The purge also waits for former targets that have a report.
    """
    match endpoint.desired_state:
        case DesiredState.DEPLOYING:
            change, regions = TableChange.PROMOTE, endpoint.target_regions
        case DesiredState.DELETED:
            change, regions = TableChange.PURGE, endpoint.target_regions | endpoint.reported_regions
        case _:
            return None, ()
    judged = (region_health(endpoint, region) for region in sorted(regions))
    return change, tuple(one for one in judged if not one.reached)
