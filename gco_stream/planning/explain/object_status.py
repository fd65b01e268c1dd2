"""The status of each object of one endpoint, and the reason for it.

If the plan has steps for an object, they determine its status. Otherwise, the decisions behind the plan determine it.
The explanation therefore always agrees with what is executed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gco_stream.model import names
from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.item.problem import summarize
from gco_stream.model.kinds import RESOURCES
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject
from gco_stream.model.reasons import ROUTE_REASONS, Cause, Reason
from gco_stream.model.times import seconds_since
from gco_stream.planning.explain.explain_context import ExplainContext
from gco_stream.planning.explain.field_changes import field_changes
from gco_stream.planning.explain.template_upgrade import upgrade_changes
from gco_stream.planning.policies import contested
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.types.decision import Decision
from gco_stream.planning.types.ownership import not_owned
from gco_stream.planning.types.steps import Apply, Create, Delete, Step


class ObjectState(StrEnum):
    """The status of an object. It is one of the WOULD_* values if and only if the plan has steps for the object."""

    IN_SYNC = "InSync"
    WOULD_CREATE = "WouldCreate"
    WOULD_CHANGE = "WouldChange"
    WOULD_DELETE = "WouldDelete"
    HELD = "Held"
    LEFT_ALONE = "LeftAlone"
    NOT_OWNED = "NotOwned"
    TERMINATING = "Terminating"
    NOT_NEEDED = "NotNeeded"

    @property
    def text(self) -> str:
        """The status as text for users."""
        return _WORDS[self]

    @property
    def acts(self) -> bool:
        """Whether the plan has steps for the object."""
        return self in {ObjectState.WOULD_CREATE, ObjectState.WOULD_CHANGE, ObjectState.WOULD_DELETE}


_WORDS: Final[Mapping[ObjectState, str]] = MappingProxyType(
    {
        ObjectState.IN_SYNC: "in sync",
        ObjectState.WOULD_CREATE: "would be created",
        ObjectState.WOULD_CHANGE: "would change",
        ObjectState.WOULD_DELETE: "would be deleted",
        ObjectState.HELD: "held",
        ObjectState.LEFT_ALONE: "left alone",
        ObjectState.NOT_OWNED: "not owned",
        ObjectState.TERMINATING: "terminating",
        ObjectState.NOT_NEEDED: "not needed",
    }
)


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """The status of one object.

    `details`: lines of text; for a change, one line per field that differs. `without_limits`: the status without the
    hold or limit that prevents steps for the object; None if none are prevented. `upgrade`: one line per field that an
    upgrade of the pod template would change; None if no newer version exists. `reason`: the code of what prevents
    steps; None if nothing does.
    """

    ref: ObjectRef
    state: ObjectState
    message: str = ""
    details: tuple[str, ...] = ()
    without_limits: ObjectState | None = None
    upgrade: tuple[str, ...] | None = None
    reason: Reason | None = None


def object_statuses(context: ExplainContext) -> tuple[ObjectStatus, ...]:
    """Returns the status of every desired or live object, main objects first."""
    blocked = _blocking_error(context)
    canary_error = None if blocked else _canary_error(context)
    found: list[ObjectStatus | None] = []
    for ref in _refs(context):
        observed = context.context.observed.objects.get(ref)
        if steps := context.steps(ref):
            found.append(_acted_on(context, ref, observed, steps))
        elif observed is None:
            found.append(_absent(context, ref, blocked, canary_error))
        else:
            found.append(_present(context, observed, blocked, canary_error))
    return tuple(status for status in found if status is not None)


def _refs(context: ExplainContext) -> list[ObjectRef]:
    reconcile_context = context.context
    named = [(kind, resource.names_of(reconcile_context.endpoint.name)) for kind, resource in RESOURCES.items()]
    refs = [ObjectRef(kind, reconcile_context.namespace, names_of[0]) for kind, names_of in named]
    refs += [ObjectRef(kind, reconcile_context.namespace, name) for kind, names_of in named for name in names_of[1:]]
    others = {*(obj.ref for obj in reconcile_context.all_owned()), *(step.ref for step in context.plan.steps)}
    order = list(Kind)
    return [*refs, *sorted(others - set(refs), key=lambda ref: (ref.namespace, order.index(ref.kind), ref.name))]


def _would(steps: Sequence[Step]) -> ObjectState:
    if any(isinstance(step, Delete) for step in steps):
        return ObjectState.WOULD_DELETE
    return ObjectState.WOULD_CREATE if any(isinstance(step, Create) for step in steps) else ObjectState.WOULD_CHANGE


def _acted_on(
    context: ExplainContext, ref: ObjectRef, observed: ObservedObject | None, steps: Sequence[Step]
) -> ObjectStatus:
    described = field_changes(steps, observed)
    status = ObjectStatus(ref, _would(steps), described.message, described.details)
    if observed is None or status.state is not ObjectState.WOULD_CHANGE:
        return status
    decision = _decision(context, ref)
    if decision is None or any(isinstance(step, Apply) for step in steps):
        return status
    notes = tuple(note.message for note in decision.notes)
    return replace(status, details=(*described.details, *notes), upgrade=_upgrade(context, observed))


def _absent(
    context: ExplainContext,
    ref: ObjectRef,
    blocked: Cause | None,
    canary_error: Cause | None,
) -> ObjectStatus | None:
    if context.is_leaving or not _is_asked_for(context, ref) or (context.is_stopping and blocked):
        return None
    if context.is_stopping:
        of_running = ref.kind in {Kind.INGRESS, Kind.HPA}
        why = "the endpoint is stopped" if of_running else "objects are not created while the endpoint is stopped"
        return ObjectStatus(ref, ObjectState.NOT_NEEDED, why)
    if steps := context.steps_if_allowed(ref):
        return _held(context, ref, None, steps)
    error = blocked or (canary_error if context.belongs_to_canary(ref) else None)
    if error is not None:
        return ObjectStatus(ref, ObjectState.HELD, error.message, reason=error.reason)
    return ObjectStatus(ref, ObjectState.NOT_NEEDED, _why_no_route(context) if ref.kind is Kind.INGRESS else "")


def _present(
    context: ExplainContext, observed: ObservedObject, blocked: Cause | None, canary_error: Cause | None
) -> ObjectStatus | None:
    reconcile_context, ref = context.context, observed.ref
    is_leftover = context.belongs_to_canary(ref) and not _is_asked_for(context, ref)
    if is_leftover and observed not in reconcile_context.all_owned():
        return None
    if not reconcile_context.owns(observed):
        cause = not_owned(observed, reconcile_context.policy.table_arn)
        return ObjectStatus(ref, ObjectState.NOT_OWNED, cause.message, reason=cause.reason)
    if steps := context.steps_if_allowed(ref):
        return _held(context, ref, observed, steps)
    if (hindered := _blocked_by_others(context, observed)) is not None:
        return hindered
    error = _error_for(context, ref, blocked) or (canary_error if context.belongs_to_canary(ref) else None)
    if error is not None:
        return ObjectStatus(ref, ObjectState.HELD, error.message, reason=error.reason)
    if context.is_leaving:
        return ObjectStatus(ref, ObjectState.LEFT_ALONE, f"it may belong to the endpoint {ref.name}")
    if context.spec is None:
        return ObjectStatus(ref, ObjectState.LEFT_ALONE, summarize(reconcile_context.endpoint.all_problems))
    if is_leftover:
        return ObjectStatus(ref, ObjectState.LEFT_ALONE, _why_canary_stays(context))
    if context.is_stopping and context.belongs_to_canary(ref):
        return ObjectStatus(
            ref, ObjectState.LEFT_ALONE, "the endpoint is stopped, which only removes the canary's pods"
        )
    return _in_sync(context, observed)


def _held(
    context: ExplainContext, ref: ObjectRef, observed: ObservedObject | None, steps: Sequence[Step]
) -> ObjectStatus:
    described = field_changes(steps, observed)
    details = (described.message, *described.details) if described.message else described.details
    limit = context.limit
    return ObjectStatus(
        ref, ObjectState.HELD, limit.message, details, without_limits=_would(steps), reason=limit.reason
    )


def _blocked_by_others(context: ExplainContext, observed: ObservedObject) -> ObjectStatus | None:
    """Returns the status of a terminating or contested object; None for any other object."""
    if observed.deleting:
        return _terminating(context, observed)
    if contested.contested_annotation(observed) is None or context.is_leaving:
        return None
    why = (
        f"another field manager keeps changing it ({names.CONTESTED_ANNOTATION}); the region's report lists the fields"
    )
    return ObjectStatus(observed.ref, ObjectState.LEFT_ALONE, why, reason=Reason.CONTESTED)


def _terminating(context: ExplainContext, observed: ObservedObject) -> ObjectStatus:
    recreated = not context.is_leaving and not context.is_stopping and _is_asked_for(context, observed.ref)
    details = ("it is recreated once it is gone",) if recreated else ()
    return ObjectStatus(observed.ref, ObjectState.TERMINATING, _for_how_long(observed, context.context.now), details)


def _for_how_long(observed: ObservedObject, now: datetime) -> str:
    seconds = seconds_since(observed.deleting_since, now)
    return "" if math.isinf(seconds) else f"for {max(0.0, seconds):.0f} s"


def _in_sync(context: ExplainContext, observed: ObservedObject) -> ObjectStatus:
    """Returns the status of an object that the plan leaves unchanged."""
    decision = _decision(context, observed.ref)
    if decision is None:
        return ObjectStatus(observed.ref, ObjectState.IN_SYNC)
    details = _scaled_by(context, observed)
    upgrade = _upgrade(context, observed)
    why = "; ".join(note.message for note in decision.notes)
    if not why and upgrade is not None:
        version = observed.annotations.get(names.TEMPLATE_VERSION_ANNOTATION)
        why = f"its pod template has version {version}; the newest is {context.context.policy.renderings.current}"
    state = ObjectState.LEFT_ALONE if why else ObjectState.IN_SYNC
    return ObjectStatus(observed.ref, state, why, details, upgrade=upgrade)


def _scaled_by(context: ExplainContext, observed: ObservedObject) -> tuple[str, ...]:
    spec = context.spec
    if spec is None or not spec.autoscaling.enabled or context.is_stopping or context.belongs_to_canary(observed.ref):
        return ()
    bounds = f"{spec.autoscaling.min_replicas} to {spec.autoscaling.max_replicas}"
    return (f"spec.replicas: is {observed.spec.get('replicas', 1)}, managed by the HPA ({bounds})",)


def _upgrade(context: ExplainContext, observed: ObservedObject) -> tuple[str, ...] | None:
    """Returns the changes that the newest pod template would make; None if the object has no older template."""
    if observed.ref.kind is not Kind.DEPLOYMENT or observed.deleting:
        return None
    version, newest = deployments.version_of(observed), context.context.policy.renderings.current
    behind = not observed.ownership.applied or (version is not None and version < newest)
    if not behind:
        return None
    changes, _ = upgrade_changes(context.unrestricted_context, [observed], {})
    return changes.get(observed.ref, ())


def _decision(context: ExplainContext, ref: ObjectRef) -> Decision | None:
    """Returns the plan's decision on a Deployment of the endpoint; None for any other object."""
    decided, namespace = context.plan.decided, context.context.namespace
    if ref == ObjectRef(Kind.DEPLOYMENT, namespace, context.context.endpoint.name):
        return decided.main
    if ref == ObjectRef(Kind.DEPLOYMENT, namespace, context.context.canary) and decided.canary is not None:
        return decided.canary.deployment
    return None


