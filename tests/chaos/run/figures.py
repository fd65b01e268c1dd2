"""The figures of a run."""

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
    """Returns names and values in display order."""
    deeds = evidence.actions
    writes = Counter(deed.what for deed in deeds if deed.actor == "user" and not deed.failed)
    hands = sum(deed.actor == "hands" and not deed.failed for deed in deeds)
    lines = [line for each in logs.values() for line in each]
    steps = sum(len(line.get("steps", ())) for line in lines if line.get("message") == "reconciled")
    delays = sorted(_delays(evidence))
    terms = acting.terms(acts)
    return {
        "faults": f"{sum(faults.values())} of {len(faults)} kinds",
        "affected requests": f"{sum(struck.values())}",
        "user writes": f"{sum(writes.values())} of {len(writes)} kinds",
        "changes by other clients": f"{hands}",
        "table records": f"{len(evidence.changes)}",
        "promotions": f"{sum(is_promotion(change) for change in evidence.changes)}",
        "purges": f"{sum(not c.new and c.old.get('desired_state') == 'deleted' for c in evidence.changes)}",
        "reconciles": f"{sum(line.get('message') == 'reconciled' for line in lines)}",
        "executed steps": f"{steps}",
        "writes to the cluster": f"{len(acting.changes(acts))}",
        "leadership terms": f"{len(terms)}",
        "leaders ended by their self-fence": f"{burnt}",
        "longest time without a Lease write": f"{_longest_gap(acts):.1f} s",
        "from write to new pod template": _spread(delays),
        "from quiet to desired state": "never" if settled is None else f"{settled - evidence.quiet:.1f} s",
        "peak memory": f"{max(peaks.values(), default=0.0):.0f} MiB",
    }


def by_kind(faults: Counter[str], struck: Counter[str]) -> list[tuple[str, str]]:
    """Returns every kind of fault with its count and the number of requests that it affected."""
    return [
        (kind, f"{count}" + (f" ({struck[kind]} requests)" if kind in struck else ""))
        for kind, count in sorted(faults.items())
    ]


def _delays(evidence: Evidence) -> Iterable[float]:
    """Yields the seconds from a user's new image to the Deployment with this image, unless a newer image came first."""
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
    return f"p50 {middle:.2f} s, p99 {high:.1f} s, max {values[-1]:.1f} s (n={len(values)})"
