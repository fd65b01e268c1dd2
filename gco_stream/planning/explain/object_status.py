"""What becomes of each object of one endpoint, and why: a verdict an object.

A verdict that something would be done comes from the plan's own steps, and one that nothing is done from the same
functions that made the plan, so an explanation cannot tell of anything else than what is carried out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gco_stream.model import names
from gco_stream.model.endpoint import DesiredState, RegionState
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject
from gco_stream.model.problem import sentence
from gco_stream.model.reasons import ROUTE_REASONS, Cause, Reason
from gco_stream.model.spec import EndpointSpec
from gco_stream.planning.diff.drift import differences
from gco_stream.planning.explain.field_changes import changes, in_lines
from gco_stream.planning.lifecycle.running import inputs_of, replicas_of
from gco_stream.planning.policies import canary as canaries
from gco_stream.planning.policies import contested, watchdog
from gco_stream.planning.policies.watchdog import RouteDecision
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.resources.deployment import Decision, FixedReplicas, Replicas
from gco_stream.planning.resources.pod_template import TemplateInputs, canary_inputs
from gco_stream.planning.types.context import Situation
from gco_stream.planning.types.ownership import not_owned
from gco_stream.planning.types.plan import Apply, Create, Delete, Part, Plan, Step


class Verdict(StrEnum):
    """What becomes of an object. WOULD_... are those, and only those, that the plan has steps for."""

    IN_SYNC = "InSync"
    WOULD_CREATE = "WouldCreate"
    WOULD_CHANGE = "WouldChange"
    WOULD_DELETE = "WouldDelete"
    HELD = "Held"
    LEFT_ALONE = "LeftAlone"
    NOT_OURS = "NotOwned"
    TERMINATING = "Terminating"
    ABSENT = "NotNeeded"

    @property
    def words(self) -> str:
        """The same for people."""
        return _WORDS[self]

    @property
    def acts(self) -> bool:
        """Whether something is done to the object."""
        return self in {Verdict.WOULD_CREATE, Verdict.WOULD_CHANGE, Verdict.WOULD_DELETE}


_WORDS: Final[Mapping[Verdict, str]] = MappingProxyType(
    {
        Verdict.IN_SYNC: "in sync",
        Verdict.WOULD_CREATE: "would be created",
        Verdict.WOULD_CHANGE: "would change",
        Verdict.WOULD_DELETE: "would be deleted",
        Verdict.HELD: "held",
        Verdict.LEFT_ALONE: "left alone",
        Verdict.NOT_OURS: "not owned",
        Verdict.TERMINATING: "terminating",
        Verdict.ABSENT: "not needed",
    }
)


@dataclass(frozen=True, slots=True)
class ObjectVerdict:
    """One object's verdict. `details`: a line each, of a change every field that differs.

    `otherwise`: of one that is held, what would be done if it were not. `upgrade`: of a Deployment that keeps an older
    pod template, what the newest would change (() nothing); None for every other. `reason`: the code of what is in the
    way, None where nothing is.
    """

    ref: ObjectRef
    verdict: Verdict
    why: str = ""
    details: tuple[str, ...] = ()
    otherwise: Verdict | None = None
    upgrade: tuple[str, ...] | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """What verdicts are made from. `free`: the situation without a hold and without limits on the fleet, and
    `unlimited` its plan. `limit`: why what only that one has is not done.
    """

    situation: Situation
    made: Plan
    free: Situation
    unlimited: Plan
    limit: Cause

    @property
    def spec(self) -> EndpointSpec | None:
        """The item's, None where it cannot be read."""
        return self.situation.endpoint.spec

    @property
    def leaves(self) -> bool:
        """Whether nothing of the endpoint is to stay here."""
        endpoint = self.situation.endpoint
        return endpoint.is_deleted or self.situation.policy.region not in endpoint.target_regions

    @property
    def stops(self) -> bool:
        """Whether it stays here without pods."""
        return not self.leaves and self.situation.endpoint.desired_state is DesiredState.STOPPED

    def steps(self, ref: ObjectRef) -> list[Step]:
        """The plan's, for one object."""
        return [step for step in self.made.steps if step.ref == ref]

    def steps_if_allowed(self, ref: ObjectRef) -> list[Step]:
        """Those of the plan without limits."""
        return [step for step in self.unlimited.steps if step.ref == ref]

    def is_canarys(self, ref: ObjectRef) -> bool:
        """Whether the name is the canary's."""
        return ref.name == self.situation.canary

    @property
    def main(self) -> ObservedObject | None:
        """The main Deployment, if it is ours."""
        return self.situation.ours(Kind.DEPLOYMENT, self.situation.endpoint.name)


