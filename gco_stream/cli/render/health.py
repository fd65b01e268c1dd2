"""The status of an endpoint as shown by `top`, computed from its item alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from gco_stream.cli.output import age
from gco_stream.model.endpoint import Endpoint, InvalidItem, RegionState, RegionStatus
from gco_stream.model.objects import PodHealth
from gco_stream.planning.lifecycle.region_status import is_for_another_intent

_FINAL_STATES: Final = {
    "deploying": RegionState.RUNNING,
    "running": RegionState.RUNNING,
    "stopped": RegionState.STOPPED,
    "deleted": RegionState.DELETED,
}


class HealthStatus(StrEnum):
    """The status of an endpoint, worst first."""

    ERROR = "error"
    WAITING = "waiting"
    HELD = "held"
    OK = "ok"


class Order(StrEnum):
    """Values of `top --sort`."""

    STATUS = "status"
    NAME = "name"
    UPDATED = "updated"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """The status of one endpoint.

    `desired`: the desired state. `since`: an ISO 8601 time, "" if unknown. `regions`: the state that each region
    reports. `ready` and `desired_replicas`: replicas in all regions. `pods`: those in this cluster, None if unknown.
    """

    name: str
    status: HealthStatus
    desired: str
    message: str = ""
    since: str = ""
    updated: str = ""
    ready: int = 0
    desired_replicas: int = 0
    regions: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = None
    pods: tuple[PodHealth, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Issue:
    status: HealthStatus
    message: str
    since: str


def health_of(endpoint: Endpoint | InvalidItem) -> EndpointHealth:
    """Computes the status of one endpoint."""
    entries = endpoint.region_status
    ready = sum(one.replicas_ready for one in entries.values())
    desired = sum(one.replicas_desired for one in entries.values())
    regions = {region: str(entries[region].state) for region in sorted(entries)}
    if isinstance(endpoint, InvalidItem):
        return EndpointHealth(
            endpoint.name,
            HealthStatus.ERROR,
            "-",
            endpoint.error,
            ready=ready,
            desired_replicas=desired,
            regions=regions,
        )
    issue = min(_issues(endpoint), key=_urgency, default=_Issue(HealthStatus.OK, "", ""))
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
        desired_replicas=desired,
    )


def _issues(endpoint: Endpoint) -> Iterator[_Issue]:
    updated, entries = endpoint.updated_at, endpoint.region_status
    if endpoint.hold:
        yield _Issue(HealthStatus.HELD, endpoint.hold, updated)
    yield from (_Issue(HealthStatus.ERROR, str(problem), updated) for problem in endpoint.spec_problems)
    for region in sorted(endpoint.target_regions | entries.keys()):
        entry = entries.get(region)
        if region in endpoint.target_regions:
            message = _message(endpoint, entry)
        else:
            message = (
                "" if entry is None or entry.state is RegionState.DELETED else f"{entry.state}, no longer a target"
            )
        if message:
            is_error = entry is not None and entry.state is RegionState.ERROR
            since = entry.last_sync if entry is not None and entry.last_sync else updated
            yield _Issue(HealthStatus.ERROR if is_error else HealthStatus.WAITING, f"{region}: {message}", since)


def _message(endpoint: Endpoint, entry: RegionStatus | None) -> str:
    if entry is None:
        return "has not reported"
    if entry.state is RegionState.ERROR:
        return entry.error or "error"
    if entry.state is not _FINAL_STATES[endpoint.desired_state] or is_for_another_intent(entry, endpoint.intent):
        return f"{entry.state} {entry.replicas_ready}/{entry.replicas_desired}"
    return ""


def _urgency(issue: _Issue) -> tuple[int, str]:
    # A held endpoint is not changed, so the hold matters more than any error.
    worst = (HealthStatus.HELD, HealthStatus.ERROR, HealthStatus.WAITING)
    return worst.index(issue.status), issue.since


def with_pods(
    one: EndpointHealth, pods: Mapping[tuple[str, str], Sequence[PodHealth]], namespace: str
) -> EndpointHealth:
    """Adds the pods in this cluster, given by namespace and app, and the first reason of an unready pod."""
    own_pods = tuple(pods.get((one.namespace or namespace, one.name), ()))
    problem = next((pod.reason for pod in own_pods if pod.reason), "")
    is_relevant = problem and one.status in {HealthStatus.WAITING, HealthStatus.ERROR}
    return replace(one, pods=own_pods, message=f"{one.message}; {problem}" if is_relevant else one.message)


def in_order(endpoints: Iterable[EndpointHealth], order: Order) -> list[EndpointHealth]:
    """Sorts by status (worst and oldest first), update (newest first), missing replicas (most first) or name."""
    statuses = list(HealthStatus)
    match order:
        case Order.STATUS:
            return sorted(endpoints, key=lambda one: (statuses.index(one.status), one.since or "~", one.name))
        case Order.UPDATED:
            return sorted(sorted(endpoints, key=lambda one: one.name), key=lambda one: one.updated, reverse=True)
        case Order.READY:
            return sorted(endpoints, key=lambda one: (one.ready - one.desired_replicas, one.name))
        case Order.NAME:
            return sorted(endpoints, key=lambda one: one.name)


def summary(standings: Sequence[EndpointHealth]) -> str:
    """The number of endpoints with each status, in one line."""
    counts = {status: sum(one.status is status for one in standings) for status in HealthStatus}
    endpoints = "1 endpoint" if len(standings) == 1 else f"{len(standings)} endpoints"
    return (
        f"{endpoints}: {counts[HealthStatus.OK]} ok, {counts[HealthStatus.WAITING]} waiting, "
        f"{counts[HealthStatus.ERROR]} in error, {counts[HealthStatus.HELD]} held"
    )


def cells(one: EndpointHealth, now: datetime, *, pods: bool) -> tuple[str, ...]:
    """The row of an endpoint, with the columns of `headings`."""
    pods_ready = (
        () if not pods else ("-" if one.pods is None else f"{sum(pod.ready for pod in one.pods)}/{len(one.pods)}",)
    )
    regions = ", ".join(f"{region} {state}" for region, state in one.regions.items()) or "-"
    ready = f"{one.ready}/{one.desired_replicas}"
    return (one.name, str(one.status), one.desired, ready, *pods_ready, regions, age(one.since, now), one.message)


def headings(*, pods: bool) -> tuple[str, ...]:
    """The column headings."""
    return ("NAME", "STATUS", "DESIRED", "READY", *(("PODS",) if pods else ()), "REGIONS", "SINCE", "MESSAGE")


def as_json(one: EndpointHealth) -> dict[str, Any]:
    """One endpoint as plain values. `gco-stream top --help` documents the keys."""
    pods = None if one.pods is None else [{"name": p.name, "ready": p.ready, "reason": p.reason} for p in one.pods]
    return {
        "name": one.name,
        "status": str(one.status),
        "desired_state": one.desired,
        "message": one.message,
        "since": one.since or None,
        "updated": one.updated or None,
        "replicas_ready": one.ready,
        "replicas_desired": one.desired_replicas,
        "regions": dict(one.regions),
        "pods": pods,
    }
