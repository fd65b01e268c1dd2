"""How an endpoint stands by what its item holds: as asked, or not, since when, and why. Pure; `top` shows it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from gco_stream.cli.output import age
from gco_stream.model.endpoint import Endpoint, InvalidItem, RegionState, RegionStatus
from gco_stream.model.objects import PodHealth
from gco_stream.planning.lifecycle.region_status import is_for_another_intent

_AWAITED_STATES: Final = {
    "deploying": RegionState.RUNNING,
    "running": RegionState.RUNNING,
    "stopped": RegionState.STOPPED,
    "deleted": RegionState.DELETED,
}


class HealthStatus(StrEnum):
    """How an endpoint stands; the worst first."""

    ERROR = "error"
    WAITING = "waiting"
    HELD = "held"
    IN_SYNC = "as-asked"


class Order(StrEnum):
    """What `top --sort` takes."""

    HEALTH = "standing"
    NAME = "name"
    UPDATED = "updated"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """One endpoint. `since` is an ISO 8601 time, "" where none is known; `pods`: those of this cluster, None: unknown.

    `regions` is what each region reports, `ready` and `wanted` are replicas over all of them.
    """

    name: str
    status: HealthStatus
    desired: str
    message: str = ""
    since: str = ""
    updated: str = ""
    ready: int = 0
    replicas_desired: int = 0
    regions: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = None
    pods: tuple[PodHealth, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Issue:
    status: HealthStatus
    message: str
    since: str


def health_of(endpoint: Endpoint | InvalidItem) -> EndpointHealth:
    """How one endpoint stands."""
    entries = endpoint.region_status
    ready = sum(one.replicas_ready for one in entries.values())
    replicas_desired = sum(one.replicas_desired for one in entries.values())
    regions = {region: str(entries[region].state) for region in sorted(entries)}
    if isinstance(endpoint, InvalidItem):
        return EndpointHealth(
            endpoint.name,
            HealthStatus.ERROR,
            "-",
            endpoint.error,
            ready=ready,
            replicas_desired=replicas_desired,
            regions=regions,
        )
    issue = min(_issues(endpoint), key=_urgency, default=_Issue(HealthStatus.IN_SYNC, "", ""))
    return EndpointHealth(
        name=endpoint.name,
        status=issue.status,
        desired=str(endpoint.desired_state),
        message=issue.message,
        since=issue.since,
        updated=endpoint.updated_at,
        regions=regions,
        namespace=endpoint.namespace,
        ready=ready,
        replicas_desired=replicas_desired,
    )


def _issues(endpoint: Endpoint) -> Iterator[_Issue]:
    desired_at, entries = endpoint.updated_at, endpoint.region_status
    if endpoint.hold:
        yield _Issue(HealthStatus.HELD, endpoint.hold, desired_at)
    yield from (_Issue(HealthStatus.ERROR, str(problem), desired_at) for problem in endpoint.spec_problems)
    for region in sorted(endpoint.target_regions | entries.keys()):
        entry = entries.get(region)
        if region in endpoint.target_regions:
            why = _out_of_sync_reason(endpoint, entry)
        else:
            why = "" if entry is None or entry.state is RegionState.DELETED else f"{entry.state}, no longer a target"
        if why:
            is_error = entry is not None and entry.state is RegionState.ERROR
            since = entry.last_sync if entry is not None and entry.last_sync else desired_at
            yield _Issue(HealthStatus.ERROR if is_error else HealthStatus.WAITING, f"{region}: {why}", since)


def _out_of_sync_reason(endpoint: Endpoint, entry: RegionStatus | None) -> str:
    if entry is None:
        return "has not reported"
    if entry.state is RegionState.ERROR:
        return entry.error or "error"
    if entry.state is not _AWAITED_STATES[endpoint.desired_state] or is_for_another_intent(entry, endpoint.intent):
        return f"{entry.state} {entry.replicas_ready}/{entry.replicas_desired}"
    return ""


def _urgency(issue: _Issue) -> tuple[int, str]:
    # What somebody holds is left as it is, whatever else is to be said of it.
    worst = (HealthStatus.HELD, HealthStatus.ERROR, HealthStatus.WAITING)
    return worst.index(issue.status), issue.since


def with_pods(
    one: EndpointHealth, pods: Mapping[tuple[str, str], Sequence[PodHealth]], namespace: str
) -> EndpointHealth:
    """With its pods of this cluster, by namespace and app; what ails the first of them is told where it waits."""
    own_pods = tuple(pods.get((one.namespace or namespace, one.name), ()))
    problem = next((pod.reason for pod in own_pods if pod.reason), "")
    already_shown = problem and one.status in {HealthStatus.WAITING, HealthStatus.ERROR}
    return replace(one, pods=own_pods, message=f"{one.message}; {problem}" if already_shown else one.message)


def in_order(endpoints: Iterable[EndpointHealth], order: Order) -> list[EndpointHealth]:
    """Sorted: by standing the worst and longest first, by updated the newest, by ready those that lack most."""
    statuses = list(HealthStatus)
    match order:
        case Order.HEALTH:
            return sorted(endpoints, key=lambda one: (statuses.index(one.status), one.since or "~", one.name))
        case Order.UPDATED:
            return sorted(sorted(endpoints, key=lambda one: one.name), key=lambda one: one.updated, reverse=True)
        case Order.READY:
            return sorted(endpoints, key=lambda one: (one.ready - one.replicas_desired, one.name))
        case Order.NAME:
            return sorted(endpoints, key=lambda one: one.name)


def summary(endpoints: Sequence[EndpointHealth]) -> str:
    """How many there are of each verdict, in one line."""
    counts = {verdict: sum(one.status is verdict for one in endpoints) for verdict in HealthStatus}
    return (
        f"{len(endpoints)} endpoints: {counts[HealthStatus.IN_SYNC]} as asked, {counts[HealthStatus.WAITING]} waiting, "
        f"{counts[HealthStatus.ERROR]} in error, {counts[HealthStatus.HELD]} held"
    )


def cells(one: EndpointHealth, now: datetime, *, pods: bool) -> tuple[str, ...]:
    """A row of the table; see HEADINGS."""
    pods_ready = (
        () if not pods else ("-" if one.pods is None else f"{sum(pod.ready for pod in one.pods)}/{len(one.pods)}",)
    )
    regions = ", ".join(f"{region} {state}" for region, state in one.regions.items()) or "-"
    ready = f"{one.ready}/{one.replicas_desired}"
    return (one.name, str(one.status), one.desired, ready, *pods_ready, regions, age(one.since, now), one.message)


def headings(*, pods: bool) -> tuple[str, ...]:
    """What stands above `cells`."""
    return ("NAME", "IS", "ASKED", "READY", *(("PODS",) if pods else ()), "REGIONS", "SINCE", "WHY")


def as_json(one: EndpointHealth) -> dict[str, Any]:
    """For programs."""
    pods = None if one.pods is None else [{"name": p.name, "ready": p.ready, "reason": p.reason} for p in one.pods]
    return {
        "name": one.name,
        "status": str(one.status),
        "desired_state": one.desired,
        "message": one.message,
        "since": one.since or None,
        "updated": one.updated or None,
        "ready": one.ready,
        "desired_replicas": one.replicas_desired,
        "regions": dict(one.regions),
        "pods": pods,
    }
