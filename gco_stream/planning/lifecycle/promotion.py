"""Changes to the table after all regions have reported: rollout completion (deploying to running) and purge."""

from typing import Final

from gco_stream.model.endpoint import DesiredState, Endpoint, RegionState
from gco_stream.model.wire import WireItem
from gco_stream.planning.lifecycle.region_status import is_for_another_intent
from gco_stream.planning.types.plan import TableChange

_AGREED_STATES: Final = {"deploying": "running", "deleted": "deleted"}


def may_complete_or_purge(image: WireItem) -> bool:
    """Whether `table_change` may return a change. This is a cheap check of an item in wire form."""
    entries = image.get("region_status", {}).get("M", {}).values()
    states = {entry.get("M", {}).get("state", {}).get("S") for entry in entries}
    awaited_state = _AGREED_STATES.get(image.get("desired_state", {}).get("S", "deploying"))
    # Regions that are no longer targets may report deleted.
    return awaited_state in states and states <= {awaited_state, "deleted"}


def table_change(endpoint: Endpoint, region: str) -> TableChange | None:
    """Returns the change that the reports of all regions allow; None if there is none."""
    if region not in endpoint.target_regions and region not in endpoint.reported_regions:
        return None
    if endpoint.desired_state is DesiredState.DEPLOYING and _all_targets(endpoint, RegionState.RUNNING):
        return TableChange.PROMOTE
    if (
        endpoint.desired_state is DesiredState.DELETED
        and _all_targets(endpoint, RegionState.DELETED)
        and all(_has(endpoint, other, RegionState.DELETED) for other in endpoint.reported_regions)
    ):
        return TableChange.PURGE
    return None


def _all_targets(endpoint: Endpoint, state: RegionState) -> bool:
    return all(
        _has(endpoint, region, state) and not is_for_another_intent(endpoint.region_status[region], endpoint.intent)
        for region in endpoint.target_regions
    )


def _has(endpoint: Endpoint, region: str, state: RegionState) -> bool:
    entry = endpoint.region_status.get(region)
    return entry is not None and entry.state is state
