"""Judges foreign objects (I5), rest (I9), and reports of "deleted" while objects exist."""

from collections.abc import Mapping

from tests.chaos.run.records.evidence import Event, Evidence

_TOLERANCE = 1.0
_TAKEN = 409


def foreign_writes(evidence: Evidence) -> list[str]:
    """Describes successful writes of a replica to foreign objects."""
    return [
        f"{call.replica}: {call.verb} of foreign {call.kind} {call.namespace}/{call.name} at {call.at:.3f}"
        for call in evidence.calls
        if call.is_write and 200 <= call.status < 300 and call.ref in evidence.foreign
    ]


def reported_deleted_too_early(evidence: Evidence) -> list[str]:
    """Describes reports of "deleted" while objects existed, as seen by a watch before and after the report."""
    lives = _lives(evidence)
    found = []
    for change in evidence.changes:
        if _state(change.new, evidence.region) != "deleted" or _state(change.old, evidence.region) == "deleted":
            continue
        if not change.old:
            continue
        left = [
            f"{kind} {name}"
            for kind, name, begin, end in lives.get(change.name, ())
            if begin < change.at - _TOLERANCE and end > change.at + _TOLERANCE
        ]
        if left:
            found.append(f"{change.name}: reported deleted at {change.at:.3f} while {', '.join(left)} existed")
    return found


def writes_at_rest(evidence: Evidence, since: float) -> list[str]:
    """Describes writes to the cluster or the table at rest.

    Lease renewals do not count, nor do attempts to create an object whose name is taken.
    """
    found = [
        f"{call.replica}: {call.verb} {call.kind} {call.namespace}/{call.name} ({call.status}) at rest"
        for call in evidence.calls
        if call.is_write
        and call.at > since
        and call.kind != "Lease"
        and not (call.ref in evidence.foreign and call.status == _TAKEN)
    ]
    found += [
        f"{change.name}: written at rest: {change.new.get('region_status')}"
        for change in evidence.changes
        if change.at > since
    ]
    return found


def _state(item: Mapping[str, object], region: str) -> str:
    statuses = item.get("region_status")
    entry = statuses.get(region) if isinstance(statuses, Mapping) else None
    return str(entry.get("state", "")) if isinstance(entry, Mapping) else ""


def _lives(evidence: Evidence) -> dict[str, list[tuple[str, str, float, float]]]:
    """Returns the lifetimes of the objects of each endpoint; deletions found by a new list do not count."""
    begun: dict[str, Event] = {}
    found: dict[str, list[tuple[str, str, float, float]]] = {}
    for event in evidence.events:
        if event.ref in evidence.foreign:
            continue
        if event.type == "DELETED":
            first = begun.pop(event.uid, None)
            if first is not None and event.endpoint and not event.guessed:
                found.setdefault(event.endpoint, []).append((event.kind, event.name, first.at, event.at))
        else:
            begun.setdefault(event.uid, event)
    for first in begun.values():
        if first.endpoint:
            found.setdefault(first.endpoint, []).append((first.kind, first.name, first.at, evidence.ended))
    return found
