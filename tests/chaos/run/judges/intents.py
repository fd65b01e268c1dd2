"""Judges the table's history (I6): it has only users' writes, and promotions and purges that all regions agreed on."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from gco_stream.model import wire
from tests.chaos.run.judges.staleness import UNREAD, stale_since
from tests.chaos.run.records.evidence import Action, Change, Evidence, Plain

BY_HAND = "take the item out by hand"
_NOT_ASKED = frozenset({"region_status", "updated_at"})


def overwritten(evidence: Evidence) -> list[str]:
    """Describes changes of the desired state that are not a user's write, a valid promotion or a valid purge."""
    marks = {deed.mark for deed in evidence.actions if deed.actor == "user" and deed.mark}
    of_all = tuple(span for span in evidence.spans if not span.replica)
    unknown: dict[str, list[Action]] = {}
    for deed in evidence.actions:
        if deed.actor == "user" and not deed.mark:
            unknown.setdefault(deed.name, []).append(deed)
    found = []
    for change in evidence.changes:
        if _desired(change.old) == _desired(change.new):
            continue
        if change.new and change.new.get("updated_at") in marks:
            continue
        if is_promotion(change):
            found += _wrong_promotion(change)
            continue
        if not change.new and (taken := _taken_out_by_hand(unknown.get(change.name, []), change.at)) is not None:
            # One action explains one removal, however late its record was read.
            unknown[change.name].remove(taken)
            continue
        since = stale_since(of_all, "", change.at) - UNREAD
        if any(deed.at <= change.at and deed.until >= since for deed in unknown.get(change.name, ())):
            continue
        if not change.new:
            found += _wrong_purge(change)
        else:
            found.append(f"{change.name}: at {change.at:.3f} nobody wrote {_difference(change)}")
    return found


def _taken_out_by_hand(deeds: list[Action], at: float) -> Action | None:
    return next((deed for deed in deeds if deed.what == BY_HAND and deed.at <= at), None)


def lost_writes(evidence: Evidence) -> list[str]:
    """Describes successful user writes that are missing in the table's history."""
    written = {change.new.get("updated_at") for change in evidence.changes}
    return [
        f"{deed.name}: {deed.what} at {deed.at:.3f} is missing in the table's history"
        for deed in evidence.actions
        if deed.actor == "user" and deed.mark and deed.mark not in written
    ]


def promoted_twice(evidence: Evidence) -> list[str]:
    """Describes items that were promoted more than once after a user's write."""
    counts: Counter[str] = Counter()
    found = []
    for change in evidence.changes:
        if is_promotion(change):
            counts[change.name] += 1
            if counts[change.name] > 1:
                found.append(f"{change.name}: promotion no. {counts[change.name]} at {change.at:.3f}")
        elif _desired(change.old) != _desired(change.new):
            counts[change.name] = 0
    return found


def epochs_in_order(evidence: Evidence) -> list[str]:
    """Describes reports of an earlier leader that came after a later leader's."""
    last: dict[tuple[str, str], int] = {}
    found = []
    for change in evidence.changes:
        for region, entry in _statuses(change.new).items():
            epoch = int(entry.get("epoch", 0))
            before = last.get((change.name, region), 0)
            if epoch < before:
                found.append(
                    f"{change.name}: at {change.at:.3f} a report of epoch {epoch} followed one of epoch {before}"
                )
            last[change.name, region] = epoch
    return found


def is_promotion(change: Change) -> bool:
    if not change.old or not change.new:
        return False
    old, new = dict(_desired(change.old)), dict(_desired(change.new))
    return (old.pop("desired_state", ""), new.pop("desired_state", "")) == ("deploying", "running") and old == new


def _wrong_promotion(change: Change) -> list[str]:
    entries = _statuses(change.old)
    intent = wire.intent_of(wire.encode(change.old))
    wrong = [
        f"{region} reported {entries.get(region, {}).get('state', 'nothing')}"
        for region in change.old.get("target_regions", ())
        if not _says(entries.get(region, {}), "running", intent)
    ]
    return [f"{change.name}: promoted at {change.at:.3f} although {', '.join(wrong)}"] if wrong else []


def _wrong_purge(change: Change) -> list[str]:
    entries = _statuses(change.old)
    intent = wire.intent_of(wire.encode(change.old))
    wrong = [] if change.old.get("desired_state") == "deleted" else [f"it was {change.old.get('desired_state')}"]
    wrong += [
        f"{region} did not report it"
        for region in change.old.get("target_regions", ())
        if not _says(entries.get(region, {}), "deleted", intent)
    ]
    wrong += [
        f"{region} reported {entry.get('state')}" for region, entry in entries.items() if entry["state"] != "deleted"
    ]
    return [f"{change.name}: removed from the table at {change.at:.3f} although {', '.join(wrong)}"] if wrong else []


def _says(entry: Mapping[str, Any], state: str, intent: str) -> bool:
    return entry.get("state") == state and entry.get("intent", intent) == intent


def _statuses(item: Plain) -> Mapping[str, Any]:
    found = item.get("region_status")
    return found if isinstance(found, Mapping) else {}


def _desired(item: Plain) -> Plain:
    return {key: value for key, value in item.items() if key not in _NOT_ASKED}


def _difference(change: Change) -> str:
    old, new = _desired(change.old), _desired(change.new)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(f"{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in keys)
