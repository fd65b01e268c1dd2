"""Judges deletions (I7): nothing is deleted that the table wants to exist, as far as the deleter could know."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from tests.chaos.run.judges.staleness import UNREAD, stale_since
from tests.chaos.run.records.evidence import KINDS, Call, Event, Evidence, Histories, Plain, owner_of, runs, spec_of

_BY_HAND = 90.0
"""Seconds that a manual deletion may take, pods included."""


def unrequested_deletions(evidence: Evidence) -> list[str]:
    """Describes unrequested deletions by a replica, and objects that disappeared without a deletion by anybody."""
    histories = Histories(evidence.changes)
    readiness, going = _Readiness(evidence.events), _Terminating(evidence.events)
    found = []
    for call in evidence.calls:
        if call.verb == "deletecollection":
            found.append(f"{call.replica} deleted a whole collection: {call}")
        if call.verb == "delete" and 200 <= call.status < 300 and call.kind in KINDS and not call.subresource:
            if going.already(call.ref, call.at):
                continue
            since = stale_since(evidence.spans, call.replica, call.at)
            if why := _against(evidence, histories, readiness, call.ref, since, call.until):
                found.append(f"{call.replica} deleted {_describe(call)}, {why}")
    for event in _ended(evidence):
        since = stale_since(evidence.spans, "", event.at) - _BY_HAND
        if why := _against(evidence, histories, readiness, event.ref, since, event.at):
            found.append(f"{event.kind} {event.namespace}/{event.name} was deleted at {event.at:.3f}, {why}")
    return found


def _ended(evidence: Evidence) -> Iterator[Event]:
    """Yields the deletions of endpoints' objects that were not manual."""
    by_hand: dict[tuple[str, str, str], list[float]] = {}
    for deed in evidence.actions:
        if deed.about is not None and deed.what.startswith("delete"):
            by_hand.setdefault(deed.about, []).append(deed.at)
    for event in evidence.events:
        if event.type != "DELETED" or event.kind not in KINDS or event.ref in evidence.foreign or not event.endpoint:
            continue
        if not any(at - 1 < event.at < at + _BY_HAND for at in by_hand.get(event.ref, ())):
            yield event


def _against(
    evidence: Evidence,
    histories: Histories,
    readiness: "_Readiness",
    ref: tuple[str, str, str],
    since: float,
    until: float,
) -> str:
    """Returns why the object must not have been deleted, "" if it may have been."""
    kind, namespace, name = ref
    if ref in evidence.foreign:
        return "which is foreign"
    endpoint, canary = owner_of(kind, name)
    versions = histories.between(endpoint, since, until + UNREAD)
    if any(_wants_gone(item, kind, canary=canary, region=evidence.region) for item in versions):
        return ""
    if kind == "Ingress" and readiness.was_unready(namespace, endpoint, since, until):
        return ""
    last = versions[-1]
    return (
        f"while the item was {last.get('desired_state')} in {last.get('target_regions')} "
        f"(unchanged since {since:.3f}): {_desired_state(last)}"
    )


def _wants_gone(item: Plain, kind: str, *, canary: bool, region: str) -> bool:
    if not item or item.get("desired_state") == "deleted" or region not in item.get("target_regions", ()):
        return True
    spec = spec_of(item)
    if canary:
        return not spec.get("canary")
    running = runs(item, region)
    if kind == "Ingress":
        return not running or spec.get("replicas") == 0
    if kind == "HorizontalPodAutoscaler":
        return not running or not (spec.get("autoscaling") or {}).get("enabled")
    return False


class _Readiness:
    """When each main Deployment existed with a ready pod."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        self._seen: dict[tuple[str, str], list[tuple[float, bool]]] = {}
        for event in events:
            if event.kind == "Deployment":
                ready = event.type != "DELETED" and not event.obj["going"] and event.obj["ready"] > 0
                self._seen.setdefault((event.namespace, event.name), []).append((event.at, ready))

    def was_unready(self, namespace: str, name: str, since: float, until: float) -> bool:
        """Whether no pod was ready at some time within the interval."""
        seen = self._seen.get((namespace, name), [])
        times = [at for at, _ in seen]
        first = max(0, bisect_right(times, since) - 1)
        return not seen or times[0] > since or any(not ready for _, ready in seen[first : bisect_left(times, until)])


class _Terminating:
    """When objects were already being deleted: deleting them again has no effect."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        self._seen: dict[tuple[str, str, str], list[tuple[float, bool]]] = {}
        for event in events:
            self._seen.setdefault(event.ref, []).append((event.at, bool(event.obj["going"])))

    def already(self, ref: tuple[str, str, str], at: float) -> bool:
        seen = self._seen.get(ref, [])
        position = bisect_right([when for when, _ in seen], at)
        return position > 0 and seen[position - 1][1]


def _desired_state(item: Plain) -> str:
    spec = spec_of(item)
    return (
        ", ".join(f"{key} {spec[key]}" for key in ("replicas", "canary", "autoscaling") if key in spec)
        or "nothing else"
    )


def _describe(call: Call) -> str:
    return f"{call.kind} {call.namespace}/{call.name} at {call.at:.3f}"
