"""What a run amounted to, in numbers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.chaos.leadership import audited_writes as acting
from tests.chaos.leadership.audited_writes import LeaderWrite
from tests.chaos.run.judges.intents import is_promotion
from tests.chaos.run.records.evidence import Evidence, Histories, runs, spec_of


def statistics(
    evidence: Evidence,
    acts: Sequence[LeaderWrite],
    faults: Counter[str],
    struck: Counter[str],
    logs: Mapping[str, Iterable[Mapping[str, Any]]],
    peaks: Mapping[str, float],
    burnt: int,
    settled: float | None,
) -> dict[str, str]:
    """Name and value, in the order in which they are shown."""
    deeds = evidence.actions
    writes = Counter(deed.what for deed in deeds if deed.actor == "user" and not deed.failed)
    hands = sum(deed.actor == "hands" and not deed.failed for deed in deeds)
    lines = [line for each in logs.values() for line in each]
    steps = sum(len(line.get("steps", ())) for line in lines if line.get("message") == "reconciled")
    delays = sorted(_delays(evidence))
    terms = acting.terms(acts)
    return {
        "faults": f"{sum(faults.values())} of {len(faults)} kinds",
        "requests struck": f"{sum(struck.values())}",
        "user writes": f"{sum(writes.values())} of {len(writes)} kinds",
        "changes by other hands": f"{hands}",
        "table records": f"{len(evidence.changes)}",
        "promotions": f"{sum(is_promotion(change) for change in evidence.changes)}",
        "purges": f"{sum(not c.new and c.old.get('desired_state') == 'deleted' for c in evidence.changes)}",
        "reconciles": f"{sum(line.get('message') == 'reconciled' for line in lines)}",
        "steps done": f"{steps}",
        "writes to the cluster": f"{len(acting.changes(acts))}",
        "terms of leaders": f"{len(terms)}",
        "leaders ended by the lease's fuse": f"{burnt}",
        "longest without a sign of a leader": f"{_longest_gap(acts):.1f} s",
        "write to new pod template": _spread(delays),
        "quiet to all as asked": "never" if settled is None else f"{settled - evidence.quiet:.1f} s",
        "memory at most": f"{max(peaks.values(), default=0.0):.0f} MiB",
    }


def by_kind(faults: Counter[str], struck: Counter[str]) -> list[tuple[str, str]]:
    """Every kind of fault: how often, and how many requests it struck."""
    return [
        (kind, f"{count}" + (f" ({struck[kind]} requests)" if kind in struck else ""))
        for kind, count in sorted(faults.items())
    ]


def _delays(evidence: Evidence) -> Iterable[float]:
    """From a user's new image to the Deployment that has it, where nothing newer came before."""
    shown: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for event in evidence.events:
        if event.kind == "Deployment" and event.type != "DELETED":
            shown.setdefault((event.namespace, event.name), []).append((event.at, event.obj["image"]))
    histories = Histories(evidence.changes)
    for change in evidence.changes:
        if change.at < evidence.began:
            continue
        image = spec_of(change.new).get("image")
        if image == spec_of(change.old).get("image") or not runs(change.new, evidence.region) or "hold" in change.new:
            continue
        events = shown.get((str(change.new.get("namespace")), change.name), [])
        first = next((at for at, seen in events if at > change.at - 1 and seen == image), None)
        if first is not None and spec_of(histories.at(change.name, first)).get("image") == image:
            yield max(0.0, first - change.at)


def _longest_gap(acts: Sequence[LeaderWrite]) -> float:
    proofs = [act.received for act in acts if act.proves_leadership]
    return max((after - before for before, after in pairwise(proofs)), default=0) / 1e6


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    middle, high = values[len(values) // 2], values[min(len(values) - 1, len(values) * 99 // 100)]
    return f"half within {middle:.2f} s, 99 % within {high:.1f} s, all within {values[-1]:.1f} s ({len(values)})"
