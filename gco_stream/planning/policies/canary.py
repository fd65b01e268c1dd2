"""The canary: a second version with a share of the traffic, which must never meet an empty target group.

It is in the Ingress only while it is ready and its weight is above 0. It leaves by the route first; its objects go once
the load balancer has drained. Where it leaves because it became the main, it serves until the main has rolled out.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from gco_stream.model import names
from gco_stream.model.objects import Kind, ObservedObject
from gco_stream.model.reasons import Cause
from gco_stream.model.spec import Canary
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources.apply import removal, steps_for
from gco_stream.planning.resources.deployment import FixedReplicas
from gco_stream.planning.resources.pod_template import TemplateInputs, canary_inputs
from gco_stream.planning.types.context import Situation
from gco_stream.planning.types.plan import LookAgain, Note, Part, Step


@dataclass(frozen=True, slots=True)
class CanaryDecision:
    """Steps for the canary's own objects, and what the Ingress has to say of it.

    `weight`: its share in percent, 0 for no route. `waits_for_pods`: it has none because no replica of it is ready.
    `draining_since`: the annotation that the Ingress carries while the canary's connections end.
    """

    weight: int = 0
    waits_for_pods: bool = False
    draining_since: str | None = None
    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    errors: tuple[Cause, ...] = ()
    look_again: LookAgain | None = None


def wanted(situation: Situation, canary: Canary, main: TemplateInputs, *, serving: bool = True) -> CanaryDecision:
    """A canary that the item asks for. `serving` False: the endpoint is stopped, so its pods stop too."""
    name = situation.canary
    if foreign := situation.foreign((Kind.SERVICE, name), (Kind.DEPLOYMENT, name)):
        return CanaryDecision(errors=foreign)
    service = situation.ours(Kind.SERVICE, name)
    deployment = situation.ours(Kind.DEPLOYMENT, name)
    if not serving:
        stop = deployments.scaled(deployment, 0, Part.CANARY, "the endpoint is stopped")
        return CanaryDecision(steps=stop.steps)
    image = canary.region_image_uris.get(situation.policy.region) or canary.image
    decision = deployments.decide(
        canary_inputs(main, image),
        deployment,
        FixedReplicas(canary.replicas),
        namespace=situation.namespace,
        annotations=situation.annotations,
        part=Part.CANARY,
        renderings=situation.policy.renderings,
    )
    manifest = manifests.service(situation.namespace, name, main.spec.port, situation.annotations)
    notes, steps = decision.notes, decision.steps
    weight = canary.weight if canary.replicas else 0
    waits = weight > 0 and not _serves(deployment)
    if waits:
        notes = (*notes, Note(f"the canary gets its {canary.weight} % of the traffic once it is ready"))
    draining = None if weight else _draining(situation, situation.ours(Kind.INGRESS, _ingress_of(situation)))
    if draining is not None and not canary.replicas:
        notes, steps = (*notes, Note("the canary's pods stop once its connections have drained")), ()
    return CanaryDecision(
        weight=0 if waits else weight,
        waits_for_pods=waits,
        draining_since=draining.since if draining else None,
        steps=(*steps_for(manifest, service, Part.CANARY), *steps),
        notes=notes,
        errors=(decision.error,) if decision.error is not None else (),
        look_again=draining.look_again if draining else None,
    )


def unwanted(situation: Situation, main: TemplateInputs | None, *, main_settled: bool) -> CanaryDecision:
    """A canary that the item does not ask for: what is left of it goes, its route first.

    `main` is None where nothing is routed any more (stopped). `main_settled`: the main runs what is asked, rolled out.
    """
    leftovers = [obj for obj in situation.all_ours() if _is_canarys(situation, obj)]
    if not leftovers:
        return CanaryDecision()
    ingress = situation.ours(Kind.INGRESS, _ingress_of(situation))
    deployment = next((obj for obj in leftovers if obj.ref.kind is Kind.DEPLOYMENT), None)
    weight = routed_weight(ingress, situation.canary)
    promoted = main is not None and deployment is not None and deployments.image_of(deployment) == main.image
    if weight and promoted and not main_settled and _serves(deployment):
        note = Note("the canary was promoted and keeps serving until the main has rolled out")
        return CanaryDecision(weight=weight, notes=(note,))
    draining = _draining(situation, ingress)
    if main is None or draining is None:
        return CanaryDecision(steps=_gone(leftovers, "the item has no canary, and nothing is routed to it"))
    return CanaryDecision(draining_since=draining.since, look_again=draining.look_again)


def routed_weight(ingress: ObservedObject | None, canary: str) -> int:
    """The canary's share in percent that an Ingress gives it now; 0 where it has none or cannot be read."""
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
        and deployments.ready(deployment) > 0
    )


@dataclass(frozen=True, slots=True)
class _Draining:
    since: str
    look_again: LookAgain


def _draining(situation: Situation, ingress: ObservedObject | None) -> _Draining | None:
    """The canary's connections that still end once its route is gone; None where there are none.

    As long as the route stands, they end from now on, whatever an annotation says.
    """
    if ingress is None:
        return None
    drain, since = situation.policy.canary_drain, ingress.annotations.get(names.DRAINING_SINCE_ANNOTATION)
    left = drain - _elapsed(since, situation.now) if since is not None else 0.0
    if _is_routed(ingress):
        since, left = situation.now.isoformat(), drain
    # A time far ahead is not ours: it must not keep the canary for ever.
    if since is None or not 0 < left <= 2 * drain:
        return None
    return _Draining(since, LookAgain(left, "the canary's connections drain"))


def _is_routed(ingress: ObservedObject) -> bool:
    paths = [path for one in ingress.spec.get("rules") or () for path in (one.get("http") or {}).get("paths") or ()]
    return any(path["backend"].get("service", {}).get("name") == manifests.WEIGHTED_ROUTING for path in paths)


def _ingress_of(situation: Situation) -> str:
    return names.ingress_name(situation.endpoint.name)


def _is_canarys(situation: Situation, obj: ObservedObject) -> bool:
    return obj.ref.name == situation.canary and obj.ref.namespace == situation.namespace


def _gone(leftovers: list[ObservedObject], why: str) -> tuple[Step, ...]:
    return tuple(step for obj in leftovers for step in removal(obj, why, Part.CANARY))


def _elapsed(since: str, now: datetime) -> float:
    try:
        return (now - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):
        # An annotation that somebody edited: counting it as long past lets the canary go instead of staying for ever.
        return float("inf")
