"""Plans an endpoint that is stopped or deleted, or that no longer targets this region.

These plans do not require a valid spec, so an endpoint with an invalid spec can be stopped and deleted.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gco_stream.model import names
from gco_stream.model.objects import Kind
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.lifecycle.running import inputs_of
from gco_stream.planning.policies import canary as canaries
from gco_stream.planning.policies import regional_images
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources.apply import delete_steps, steps_for
from gco_stream.planning.resources.deployment import FixedReplicas
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import (
    CanaryDecision,
    Decided,
    Decision,
    DeploymentDecision,
    EndpointDecision,
    FleetLimit,
    RequeueAfter,
)
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Part, Step

_WHY_HELD: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.REMOVAL_LIMIT_REACHED: "the limit on removals per hour is reached",
        Reason.TABLE_EMPTY: "the table is empty, which may be a mistake",
        Reason.TABLE_RECREATED: "the table was deleted and recreated, so that a missing item proves nothing",
    }
)


def plan_stopped(context: ReconcileContext) -> EndpointDecision:
    """Plans a stop: deletes the Ingress and HPA, and scales to 0. The Service and Deployment are kept."""
    name = context.endpoint.name
    steps: list[Step] = [
        *delete_steps(context.owned(Kind.INGRESS, names.ingress_name(name)), "the endpoint is stopped", Part.ROUTE),
        *delete_steps(context.owned(Kind.HPA, name), "the endpoint is stopped", Part.MAIN),
    ]
    main = _stopped_main(context)
    canary = _stopped_canary(context)
    if context.name_conflicts((Kind.DEPLOYMENT, name)):
        return EndpointDecision(tuple(steps), errors=context.name_conflicts((Kind.DEPLOYMENT, name)))
    return EndpointDecision.of(Decision((*steps, *_service(context))), main, canary, decided=Decided(main, canary))


def plan_removal(context: ReconcileContext, why: str, *, spends_budget: bool) -> EndpointDecision:
    """Plans the deletion of all objects in all allowed namespaces. `spends_budget`: the limit on removals applies."""
    steps = tuple(
        step for obj in context.all_owned() for step in delete_steps(obj, why, Part.MAIN, spends_budget=spends_budget)
    )
    if steps and spends_budget and is_limited(context.fleet):
        held = removal_held(context.fleet, why)
        return EndpointDecision.of(held, Decision(degraded_reasons=held.warnings), decided=Decided())
    return EndpointDecision(steps)


def is_limited(fleet: FleetState) -> bool:
    """Whether no removal that no item requests may start now."""
    return fleet.removals_held is not None or fleet.deletions_left <= 0


def removal_held(fleet: FleetState, why: str) -> Decision:
    """Returns the decision not to remove an endpoint because of the limits on the fleet. `why`: why it would be."""
    reason = fleet.removals_held or Reason.REMOVAL_LIMIT_REACHED
    requeue = RequeueAfter(fleet.next_deletion_in, "the limit on removals allows one more endpoint")
    message = (
        f"not removed, although {why}: {_WHY_HELD[reason]}; "
        "`gco-stream approve-deletes` lists the pending removals and approves them"
    )
    return Decision(
        warnings=(Cause(reason, message),),
        limited_by=FleetLimit.REMOVAL,
        requeue_after=requeue if fleet.removals_held is None else None,
    )


def _stopped_main(context: ReconcileContext) -> DeploymentDecision:
    observed = context.owned(Kind.DEPLOYMENT, context.endpoint.name)
    if observed is None:
        return DeploymentDecision()
    spec = context.endpoint.spec
    if spec is None:
        stop = deployments.scale_only(observed, 0, Part.MAIN, "the endpoint is stopped")
        return DeploymentDecision(stop.steps)
    return deployments.decide(
        inputs_of(context, spec),
        observed,
        FixedReplicas(0),
        namespace=context.namespace,
        annotations=context.annotations | regional_images.annotations(context, spec),
        part=Part.MAIN,
        renderings=context.policy.renderings,
    )


def _stopped_canary(context: ReconcileContext) -> CanaryDecision:
    spec = context.endpoint.spec
    if spec is None or context.endpoint.canary_problems:
        deployment = context.owned(Kind.DEPLOYMENT, context.canary)
        if deployment is None or deployment not in context.all_owned():
            return CanaryDecision()
        stop = deployments.scale_only(deployment, 0, Part.CANARY, "the endpoint is stopped")
        return CanaryDecision(steps=stop.steps)
    if spec.canary is not None:
        return canaries.plan_canary(context, spec.canary, inputs_of(context, spec), serving=False)
    return canaries.plan_canary_removal(context, None, main_settled=True)


def _service(context: ReconcileContext) -> tuple[Step, ...]:
    name, spec = context.endpoint.name, context.endpoint.spec
    observed = context.owned(Kind.SERVICE, name)
    if observed is None or spec is None:
        return ()
    manifest = manifests.service(context.namespace, name, spec.port, context.annotations)
    return steps_for(manifest, observed, Part.MAIN)