def verdicts(case: Case) -> tuple[ObjectVerdict, ...]:
    """One for every object that the item asks for or that stands, main first."""
    route = _route(case, case.situation)
    blocked = _blocked(case)
    canary_error = None if blocked else _canary_error(case)
    found: list[ObjectVerdict | None] = []
    for ref in _refs(case):
        observed = case.situation.observed.objects.get(ref)
        if steps := case.steps(ref):
            found.append(_acted_on(case, ref, observed, steps))
        elif observed is None:
            found.append(_absent(case, ref, blocked, canary_error, route))
        else:
            found.append(_present(case, observed, blocked, canary_error))
    return tuple(verdict for verdict in found if verdict is not None)


def _refs(case: Case) -> list[ObjectRef]:
    situation = case.situation
    name, canary = situation.endpoint.name, situation.canary
    kinds = [
        (Kind.DEPLOYMENT, name),
        (Kind.SERVICE, name),
        (Kind.INGRESS, names.ingress_name(name)),
        (Kind.HPA, name),
        (Kind.DEPLOYMENT, canary),
        (Kind.SERVICE, canary),
    ]
    refs = [ObjectRef(kind, situation.namespace, of) for kind, of in kinds]
    others = {*(obj.ref for obj in situation.all_ours()), *(step.ref for step in case.made.steps)}
    order = list(Kind)
    return [*refs, *sorted(others - set(refs), key=lambda ref: (ref.namespace, order.index(ref.kind), ref.name))]


def _would(steps: Sequence[Step]) -> Verdict:
    if any(isinstance(step, Delete) for step in steps):
        return Verdict.WOULD_DELETE
    return Verdict.WOULD_CREATE if any(isinstance(step, Create) for step in steps) else Verdict.WOULD_CHANGE


def _acted_on(case: Case, ref: ObjectRef, observed: ObservedObject | None, steps: Sequence[Step]) -> ObjectVerdict:
    told = changes(steps, observed)
    verdict = ObjectVerdict(ref, _would(steps), told.why, told.details)
    if observed is None or verdict.verdict is not Verdict.WOULD_CHANGE:
        return verdict
    decision = _decision(case, observed)
    if decision is None or any(isinstance(step, Apply) for step in steps):
        return verdict
    notes = tuple(note.message for note in decision.notes)
    return replace(verdict, details=(*told.details, *notes), upgrade=_upgrade(case, observed))


def _absent(
    case: Case, ref: ObjectRef, blocked: Cause | None, canary_error: Cause | None, route: RouteDecision | None
) -> ObjectVerdict | None:
    if case.leaves or not _is_asked_for(case, ref) or (case.stops and blocked):
        return None
    if case.stops:
        of_running = ref.kind in {Kind.INGRESS, Kind.HPA}
        why = "the endpoint is stopped" if of_running else "nothing is made while the endpoint is stopped"
        return ObjectVerdict(ref, Verdict.ABSENT, why)
    if steps := case.steps_if_allowed(ref):
        return _held(case, ref, None, steps)
    error = blocked or (canary_error if case.is_canarys(ref) else None)
    if error is not None:
        return ObjectVerdict(ref, Verdict.HELD, error.message, reason=error.reason)
    return ObjectVerdict(ref, Verdict.ABSENT, _why_no_route(case, route) if ref.kind is Kind.INGRESS else "")


