"""Health of an endpoint according to its item: whether it is in its desired state and, if not, why and since when.

All views of the fleet, `endpoint wait`, rollout completion and the purge use this health. The explanation of an
endpoint also considers the region's plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gco_stream.model.item.endpoint import DesiredState, Endpoint, InvalidItem, RegionState, RegionStatus
from gco_stream.model.reasons import Reason
from gco_stream.model.wire import INTENT_PREFIX

UNKNOWN_REASON: Final = "Unknown"
"""Reason of a reported error that has no reason code: GCO's monitor writes only a message."""

_FINAL_STATES: Final[Mapping[DesiredState, RegionState]] = MappingProxyType(
    {
        DesiredState.DEPLOYING: RegionState.RUNNING,
        DesiredState.RUNNING: RegionState.RUNNING,
        DesiredState.STOPPED: RegionState.STOPPED,
        DesiredState.DELETED: RegionState.DELETED,
    }
)


class HealthStatus(StrEnum):
    """The status of an endpoint, worst first."""

    ERROR = "error"
    WAITING = "waiting"
    HELD = "held"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class RegionHealth:
    """Whether an endpoint is in its desired state in one region.

    `status`: the region's last report, None if there is none or if it is invalid (`unreadable`). `outdated`: the report
    is about an older desired state. `reached`: the report has the final state for the current desired state, possibly
    with an error. `reason` and `message`: why the endpoint is not in its desired state, "" if it is. `reason` is a code
    of gco_stream.model.reasons or of a later release. `since`: since when, as an ISO 8601 time; "" if unknown.
    """

    region: str
    is_target: bool
    status: RegionStatus | None = None
    unreadable: bool = False
    outdated: bool = False
    reached: bool = False
    reason: str = ""
    message: str = ""
    since: str = ""

    @property
    def is_error(self) -> bool:
        """Whether the region reports an error."""
        return self.status is not None and (self.status.state is RegionState.ERROR or bool(self.status.error))

    @property
    def counts(self) -> str:
        """The reported replica counts as text, marked if they are for an older spec; "" without a report."""
        if self.status is None:
            return ""
        words = f"{self.status.replicas_ready} of {self.status.replicas_desired} ready"
        return f"{words}, for an older spec" if self.outdated else words

    @property
    def details(self) -> str:
        """The report as text, without the state."""
        if self.status is None:
            return _missing(unreadable=self.unreadable)
        return f"{self.counts}: {self.status.error}" if self.status.error else self.counts

    def __str__(self) -> str:
        return self.details if self.status is None else f"{self.status.state}, {self.details}"


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """The health of an endpoint. `message` and `since`: its most urgent issue, "" if there is none.

    `since`: an ISO 8601 time. `regions`: sorted by name.
    """

    status: HealthStatus
    message: str
    since: str
    regions: tuple[RegionHealth, ...]


def final_state(endpoint: Endpoint, region: str) -> RegionState:
    """Returns the state that the region reports when the endpoint is in its desired state there."""
    return _FINAL_STATES[endpoint.desired_state] if region in endpoint.target_regions else RegionState.DELETED


def is_for_another_intent(written: RegionStatus, intent: str) -> bool:
    """Returns whether a report is about a desired state other than the current one, whose digest is `intent`."""
    return written.intent is not None and written.intent.startswith(INTENT_PREFIX) and written.intent != intent


def reported_reason(status: RegionStatus) -> tuple[str, str]:
    """Returns the reason and message of the error in a report; ("", "") if it has none."""
    if status.error or status.state is RegionState.ERROR:
        return status.reason or UNKNOWN_REASON, status.error or "error"
    return "", ""


def region_health(item: Endpoint | InvalidItem, region: str) -> RegionHealth:
    """Returns the health of an endpoint in one region."""
    status, is_target = item.region_status.get(region), region in item.target_regions
    outdated = status is not None and is_for_another_intent(status, item.intent)
    unreadable = status is None and isinstance(item, Endpoint) and region in item.reported_regions
    if isinstance(item, InvalidItem):
        since = status.last_sync if status is not None else ""
        return RegionHealth(
            region, is_target, status, outdated=outdated, reason=Reason.INVALID_ITEM, message=item.error, since=since
        )
    # In a region that is not a target, the final state is deleted for every spec, so an outdated report counts too.
    reached = status is not None and status.state is final_state(item, region) and not (is_target and outdated)
    reason, message, since = _issue(item, region, status, unreadable=unreadable, outdated=outdated)
    return RegionHealth(region, is_target, status, unreadable, outdated, reached, reason, message, since)


def endpoint_health(item: Endpoint | InvalidItem, region: str | None = None) -> EndpointHealth:
    """Returns the health of an endpoint in all regions, or only in `region`.

    An invalid item or a hold takes precedence over the reports of the regions.
    """
    names = sorted(item.target_regions | item.region_status.keys()) if region is None else [region]
    regions = tuple(region_health(item, name) for name in names)
    if isinstance(item, InvalidItem):
        return EndpointHealth(HealthStatus.ERROR, item.error, "", regions)
    if item.hold:
        return EndpointHealth(HealthStatus.HELD, item.hold, item.updated_at, regions)
    issues = [(HealthStatus.ERROR, str(problem), item.updated_at) for problem in item.all_problems]
    issues += [
        (HealthStatus.ERROR if one.is_error else HealthStatus.WAITING, f"{one.region}: {one.message}", one.since)
        for one in regions
        if one.message
    ]
    order = (HealthStatus.ERROR, HealthStatus.WAITING)
    status, message, since = min(
        issues, key=lambda issue: (order.index(issue[0]), issue[2]), default=(HealthStatus.OK, "", "")
    )
    return EndpointHealth(status, message, since, regions)


def _issue(
    item: Endpoint, region: str, status: RegionStatus | None, *, unreadable: bool, outdated: bool
) -> tuple[str, str, str]:
    """Returns the reason, message and start time of a region's issue; three empty strings if it has none."""
    is_target, updated = region in item.target_regions, item.updated_at
    if status is None:
        return (Reason.NOT_REPORTED, _missing(unreadable=unreadable), updated) if is_target else ("", "", "")
    reported = status.last_sync or updated
    reason, message = reported_reason(status)
    if reason:
        return reason, message, reported
    if is_target and outdated:
        return Reason.OUTDATED_REPORT, f"{status.state}, for an older spec", updated
    if status.state is final_state(item, region):
        return "", "", ""
    if not is_target:
        return Reason.PROGRESSING, f"{status.state}, no longer a target", reported
    counts = f"{status.replicas_ready} of {status.replicas_desired} ready"
    return Reason.PROGRESSING, f"{status.state}, {counts}", reported


def _missing(*, unreadable: bool) -> str:
    return "its report is invalid" if unreadable else "has not reported"
