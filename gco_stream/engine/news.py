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
from gco_stream.planning.steps import Apply, GiveReplicas, Replace, Scale, Step, tell_of

Emit = Callable[[ObjectRef, str, Literal["Normal", "Warning"], str, str], None]

_TOLD = (Apply, Scale, Replace, GiveReplicas)
_LOOKED_AT = (Kind.DEPLOYMENT, Kind.INGRESS, Kind.SERVICE)


class News:
    """Tells of reconciles by Events on the endpoint's Deployment, or on what else stands of it.

    Warnings are told when they change: those told last are kept, by endpoint, for the few that have any.
    """

    def __init__(self, emit: Emit, cache: ClusterCache) -> None:
        self._emit = emit
        self._cache = cache
        self._warned: dict[str, tuple[str, ...]] = {}

    def tell(self, name: str, outcome: Outcome) -> None:
        """Whatever of one reconcile is worth an Event; nothing where nothing of the endpoint stands."""
        changes = [step for step in outcome.steps if isinstance(step, _TOLD) and _concerns_people(step)]
        tells = [tell for tell in map(tell_of, outcome.steps) if tell is not None]
        errors = outcome.errors or _reported_error(outcome)
        warnings = self._new_warnings(name, outcome)
        if not (changes or tells or errors or warnings):
            return
        about = self._object_of(name)
        if about is None:
            return
        for step in changes:
            self._emit(about.ref, about.uid, "Normal", "Updated", str(step))
        for tell in tells:
            self._emit(about.ref, about.uid, "Warning" if tell.warning else "Normal", tell.reason, tell.message)
        for warning in warnings:
            self._emit(about.ref, about.uid, "Warning", "Attention", warning)
        for error in errors:
            self._emit(about.ref, about.uid, "Warning", "Contested" if outcome.contested else "NotAsAsked", error)

    def _new_warnings(self, name: str, outcome: Outcome) -> tuple[str, ...]:
        if outcome.made is None:
            if outcome.result == "gone":
                self._warned.pop(name, None)
            return ()
        warnings, told = outcome.made.warnings, self._warned.get(name, ())
        if warnings:
            self._warned[name] = warnings
        else:
            self._warned.pop(name, None)
        return tuple(warning for warning in warnings if warning not in told)

    def _object_of(self, name: str) -> ObservedObject | None:
        objects = self._cache.observed(name).objects.values()
        mine = [obj for obj in objects if obj.endpoint == name and obj.ref.kind in _LOOKED_AT]
        return min(mine, key=lambda obj: (_LOOKED_AT.index(obj.ref.kind), obj.ref.name), default=None)


def _concerns_people(step: Step) -> bool:
    return step.ref.kind in {Kind.DEPLOYMENT, Kind.INGRESS}


def _reported_error(outcome: Outcome) -> tuple[str, ...]:
    report = outcome.made.report if outcome.made is not None else None
    return (report.error,) if report is not None and report.state is RegionState.ERROR and report.error else ()
