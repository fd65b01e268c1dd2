"""Judges restarts: every change of a Deployment's pod template was requested."""

import json
from collections.abc import Iterable

from tests.chaos.run.judges.staleness import MOMENT, UNREAD, applied_by, stale_since
from tests.chaos.run.records.evidence import Event, Evidence, Histories, Plain, owner_of, runs, spec_of

_POLICIES = frozenset({"replicas", "autoscaling", "canary", "image"})


def repeated_rollouts(evidence: Evidence) -> list[str]:
    """Describes Deployments with more template changes than items and manual edits requested."""
    histories = Histories(evidence.changes)
    edits = _edits(evidence)
    found = []
    for uid, events in _by_uid(evidence).items():
        endpoint, canary = owner_of("Deployment", events[0].name)
        since = stale_since(evidence.spans, "", events[0].at)
        hands = [at for at, until in edits.get(events[0].ref, ()) if until >= events[0].at - MOMENT]
        for count, event in enumerate(_turns(events)):
            asked = _consecutive(
                _inputs(item, canary=canary) for item in histories.between(endpoint, since, event.at + UNREAD)
            )
            by_hand = 2 * sum(at <= event.at + MOMENT for at in hands)
            allowed = max(0, asked - 1) + by_hand
            if count > allowed:
                found.append(
                    f"Deployment {event.namespace}/{event.name} ({uid[:8]}) got template no. {count + 1} at "
                    f"{event.at:.3f} ({event.obj['image']}), but items requested only {asked} since its creation"
                    f"{f', with {by_hand // 2} manual edits' if by_hand else ''}"
                )
                break
    return found


def unrequested_images(evidence: Evidence) -> list[str]:
    """Describes Deployments that got an image that was not requested at that time."""
    histories = Histories(evidence.changes)
    edits = _edits(evidence)
    found = []
    for events in _by_uid(evidence).values():
        endpoint, canary = owner_of("Deployment", events[0].name)
        for event in _turns(events):
            # A manual edit, and its repair.
            if any(at - MOMENT < event.at < until + MOMENT for at, until in edits.get(event.ref, ())):
                continue
            since = stale_since(evidence.spans, "", event.at)
            versions = histories.between(endpoint, since, event.at + UNREAD)
            asked = {_image(item, evidence.region, canary=canary) for item in versions}
            if not any(runs(item, evidence.region) or item.get("desired_state") == "stopped" for item in versions):
                found.append(f"Deployment {event.name} got {event.obj['image']} at {event.at:.3f} without an item")
            elif event.obj["image"] not in asked:
                found.append(
                    f"Deployment {event.namespace}/{event.name} got {event.obj['image']} at {event.at:.3f}, "
                    f"but items requested {sorted(asked)} since {since:.3f}"
                )
    return found


def _by_uid(evidence: Evidence) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in evidence.events:
        if event.kind == "Deployment" and event.type != "DELETED" and event.ref not in evidence.foreign:
            found.setdefault(event.uid, []).append(event)
    return found


def _turns(events: list[Event]) -> list[Event]:
    """Returns the first event, and each event with a new template."""
    found: list[Event] = []
    for event in events:
        if not found or event.obj["template"] != found[-1].obj["template"]:
            found.append(event)
    return found


def _edits(evidence: Evidence) -> dict[tuple[str, str, str], list[tuple[float, float]]]:
    """Returns the manual edits of each Deployment's template: each from its start until its latest effect."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for deed in evidence.actions:
        if deed.what == "edit template" and deed.about is not None:
            found.setdefault(deed.about, []).append((deed.at, applied_by(evidence.spans, deed)))
    return found


def _consecutive(inputs: Iterable[str]) -> int:
    """Counts the inputs, without consecutive repetitions."""
    count, last = 0, ""
    for one in inputs:
        if one and one != last:
            count, last = count + 1, one
    return count


def _inputs(item: Plain, *, canary: bool) -> str:
    """Returns all inputs of a template, "" if there must be none."""
    spec = spec_of(item)
    if not item or (canary and not spec.get("canary")):
        return ""
    image = spec["canary"].get("image") if canary else spec.get("image")
    rest = {key: value for key, value in spec.items() if key not in _POLICIES}
    return json.dumps([image, rest, item.get("ingress_path")], sort_keys=True, default=str)


def _image(item: Plain, region: str, *, canary: bool) -> str:
    spec = spec_of(item)
    if canary:
        return str((spec.get("canary") or {}).get("image", ""))
    return str((spec.get("region_image_uris") or {}).get(region) or spec.get("image", ""))