def _is_asked_for(context: ExplainContext, ref: ObjectRef) -> bool:
    """Returns whether the desired state includes the object. With an invalid spec, it has no HPA and no canary."""
    spec = context.spec
    if context.belongs_to_canary(ref):
        return context.context.endpoint.has_canary and spec is not None
    if ref.kind is Kind.HPA:
        return spec is not None and spec.autoscaling.enabled
    return True


def _why_no_route(context: ExplainContext) -> str:
    route = context.plan.decided.route
    if route is None:
        return "replicas is 0, so there is nothing to route to"
    if route.errors:
        return "; ".join(map(str, route.errors))
    return next((note.message for note in route.notes), "it depends on the pods, which have not been listed")


def _blocking_error(context: ExplainContext) -> Cause | None:
    """Returns the error of the plan that blocks all objects; None if there is none."""
    report = context.unlimited_plan.report
    if context.is_leaving or report is None or report.state is not RegionState.ERROR or report.reason is None:
        return None
    if report.reason is Reason.CONTESTED or (report.reason in ROUTE_REASONS and context.unlimited_plan.decided.main):
        return None
    return Cause(report.reason, report.error)


def _error_for(context: ExplainContext, ref: ObjectRef, blocked: Cause | None) -> Cause | None:
    """Returns the error that blocks this object, if any. A stop continues despite an error of the main Deployment."""
    if blocked is not None and context.is_stopping and context.main is not None and ref != context.main.ref:
        decision = _decision(context, context.main.ref)
        if decision is not None and blocked.reason in {error.reason for error in decision.errors}:
            return None
    return blocked


def _canary_error(context: ExplainContext) -> Cause | None:
    decision = context.plan.decided.canary
    if decision is None or not decision.degraded_reasons:
        return None
    errors = decision.degraded_reasons
    return Cause(errors[0].reason, "; ".join(map(str, errors)))


def _why_canary_stays(context: ExplainContext) -> str:
    decision = context.plan.decided.canary
    if decision is None:
        return ""
    requeue = decision.requeue_after
    return "; ".join(map(str, decision.notes)) or (
        requeue.message if requeue is not None else "its route is removed first"
    )
