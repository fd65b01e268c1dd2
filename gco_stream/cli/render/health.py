"""How an endpoint stands by what its item holds: as asked, or not, since when, and why. Pure; `top` shows it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from gco_stream.cli.output import age
from gco_stream.model.endpoint import Endpoint, RegionState, RegionStatus, Unreadable
from gco_stream.model.objects import PodHealth
from gco_stream.planning.lifecycle.region_status import is_for_another_intent

_WANTED: Final = {
    "deploying": RegionState.RUNNING,
    "running": RegionState.RUNNING,
    "stopped": RegionState.STOPPED,
    "deleted": RegionState.DELETED,
}


class Verdict(StrEnum):
    """How an endpoint stands; the worst first."""

    ERROR = "error"
    WAITING = "waiting"
    HELD = "held"
    AS_ASKED = "as-asked"


class Order(StrEnum):
    """What `top --sort` takes."""

    STANDING = "standing"
    NAME = "name"
    UPDATED = "updated"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Standing:
    """One endpoint. `since` is an ISO 8601 time, "" where none is known; `pods`: those of this cluster, None: unknown.

    `regions` is what each region reports, `ready` and `wanted` are replicas over all of them.
    """

    name: str
    verdict: Verdict
    asked: str
    why: str = ""
    since: str = ""
    updated: str = ""
    ready: int = 0
    wanted: int = 0
    regions: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = None
    pods: tuple[PodHealth, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Trouble:
    verdict: Verdict
    why: str
    since: str


def standing_of(endpoint: Endpoint | Unreadable) -> Standing:
    """How one endpoint stands."""
    entries = endpoint.region_status
    ready = sum(one.replicas_ready for one in entries.values())
    wanted = sum(one.replicas_desired for one in entries.values())
    regions = {region: str(entries[region].state) for region in sorted(entries)}
    if isinstance(endpoint, Unreadable):
        return Standing(endpoint.name, Verdict.ERROR, "-", endpoint.error, ready=ready, wanted=wanted, regions=regions)
    found = min(_troubles(endpoint), key=_urgency, default=_Trouble(Verdict.AS_ASKED, "", ""))
    return Standing(
        name=endpoint.name,
        verdict=found.verdict,
        asked=str(endpoint.desired_state),
        why=found.why,
        since=found.since,
        updated=endpoint.updated_at,
        regions=regions,
        namespace=endpoint.namespace,
        ready=ready,
        wanted=wanted,
    )


def _troubles(endpoint: Endpoint) -> Iterator[_Trouble]:
    asked, entries = endpoint.updated_at, endpoint.region_status
    if endpoint.hold:
        yield _Trouble(Verdict.HELD, endpoint.hold, asked)
    yield from (_Trouble(Verdict.ERROR, str(problem), asked) for problem in endpoint.spec_problems)
    for region in sorted(endpoint.target_regions | entries.keys()):
        entry = entries.get(region)
        if region in endpoint.target_regions:
            why = _not_as_asked(endpoint, entry)
        else:
            why = "" if entry is None or entry.state is RegionState.DELETED else f"{entry.state}, no longer a target"
        if why:
            is_error = entry is not None and entry.state is RegionState.ERROR
            since = entry.last_sync if entry is not None and entry.last_sync else asked
            yield _Trouble(Verdict.ERROR if is_error else Verdict.WAITING, f"{region}: {why}", since)


def _not_as_asked(endpoint: Endpoint, entry: RegionStatus | None) -> str:
    if entry is None:
        return "has not reported"
    if entry.state is RegionState.ERROR:
        return entry.error or "error"
    if entry.state is not _WANTED[endpoint.desired_state] or is_for_another_intent(entry, endpoint.intent):
        return f"{entry.state} {entry.replicas_ready}/{entry.replicas_desired}"
    return ""


def _urgency(trouble: _Trouble) -> tuple[int, str]:
    # What somebody holds is left as it is, whatever else is to be said of it.
    worst = (Verdict.HELD, Verdict.ERROR, Verdict.WAITING)
    return worst.index(trouble.verdict), trouble.since


def with_pods(one: Standing, pods: Mapping[tuple[str, str], Sequence[PodHealth]], namespace: str) -> Standing:
    """With its pods of this cluster, by namespace and app; what ails the first of them is told where it waits."""
    mine = tuple(pods.get((one.namespace or namespace, one.name), ()))
    trouble = next((pod.reason for pod in mine if pod.reason), "")
    told = trouble and one.verdict in {Verdict.WAITING, Verdict.ERROR}
    return replace(one, pods=mine, why=f"{one.why}; {trouble}" if told else one.why)


def in_order(standings: Iterable[Standing], order: Order) -> list[Standing]:
    """Sorted: by standing the worst and longest first, by updated the newest, by ready those that lack most."""
    verdicts = list(Verdict)
    match order:
        case Order.STANDING:
            return sorted(standings, key=lambda one: (verdicts.index(one.verdict), one.since or "~", one.name))
        case Order.UPDATED:
            return sorted(sorted(standings, key=lambda one: one.name), key=lambda one: one.updated, reverse=True)
        case Order.READY:
            return sorted(standings, key=lambda one: (one.ready - one.wanted, one.name))
        case Order.NAME:
            return sorted(standings, key=lambda one: one.name)


def summary(standings: Sequence[Standing]) -> str:
    """How many there are of each verdict, in one line."""
    counts = {verdict: sum(one.verdict is verdict for one in standings) for verdict in Verdict}
    return (
        f"{len(standings)} endpoints: {counts[Verdict.AS_ASKED]} as asked, {counts[Verdict.WAITING]} waiting, "
        f"{counts[Verdict.ERROR]} in error, {counts[Verdict.HELD]} held"
    )


def cells(one: Standing, now: datetime, *, pods: bool) -> tuple[str, ...]:
    """A row of the table; see HEADINGS."""
    found = () if not pods else ("-" if one.pods is None else f"{sum(pod.ready for pod in one.pods)}/{len(one.pods)}",)
    told = ", ".join(f"{region} {state}" for region, state in one.regions.items()) or "-"
    ready = f"{one.ready}/{one.wanted}"
    return (one.name, str(one.verdict), one.asked, ready, *found, told, age(one.since, now), one.why)


def headings(*, pods: bool) -> tuple[str, ...]:
    """What stands above `cells`."""
    return ("NAME", "IS", "ASKED", "READY", *(("PODS",) if pods else ()), "REGIONS", "SINCE", "WHY")


def as_json(one: Standing) -> dict[str, Any]:
    """For programs."""
    pods = None if one.pods is None else [{"name": p.name, "ready": p.ready, "reason": p.reason} for p in one.pods]
    return {
        "name": one.name,
        "verdict": str(one.verdict),
        "asked": one.asked,
        "why": one.why,
        "since": one.since or None,
        "updated": one.updated or None,
        "ready": one.ready,
        "wanted": one.wanted,
        "regions": dict(one.regions),
        "pods": pods,
    }
