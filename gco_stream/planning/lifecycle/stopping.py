"""Plans an endpoint that is stopped or deleted, or that no longer targets this region.

These plans do not require a valid spec, so an endpoint with an invalid spec can be stopped and deleted.
"""

from gco_stream.model import names
from gco_stream.model.objects import Kind
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.lifecycle.running import inputs_of
from gco_stream.planning.policies import canary as canaries
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources.apply import delete_steps, steps_for
from gco_stream.planning.resources.deployment import FixedReplicas
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import (
    CanaryDecision,
    Decided,
    Decision,
    EndpointDecision,
    FleetLimit,
    RequeueAfter,
)
from gco_stream.planning.types.steps import Part, Step

BUDGET_RESET_REASON = "the limit on removals allows one more endpoint"


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
    if steps and spends_budget and context.fleet.deletions_left <= 0:
        return EndpointDecision(
            warnings=(budget_exhausted(why),),
            degraded_reasons=(budget_exhausted(why),),
            limited_by=FleetLimit.REMOVAL,
            requeue_after=RequeueAfter(context.fleet.next_deletion_in, BUDGET_RESET_REASON),
        )
    return EndpointDecision(steps)


def budget_exhausted(why: str) -> Cause:
    """Returns the cause to report for an endpoint that is not removed because the limit on removals is reached."""
    message = (
        f"not removed, although {why}: the limit on removals per hour is reached; "
        "`gco-stream approve-deletes` lists the pending removals and approves them"
    )
    return Cause(Reason.REMOVAL_LIMIT_REACHED, message)


def _stopped_main(context: ReconcileContext) -> Decision:
    observed = context.owned(Kind.DEPLOYMENT, context.endpoint.name)
    if observed is None:
        return Decision()
    spec = context.endpoint.spec
    if spec is None:
        return deployments.scale_only(observed, 0, Part.MAIN, "the endpoint is stopped")
    return deployments.decide(
        inputs_of(context, spec),
        observed,
        FixedReplicas(0),
        namespace=context.namespace,
        annotations=context.annotations,
        part=Part.MAIN,
        renderings=context.policy.renderings,
    )


def _stopped_canary(context: ReconcileContext) -> CanaryDecision:
    spec = context.endpoint.spec
    if spec is None:
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