def _present(
    case: Case, observed: ObservedObject, blocked: Cause | None, canary_error: Cause | None
) -> ObjectVerdict | None:
    situation, ref = case.situation, observed.ref
    is_leftover = case.is_canarys(ref) and not _is_asked_for(case, ref)
    if is_leftover and observed not in situation.all_ours():
        return None
    if not situation.is_ours(observed):
        cause = not_owned(observed, situation.policy.table_arn)
        return ObjectVerdict(ref, Verdict.NOT_OURS, cause.message, reason=cause.reason)
    if steps := case.steps_if_allowed(ref):
        return _held(case, ref, observed, steps)
    if (hindered := _hindered(case, observed)) is not None:
        return hindered
    error = _error_for(case, ref, blocked) or (canary_error if case.is_canarys(ref) else None)
    if error is not None:
        return ObjectVerdict(ref, Verdict.HELD, error.message, reason=error.reason)
    if case.leaves:
        return ObjectVerdict(ref, Verdict.LEFT_ALONE, f"it may be the endpoint {ref.name}'s own")
    if case.spec is None:
        return ObjectVerdict(ref, Verdict.LEFT_ALONE, sentence(situation.endpoint.spec_problems))
    if is_leftover:
        return ObjectVerdict(ref, Verdict.LEFT_ALONE, _why_canary_stays(case))
    if case.stops and case.is_canarys(ref):
        return ObjectVerdict(ref, Verdict.LEFT_ALONE, "the endpoint is stopped, and nothing but pods is stopped of it")
    return _settled(case, observed)


def _held(case: Case, ref: ObjectRef, observed: ObservedObject | None, steps: Sequence[Step]) -> ObjectVerdict:
    told = changes(steps, observed)
    details = (told.why, *told.details) if told.why else told.details
    limit = case.limit
    return ObjectVerdict(ref, Verdict.HELD, limit.message, details, otherwise=_would(steps), reason=limit.reason)


def _hindered(case: Case, observed: ObservedObject) -> ObjectVerdict | None:
    """One that is kept from being as asked by others."""
    if observed.deleting:
        return _terminating(case, observed)
    if contested.mark_of(observed) is None or case.leaves:
        return None
    why = f"another field manager keeps changing it ({names.CONTESTED_ANNOTATION}); the report names the fields"
    return ObjectVerdict(observed.ref, Verdict.LEFT_ALONE, why, reason=Reason.CONTESTED)


def _terminating(case: Case, observed: ObservedObject) -> ObjectVerdict:
    anew = not case.leaves and not case.stops and _is_asked_for(case, observed.ref)
    details = ("it is recreated once it is gone",) if anew else ()
    return ObjectVerdict(observed.ref, Verdict.TERMINATING, _for_how_long(observed, case.situation.now), details)


def _for_how_long(observed: ObservedObject, now: datetime) -> str:
    try:
        since = datetime.fromisoformat(observed.deleting_since)
        return f"for {max(0.0, (now - since).total_seconds()):.0f} s"
    except (ValueError, TypeError):
        return ""


def _settled(case: Case, observed: ObservedObject) -> ObjectVerdict:
    """One that the plan is content with."""
    decision = _decision(case, observed)
    if decision is None:
        return ObjectVerdict(observed.ref, Verdict.IN_SYNC)
    details = _scaled_by(case, observed)
    upgrade = _upgrade(case, observed)
    why = "; ".join(note.message for note in decision.notes)
    if not why and upgrade is not None:
        version = observed.annotations.get(names.TEMPLATE_VERSION_ANNOTATION)
        why = f"its pod template is of version {version}, the newest is {case.situation.policy.renderings.current}"
    verdict = Verdict.LEFT_ALONE if why else Verdict.IN_SYNC
    return ObjectVerdict(observed.ref, verdict, why, details, upgrade=upgrade)


def _scaled_by(case: Case, observed: ObservedObject) -> tuple[str, ...]:
    spec = case.spec
    if spec is None or not spec.autoscaling.enabled or case.stops or case.is_canarys(observed.ref):
        return ()
    bounds = f"{spec.autoscaling.min_replicas} to {spec.autoscaling.max_replicas}"
    return (f"spec.replicas: is {observed.spec.get('replicas', 1)}, which the HPA decides ({bounds})",)


