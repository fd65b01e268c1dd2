"""The canary: a second version that serves a share of the traffic.

Traffic must never be sent to an empty target group. The Ingress therefore routes to the canary only while the canary
has ready replicas. On removal, the route is deleted first; the objects are deleted after the load balancer has drained
the connections. A promoted canary keeps serving until the main Deployment has rolled out.
"""

import json
from dataclasses import dataclass

from gco_stream.model import names
from gco_stream.model.item.problem import summarize
from gco_stream.model.item.spec import Canary
from gco_stream.model.objects import Kind, ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.times import seconds_since
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources.apply import delete_steps, steps_for
from gco_stream.planning.resources.deployment import FixedReplicas
from gco_stream.planning.resources.pod_template import TemplateInputs, canary_inputs
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import CanaryDecision, Note, RequeueAfter
from gco_stream.planning.types.steps import Part, Step


def plan_canary(
    context: ReconcileContext, canary: Canary, main: TemplateInputs, *, serving: bool = True
) -> CanaryDecision:
    """Plans a canary that is in the spec. `serving`: False if the endpoint is stopped, so the canary is scaled to 0."""
    name = context.canary
    if foreign := context.name_conflicts((Kind.SERVICE, name), (Kind.DEPLOYMENT, name)):
        return CanaryDecision(degraded_reasons=foreign)
    service = context.owned(Kind.SERVICE, name)
    deployment = context.owned(Kind.DEPLOYMENT, name)
    if not serving:
        stop = deployments.scale_only(deployment, 0, Part.CANARY, "the endpoint is stopped")
        return CanaryDecision(steps=stop.steps)
    image = canary.region_image_uris.get(context.policy.region) or canary.image
    decision = deployments.decide(
        canary_inputs(main, image),
        deployment,
        FixedReplicas(canary.replicas),
        namespace=context.namespace,
        annotations=context.annotations,
        part=Part.CANARY,
        renderings=context.policy.renderings,
    )
    manifest = manifests.service(context.namespace, name, main.spec.port, context.annotations)
    notes, steps = decision.notes, decision.steps
    weight = canary.weight if canary.replicas else 0
    waits = weight > 0 and not _serves(deployment)
    if waits:
        notes = (*notes, Note(f"the canary gets {canary.weight}% of the traffic once it is ready"))
    draining = None if weight else _draining(context, context.owned(Kind.INGRESS, _ingress_of(context)))
    if draining is not None and not canary.replicas:
        notes, steps = (*notes, Note("the canary's pods stop once its connections have drained")), ()
    return CanaryDecision(
        weight=0 if waits else weight,
        waits_for_pods=waits,
        draining_since=draining.since if draining else None,
        steps=(*steps_for(manifest, service, Part.CANARY), *steps),
        notes=notes,
        degraded_reasons=decision.errors,
        requeue_after=draining.requeue_after if draining else None,
        deployment=decision,
    )


def keep_canary(context: ReconcileContext) -> CanaryDecision:
    """Keeps an invalid canary as it is, with its share of the traffic while it is ready."""
    invalid = Cause(Reason.INVALID_SPEC, summarize(context.endpoint.canary_problems))
    weight = routed_weight(context.owned(Kind.INGRESS, _ingress_of(context)), context.canary)
    serves = _serves(context.owned(Kind.DEPLOYMENT, context.canary))
    return CanaryDecision(
        weight=weight if serves else 0, waits_for_pods=weight > 0 and not serves, degraded_reasons=(invalid,)
    )


def plan_canary_removal(
    context: ReconcileContext, main: TemplateInputs | None, *, main_settled: bool
) -> CanaryDecision:
    """Plans the removal of a canary that is not in the spec: first its route, then its objects.

    `main`: None if the endpoint is stopped and therefore has no route. `main_settled`: the main Deployment is in its
    desired state and has rolled out.
    """
    leftovers = [obj for obj in context.all_owned() if _belongs_to_canary(context, obj)]
    if not leftovers:
        return CanaryDecision()
    ingress = context.owned(Kind.INGRESS, _ingress_of(context))
    deployment = next((obj for obj in leftovers if obj.ref.kind is Kind.DEPLOYMENT), None)
    weight = routed_weight(ingress, context.canary)
    promoted = main is not None and deployment is not None and deployments.image_of(deployment) == main.image
    if weight and promoted and not main_settled and _serves(deployment):
        note = Note("the canary was promoted and keeps serving until the main Deployment has rolled out")
        return CanaryDecision(weight=weight, notes=(note,))
    draining = _draining(context, ingress)
    if main is None or draining is None:
        return CanaryDecision(steps=_removals(leftovers, "the item has no canary, and no traffic is routed to it"))
    return CanaryDecision(draining_since=draining.since, requeue_after=draining.requeue_after)


def routed_weight(ingress: ObservedObject | None, canary: str) -> int:
    """Returns the canary's current share of the traffic in percent; 0 if its route is missing or invalid."""
    if ingress is None:
        return 0
    try:
        action = json.loads(ingress.annotations.get(names.WEIGHTED_ROUTING_ANNOTATION, "{}"))
        groups = action.get("forwardConfig", {}).get("targetGroups", [])
        return next((int(group["weight"]) for group in groups if group["serviceName"] == canary), 0)
    except (ValueError, TypeError, AttributeError, KeyError):
        return 0


def _serves(deployment: ObservedObject | None) -> bool:
    return (
        deployment is not None
        and not deployment.deleting
        and not deployments.is_at_zero(deployment)
        and deployments.ready_replicas(deployment) > 0
    )


@dataclass(frozen=True, slots=True)
class _Draining:
    since: str
    requeue_after: RequeueAfter


def _draining(context: ReconcileContext, ingress: ObservedObject | None) -> _Draining | None:
    """The remaining drain period of the canary's connections; None if there is nothing to drain.

    While the route still exists, the period starts now, regardless of the annotation.
    """
    if ingress is None:
        return None
    drain, since = context.policy.canary_drain, ingress.annotations.get(names.DRAINING_SINCE_ANNOTATION)
    # An edited annotation counts as long past, so that the canary is removed and does not stay forever.
    remaining = drain - seconds_since(since, context.now) if since is not None else 0.0
    if _is_routed(ingress):
        since, remaining = context.now.isoformat(), drain
    # A time in the far future was not written by this controller, and must not keep the canary forever.
    if since is None or not 0 < remaining <= 2 * drain:
        return None
    return _Draining(since, RequeueAfter(remaining, "the canary's connections are draining"))


def _is_routed(ingress: ObservedObject) -> bool:
    paths = [path for one in ingress.spec.get("rules") or () for path in (one.get("http") or {}).get("paths") or ()]
    return any(path["backend"].get("service", {}).get("name") == manifests.WEIGHTED_ROUTING for path in paths)


def _ingress_of(context: ReconcileContext) -> str:
    return names.ingress_name(context.endpoint.name)


def _belongs_to_canary(context: ReconcileContext, obj: ObservedObject) -> bool:
    return obj.ref.name == context.canary and obj.ref.namespace == context.namespace


def _removals(leftovers: list[ObservedObject], why: str) -> tuple[Step, ...]:
    return tuple(step for obj in leftovers for step in delete_steps(obj, why, Part.CANARY))
