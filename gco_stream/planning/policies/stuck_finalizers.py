"""Deletions that hang: an object that is terminating waits for its finalizers, and these may wait for ever.

A Deployment's pods on a lost node never go. Where it is to be made anew it is deleted once more, without waiting for
them; every other finalizer is somebody's promise to clean up, so it is only told of.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from gco_stream.model.objects import ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.types.plan import Delete, LookAgain, Part, Tell, earliest

PATIENCE = 30.0
"""Seconds for which an object may be terminating before anything is done or said about it."""

_PODS = "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class Hanging:
    """Deletions to be sent again, what is waited for in words, and when the next of them counts as hanging."""

    steps: tuple[Delete, ...] = ()
    complaints: tuple[Cause, ...] = ()
    look_again: LookAgain | None = None


def decide(terminating: Iterable[ObservedObject], remade: Collection[tuple[ObjectRef, Part]], now: datetime) -> Hanging:
    """What to do about objects of ours that are terminating; `remade`: Deployments that are to be made anew."""
    steps: list[Delete] = []
    complaints: list[Cause] = []
    look_again: LookAgain | None = None
    parts = dict(remade)
    for observed in terminating:
        left = PATIENCE - _elapsed(observed.deleting_since, now)
        if left > 0:
            look_again = earliest(look_again, LookAgain(left, f"{observed.ref} is terminating"))
        elif _PODS in observed.finalizers and observed.ref in parts:
            steps.append(_without_pods(observed, parts[observed.ref]))
        elif observed.finalizers:
            message = f"{observed.ref} is terminating and waits for {_awaited(observed)}"
            complaints.append(Cause(Reason.DELETION_BLOCKED, message))
    return Hanging(tuple(steps), tuple(complaints), look_again)


def _without_pods(observed: ObservedObject, part: Part) -> Delete:
    return Delete(
        observed.ref,
        observed.uid,
        "it is to be made anew, and its pods do not end",
        part,
        background=True,
        tell=Tell("PodsLeftBehind", f"{observed.ref} was deleted without waiting any longer for its pods to end"),
    )


def _awaited(observed: ObservedObject) -> str:
    others = sorted(set(observed.finalizers) - {_PODS})
    waits = ["its pods to end"] if _PODS in observed.finalizers else []
    if others:
        waits.append(f"{'finalizers' if len(others) > 1 else 'the finalizer'} {', '.join(others)}")
    return " and ".join(waits)


def _elapsed(since: str, now: datetime) -> float:
    try:
        return (now - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):
        return float("inf")
