"""Blockers from outside this controller: contested objects, stuck deletions, and rollouts that are paused or stalled.

They are handled in one place, after all steps are known, so the other policies can ignore them.
"""

from collections.abc import Iterator
from dataclasses import replace

from gco_stream.model.objects import Kind, ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.policies import contested
from gco_stream.planning.policies import stuck_finalizers as terminating
from gco_stream.planning.policies.rollout_conditions import blocked_rollout
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import EndpointDecision, soonest
from gco_stream.planning.types.steps import Annotate, Part


def with_blockers(context: ReconcileContext, outcome: EndpointDecision) -> EndpointDecision:
    """Removes the blocked steps of an endpoint that stays in this region, and adds the causes to report."""
    corrections = contested.defer_corrections(outcome.steps, context.observed.objects, context.now)
    desired = tuple(_desired_deployments(context))
    slow = terminating.decide(_terminating(context), desired, context.now)
    # If an error blocks all steps, an object without a step may still be out of sync.
    is_complete = not outcome.errors and context.endpoint.spec is not None
    settled = tuple(_settled_contests(context, outcome)) if is_complete else ()
    return replace(
        outcome,
        steps=(*corrections.steps, *slow.steps, *settled),
        errors=(*outcome.errors, *corrections.errors),
        degraded_reasons=(
            *outcome.degraded_reasons,
            *corrections.degraded_reasons,
            *slow.degraded_reasons,
            *_stopped_rollouts(context, desired),
        ),
        requeue_after=soonest(outcome.requeue_after, corrections.requeue_after, slow.requeue_after),
    )


def with_stuck_finalizers(context: ReconcileContext, outcome: EndpointDecision) -> EndpointDecision:
    """Adds the causes to report for an endpoint whose removal waits for finalizers."""
    stuck = terminating.decide(_terminating(context), (), context.now)
    return replace(
        outcome,
        degraded_reasons=(*outcome.degraded_reasons, *stuck.degraded_reasons),
        requeue_after=soonest(outcome.requeue_after, stuck.requeue_after),
    )


def _terminating(context: ReconcileContext) -> Iterator[ObservedObject]:
    if any(obj.deleting for obj in context.observed.objects.values()):
        yield from (obj for obj in context.all_owned() if obj.deleting)


def _desired_deployments(context: ReconcileContext) -> Iterator[tuple[ObjectRef, Part]]:
    """Yields the Deployments that the desired state includes, with their parts."""
    endpoint, spec = context.endpoint, context.endpoint.spec
    if spec is None or not endpoint.is_wanted_in(context.policy.region):
        return
    yield ObjectRef(Kind.DEPLOYMENT, context.namespace, endpoint.name), Part.MAIN
    if spec.canary is not None:
        yield ObjectRef(Kind.DEPLOYMENT, context.namespace, context.canary), Part.CANARY


def _settled_contests(context: ReconcileContext, outcome: EndpointDecision) -> Iterator[Annotate]:
    for obj in context.observed.objects.values():
        if context.endpoint.canary_problems and obj.ref.name == context.canary:
            # An invalid canary is left unchanged, so the lack of steps does not mean that it is in sync.
            continue
        if contested.is_over(obj, outcome.steps) and not obj.deleting and context.owns(obj):
            yield contested.clear_contested(obj, _part_of(context, obj.ref))


def _part_of(context: ReconcileContext, ref: ObjectRef) -> Part:
    if ref.kind is Kind.INGRESS:
        return Part.ROUTE
    return Part.CANARY if ref.name == context.canary else Part.MAIN


def _stopped_rollouts(context: ReconcileContext, candidates: tuple[tuple[ObjectRef, Part], ...]) -> Iterator[Cause]:
    for ref, _ in candidates:
        observed = context.owned(ref.kind, ref.name)
        if observed is None:
            continue
        if observed.spec.get("paused") and not deployments.rolled_out(observed):
            message = f"{ref} is paused (spec.paused); nothing is rolled out until it is resumed"
            yield Cause(Reason.DEPLOYMENT_PAUSED, message)
        else:
            yield from blocked_rollout(observed)
