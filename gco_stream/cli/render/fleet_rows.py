"""Rows of `top`: their order, columns and JSON output."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from gco_stream.cli.output import age
from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.model.objects import PodHealth
from gco_stream.planning.lifecycle.health import HealthStatus, endpoint_health


class Order(StrEnum):
    """Values of `top --sort`."""

    STATUS = "status"
    NAME = "name"
    UPDATED = "updated"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class FleetRow:
    """The status of one endpoint.

    `desired`: the desired state, "-" if the item is invalid. `since`, `updated`: ISO 8601 times, "" if unknown.
    `ready`, `desired_replicas`: totals of all regions. `regions`: the reported state, by region. `namespace`: None for
    the default namespace. `pods`: the pods in this cluster, None if unknown.
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


def row_of(item: Endpoint | InvalidItem) -> FleetRow:
    """Returns the row of one endpoint."""
    health, entries = endpoint_health(item), item.region_status
    endpoint = item if isinstance(item, Endpoint) else None
    return FleetRow(
        name=item.name,
        status=health.status,
        desired=str(endpoint.desired_state) if endpoint is not None else "-",
        message=health.message,
        since=health.since,
        updated=endpoint.updated_at if endpoint is not None else "",
        ready=sum(one.replicas_ready for one in entries.values()),
        desired_replicas=sum(one.replicas_desired for one in entries.values()),
        regions={region: str(entries[region].state) for region in sorted(entries)},
        namespace=endpoint.namespace if endpoint is not None else None,
    )


def with_pods(one: FleetRow, pods: Mapping[tuple[str, str], Sequence[PodHealth]], namespace: str) -> FleetRow:
    """Returns the row with its pods.

    `pods`: all pods in this cluster, by namespace and `app` label. `namespace`: the default namespace. If the endpoint
    is waiting or in error, the message also gives the reason why the first unready pod is not ready.
    """
    own_pods = tuple(pods.get((one.namespace or namespace, one.name), ()))
    problem = next((pod.reason for pod in own_pods if pod.reason), "")
    is_relevant = problem and one.status in {HealthStatus.WAITING, HealthStatus.ERROR}
    return replace(one, pods=own_pods, message=f"{one.message}; {problem}" if is_relevant else one.message)


def in_order(endpoints: Iterable[FleetRow], order: Order) -> list[FleetRow]:
    """Returns the rows in the given order.

    STATUS: worst first, then longest in that status first. UPDATED: newest first. READY: most missing replicas first.
    """
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


def summary(standings: Sequence[FleetRow]) -> str:
    """Returns the number of endpoints with each status, in one line."""
    counts = {status: sum(one.status is status for one in standings) for status in HealthStatus}
    endpoints = "1 endpoint" if len(standings) == 1 else f"{len(standings)} endpoints"
    return (
        f"{endpoints}: {counts[HealthStatus.OK]} ok, {counts[HealthStatus.WAITING]} waiting, "
        f"{counts[HealthStatus.ERROR]} in error, {counts[HealthStatus.HELD]} held"
    )


def cells(one: FleetRow, now: datetime, *, pods: bool) -> tuple[str, ...]:
    """Returns the cells of a row, in the order of `headings`."""
    pods_ready = (
        () if not pods else ("-" if one.pods is None else f"{sum(pod.ready for pod in one.pods)}/{len(one.pods)}",)
    )
    regions = ", ".join(f"{region} {state}" for region, state in one.regions.items()) or "-"
    ready = f"{one.ready}/{one.desired_replicas}"
    return (one.name, str(one.status), one.desired, ready, *pods_ready, regions, age(one.since, now), one.message)


def headings(*, pods: bool) -> tuple[str, ...]:
    """Returns the column headings."""
    return ("NAME", "STATUS", "DESIRED", "READY", *(("PODS",) if pods else ()), "REGIONS", "SINCE", "MESSAGE")


def as_json(one: FleetRow) -> dict[str, Any]:
    """Returns one endpoint as JSON-compatible values. `gco-stream top --help` documents the keys."""
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
