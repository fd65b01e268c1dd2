"""Publishes Kubernetes Events about changes to existing objects and about problems that block an endpoint.

A normal creation has no Event: Kubernetes' own controllers already report it, and the creation of thousands of
endpoints must not cause thousands of Events.
"""

from collections.abc import Callable
from typing import Literal

from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.reconcile.reconciler import ReconcileResult, Result
from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause
from gco_stream.planning.types.steps import Apply, Delete, Replace, Scale, Step, TransferReplicas

Emit = Callable[[ObjectRef, str, Literal["Normal", "Warning"], str, str], None]

_PUBLISHED_STEPS = (Apply, Scale, Replace, TransferReplicas)
_TARGET_KINDS = (Kind.DEPLOYMENT, Kind.INGRESS, Kind.SERVICE)


class EventPublisher:
    """Emits the Events of reconciles, about the endpoint's Deployment or, if it has none, its Ingress or Service.

    A plan's warning is emitted only when it is new, so the last warnings of each endpoint are kept.
    """

    def __init__(self, emit: Emit, cache: ClusterCache) -> None:
        self._emit = emit
        self._cache = cache
        self._last_warnings: dict[str, tuple[Cause, ...]] = {}

    def publish(self, name: str, outcome: ReconcileResult) -> None:
        """Emits the Events of one reconcile.

        If the endpoint has no Deployment, Ingress or Service, only Events of deletions are emitted, about the deleted
        objects.
        """
        changes = [step for step in outcome.steps if isinstance(step, _PUBLISHED_STEPS) and _is_user_visible(step)]
        events = [(step, event) for step in outcome.steps if (event := step.event) is not None]
        errors = outcome.errors or _reported_error(outcome)
        warnings = self._new_warnings(name, outcome)
        if not (changes or events or errors or warnings):
            return
        about = self._object_of(name)
        for step, event in events:
            target = about or (step if isinstance(step, Delete) else None)
            if target is not None:
                self._emit(
                    target.ref, target.uid, "Warning" if event.warning else "Normal", event.reason, event.message
                )
        if about is None:
            return
        for step in changes:
            self._emit(about.ref, about.uid, "Normal", "Updated", str(step))
        # The Event of a completed step may already have this reason, and a cause may be both a warning and an error.
        emitted = {event.reason for _, event in events}
        for cause in dict.fromkeys((*warnings, *errors)):
            if cause.reason not in emitted:
                self._emit(about.ref, about.uid, "Warning", cause.reason, cause.message)

    def _new_warnings(self, name: str, outcome: ReconcileResult) -> tuple[Cause, ...]:
        if outcome.plan is None:
            if outcome.result is Result.GONE:
                self._last_warnings.pop(name, None)
            return ()
        warnings, emitted = outcome.plan.warnings, self._last_warnings.get(name, ())
        if warnings:
            self._last_warnings[name] = warnings
        else:
            self._last_warnings.pop(name, None)
        return tuple(warning for warning in warnings if warning not in emitted)

    def _object_of(self, name: str) -> ObservedObject | None:
        objects = self._cache.observed(name).objects.values()
        candidates = [obj for obj in objects if obj.endpoint == name and obj.ref.kind in _TARGET_KINDS]
        return min(candidates, key=lambda obj: (_TARGET_KINDS.index(obj.ref.kind), obj.ref.name), default=None)


def _is_user_visible(step: Step) -> bool:
    return step.ref.kind in {Kind.DEPLOYMENT, Kind.INGRESS}


def _reported_error(outcome: ReconcileResult) -> tuple[Cause, ...]:
    report = outcome.plan.report if outcome.plan is not None else None
    if report is None or report.state is not RegionState.ERROR or report.reason is None:
        return ()
    return (Cause(report.reason, report.error),)
