"""Stuck deletions: terminating objects whose finalizers are not removed in time.

Pods on a lost node never terminate. If their Deployment must be recreated, it is deleted again without waiting for
them. Any other finalizer is only reported, because its controller still has to clean up.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from gco_stream.model.objects import ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.times import seconds_since
from gco_stream.planning.types.decision import RequeueAfter, soonest
from gco_stream.planning.types.steps import Delete, Part, StepEvent

FINALIZER_TIMEOUT = 30.0
"""Seconds for which an object may be terminating before anything is done or reported about it."""

_PODS = "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class StuckFinalizers:
    """The deletions to repeat, the causes to report, and the requeue for deletions that may become stuck."""

    steps: tuple[Delete, ...] = ()
    degraded_reasons: tuple[Cause, ...] = ()
    requeue_after: RequeueAfter | None = None


def decide(
    terminating: Iterable[ObservedObject], to_recreate: Collection[tuple[ObjectRef, Part]], now: datetime
) -> StuckFinalizers:
    """Decides how to handle the terminating objects of an endpoint. `to_recreate`: the Deployments to recreate."""
    steps: list[Delete] = []
    degraded_reasons: list[Cause] = []
    requeue_after: RequeueAfter | None = None
    parts = dict(to_recreate)
    for observed in terminating:
        remaining = FINALIZER_TIMEOUT - seconds_since(observed.deleting_since, now)
        if remaining > 0:
            requeue_after = soonest(requeue_after, RequeueAfter(remaining, f"{observed.ref} is terminating"))
        elif _PODS in observed.finalizers and observed.ref in parts:
            steps.append(_without_pods(observed, parts[observed.ref]))
        elif observed.finalizers:
            message = f"{observed.ref} is terminating and waits for {_pending_finalizers(observed)}"
            degraded_reasons.append(Cause(Reason.DELETION_BLOCKED, message))
    return StuckFinalizers(tuple(steps), tuple(degraded_reasons), requeue_after)


def _without_pods(observed: ObservedObject, part: Part) -> Delete:
    return Delete(
        observed.ref,
        "it must be recreated, and its pods do not terminate",
        part,
        StepEvent("PodsLeftBehind", f"{observed.ref} was deleted without waiting for its pods to terminate"),
        uid=observed.uid,
        background=True,
    )


def _pending_finalizers(observed: ObservedObject) -> str:
    others = sorted(set(observed.finalizers) - {_PODS})
    waits = ["its pods to terminate"] if _PODS in observed.finalizers else []
    if others:
        waits.append(f"{'the finalizers' if len(others) > 1 else 'the finalizer'} {', '.join(others)}")
    return " and ".join(waits)