def _upgrade(case: Case, observed: ObservedObject) -> tuple[str, ...] | None:
    """What the newest pod template would change; None where the Deployment has it, or a newer one."""
    if observed.ref.kind is not Kind.DEPLOYMENT or observed.deleting:
        return None
    version, newest = deployments.version_of(observed), case.situation.policy.renderings.current
    behind = not observed.ownership.applied or (version is not None and version < newest)
    if not behind:
        return None
    asked = {**observed.annotations, names.UPGRADE_ANNOTATION: str(newest)}
    as_asked = replace(observed, annotations=asked, ownership=replace(observed.ownership, applied=True))
    decision = _decision(case, as_asked)
    applies = [step for step in decision.steps if isinstance(step, Apply)] if decision is not None else []
    found = [
        one
        for step in applies
        for one in differences(step.manifest, observed, exclude=("metadata.annotations", "spec.replicas"))
    ]
    return tuple(in_lines(found))


def _decision(case: Case, observed: ObservedObject) -> Decision | None:
    """What the plan decides about a Deployment of ours; None for everything else."""
    ref, spec = observed.ref, case.spec
    if ref.kind is not Kind.DEPLOYMENT or spec is None or case.leaves or ref.namespace != case.situation.namespace:
        return None
    main = inputs_of(case.situation, spec)
    inputs: TemplateInputs = main
    replicas: Replicas = replicas_of(spec)
    part = Part.MAIN
    if case.is_canarys(ref):
        image = spec.canary_image_in(case.situation.policy.region)
        if spec.canary is None or image is None or case.stops:
            return None
        inputs, replicas, part = canary_inputs(main, image), FixedReplicas(spec.canary.replicas), Part.CANARY
    return deployments.decide(
        inputs,
        observed,
        FixedReplicas(0) if case.stops else replicas,
        namespace=case.situation.namespace,
        annotations=case.situation.annotations,
        part=part,
        renderings=case.situation.policy.renderings,
    )


def _is_asked_for(case: Case, ref: ObjectRef) -> bool:
    """Whether the item asks for an object of this name at all. A spec that cannot be read asks for the main's."""
    spec = case.spec
    if case.is_canarys(ref):
        return spec is not None and spec.canary is not None
    if ref.kind is Kind.HPA:
        return spec is not None and spec.autoscaling.enabled
    return True


def _route(case: Case, situation: Situation) -> RouteDecision | None:
    """What the watchdog says of the Ingress; None where it is not asked."""
    spec = case.spec
    if case.leaves or case.stops or spec is None or replicas_of(spec).start == 0:
        return None
    ingress = situation.ours(Kind.INGRESS, names.ingress_name(situation.endpoint.name))
    return watchdog.decide(situation, case.main, ingress)


def _why_no_route(case: Case, route: RouteDecision | None) -> str:
    if route is None:
        return "replicas is 0, there is nothing to route to"
    if route.error is not None:
        return route.error.message
    return next((note.message for note in route.notes), "it depends on its pods, which are not known")


def _blocked(case: Case) -> Cause | None:
    """What is in the way of everything: an error of the plan that concerns more than one object."""
    report = case.unlimited.report
    if case.leaves or report is None or report.state is not RegionState.ERROR or report.reason is None:
        return None
    if report.reason in ROUTE_REASONS or report.reason is Reason.CONTESTED:
        return None
    return Cause(report.reason, report.error)


def _error_for(case: Case, ref: ObjectRef, blocked: Cause | None) -> Cause | None:
    """What blocks this object. A stop goes on around a main Deployment that cannot be scaled."""
    if blocked is not None and case.stops and case.main is not None and ref != case.main.ref:
        decision = _decision(case, case.main)
        if decision is not None and decision.error is not None and decision.error.reason is blocked.reason:
            return None
    return blocked


def _canary_error(case: Case) -> Cause | None:
    spec = case.spec
    if case.leaves or spec is None or spec.canary is None:
        return None
    inputs = inputs_of(case.situation, spec)
    errors = canaries.wanted(case.situation, spec.canary, inputs, serving=not case.stops).errors
    return Cause(errors[0].reason, "; ".join(map(str, errors))) if errors else None


def _why_canary_stays(case: Case) -> str:
    spec = case.spec
    if spec is None:
        return ""
    settled = case.main is not None and not case.steps_if_allowed(case.main.ref) and deployments.rolled_out(case.main)
    decision = canaries.unwanted(case.situation, inputs_of(case.situation, spec), main_settled=settled)
    again = decision.look_again
    return "; ".join(map(str, decision.notes)) or (again.why if again is not None else "its route goes first")
