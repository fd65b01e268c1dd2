"""What people are told by Kubernetes Events: changes to what runs, and what is in the way.

Creations are not told: the API server's own parts tell of them, and a start with thousands of endpoints must not write
an Event for each.
"""

from collections.abc import Callable
from typing import Literal

from gco_stream.cluster.cache import ClusterCache
from gco_stream.engine.reconciler import Outcome
from gco_stream.model.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject
from gco_stream.planning.steps import Apply, GiveReplicas, Replace, Scale, Step

Emit = Callable[[ObjectRef, str, Literal["Normal", "Warning"], str, str], None]

_TOLD = (Apply, Scale, Replace, GiveReplicas)
_LOOKED_AT = (Kind.DEPLOYMENT, Kind.INGRESS, Kind.SERVICE)


class News:
    """Tells of reconciles by Events on the endpoint's Deployment, or on what else stands of it."""

    def __init__(self, emit: Emit, cache: ClusterCache) -> None:
        self._emit = emit
        self._cache = cache

    def tell(self, name: str, outcome: Outcome) -> None:
        """Whatever of one reconcile is worth an Event; nothing where nothing of the endpoint stands."""
        changes = [step for step in outcome.steps if isinstance(step, _TOLD) and _concerns_people(step)]
        errors = outcome.errors or _reported_error(outcome)
        if not changes and not errors:
            return
        about = self._object_of(name)
        if about is None:
            return
        for step in changes:
            self._emit(about.ref, about.uid, "Normal", "Updated", str(step))
        for error in errors:
            self._emit(about.ref, about.uid, "Warning", "Contested" if outcome.contested else "NotAsAsked", error)

    def _object_of(self, name: str) -> ObservedObject | None:
        objects = self._cache.observed(name).objects.values()
        mine = [obj for obj in objects if obj.endpoint == name and obj.ref.kind in _LOOKED_AT]
        return min(mine, key=lambda obj: (_LOOKED_AT.index(obj.ref.kind), obj.ref.name), default=None)


def _concerns_people(step: Step) -> bool:
    return step.ref.kind in {Kind.DEPLOYMENT, Kind.INGRESS}


def _reported_error(outcome: Outcome) -> tuple[str, ...]:
    report = outcome.made.report if outcome.made is not None else None
    return (report.error,) if report is not None and report.state is RegionState.ERROR and report.error else ()
