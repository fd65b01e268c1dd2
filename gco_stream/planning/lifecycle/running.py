"""An endpoint that shall run: Service, Ingress, Deployment, HPA in this order, and its canary beside it."""

from dataclasses import dataclass, replace

from gco_stream.model import names
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.spec import EndpointSpec
from gco_stream.planning.policies import canary as canaries
from gco_stream.planning.policies import contested, watchdog
from gco_stream.planning.policies.canary import CanaryDecision
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources import pod_template as template
from gco_stream.planning.resources.apply import removal, steps_for
from gco_stream.planning.resources.deployment import AutoscaledReplicas, FixedReplicas, Replicas
from gco_stream.planning.resources.pod_template import TemplateInputs
from gco_stream.planning.types.context import Situation
from gco_stream.planning.types.plan import (
    Annotate,
    Apply,
    Create,
    Delete,
    HeldBack,
    LookAgain,
    Need,
    Note,
    Part,
    Step,
    Tell,
    earliest,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the objects need. `errors` are the main's and make the region's state; `complaints` are said beside it."""

    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    warnings: tuple[Cause, ...] = ()
    errors: tuple[Cause, ...] = ()
    complaints: tuple[Cause, ...] = ()
    needs: frozenset[Need] = frozenset()
    held_back: HeldBack | None = None
    look_again: LookAgain | None = None


def inputs_of(situation: Situation, spec: EndpointSpec) -> TemplateInputs:
    """The inputs of the main's pod template in this region."""
    return template.main_inputs(
        situation.endpoint.name,
        spec,
        region=situation.policy.region,
        ingress_path=situation.endpoint.ingress_path,
        honor_gpu_type=situation.policy.honor_gpu_type,
    )


def replicas_of(spec: EndpointSpec) -> Replicas:
    """Who says how many replicas the main has."""
    scaling = spec.autoscaling
    if scaling.enabled:
        return AutoscaledReplicas(spec.replicas, scaling.min_replicas, scaling.max_replicas)
    return FixedReplicas(spec.replicas)


def plan_running(situation: Situation, spec: EndpointSpec) -> Outcome:
    """All steps towards running as asked."""
    name, ingress = situation.endpoint.name, names.ingress_name(situation.endpoint.name)
    needed = [(Kind.SERVICE, name), (Kind.INGRESS, ingress), (Kind.DEPLOYMENT, name), (Kind.HPA, name)]
    observed = situation.ours(Kind.DEPLOYMENT, name)
    if foreign := situation.foreign(*(needed if spec.autoscaling.enabled else needed[:3])):
        return Outcome(_leading_nowhere(situation, ingress), errors=foreign)
    inputs, replicas = inputs_of(situation, spec), replicas_of(spec)
    main = deployments.decide(
        inputs,
        observed,
        replicas,
        namespace=situation.namespace,
        annotations=situation.annotations,
        part=Part.MAIN,
        renderings=situation.policy.renderings,
    )
    if main.error is not None:
        return Outcome(errors=(main.error,))
    # What is contested in the main's labels alone does not keep a promoted canary from going.
    held = contested.hold_back(main.steps, situation.observed.objects, situation.now)
    settled = not (held.steps or held.errors) and deployments.rolled_out(observed)
    canary = _canary(situation, spec, inputs, settled=settled)
    scaler, warnings = _autoscaler(situation, spec)
    service = manifests.service(situation.namespace, name, spec.port, situation.annotations)
    route = _route(situation, inputs, observed, replicas, canary)
    scaler_first = not spec.autoscaling.enabled
    return Outcome(
        steps=(
            *steps_for(service, situation.ours(Kind.SERVICE, name), Part.MAIN),
            *route.steps,
            *(scaler if scaler_first else ()),
            *main.steps,
            *(() if scaler_first else scaler),
            *canary.steps,
        ),
        notes=(*main.notes, *route.notes, *canary.notes),
        warnings=(*warnings, *route.warnings),
        errors=route.errors,
        complaints=canary.errors,
        needs=route.needs,
        held_back=route.held_back,
        look_again=earliest(canary.look_again, route.look_again),
    )


def _leading_nowhere(situation: Situation, ingress: str) -> tuple[Step, ...]:
    """Takes away an Ingress that was made before somebody else's object was met: there are no pods, ours or others', to
    which the endpoint's Service could lead, and a Service of others leads to theirs.
    """
    name, namespace = situation.endpoint.name, situation.namespace
    deployments_there = [
        ObjectRef(Kind.DEPLOYMENT, namespace, one) in situation.observed.objects for one in (name, situation.canary)
    ]
    if any(deployments_there):
        return ()
    return removal(situation.ours(Kind.INGRESS, ingress), "there are no pods of the endpoint", Part.ROUTE)


def _canary(situation: Situation, spec: EndpointSpec, inputs: TemplateInputs, *, settled: bool) -> CanaryDecision:
    if spec.canary is not None:
        return canaries.wanted(situation, spec.canary, inputs)
    return canaries.unwanted(situation, inputs, main_settled=settled)


def _autoscaler(situation: Situation, spec: EndpointSpec) -> tuple[tuple[Step, ...], tuple[Cause, ...]]:
    name = situation.endpoint.name
    observed = situation.ours(Kind.HPA, name)
    if not spec.autoscaling.enabled:
        return removal(observed, "the item has no autoscaling", Part.MAIN), ()
    manifest, warnings = manifests.autoscaler(situation.namespace, name, spec.autoscaling, situation.annotations)
    return steps_for(manifest, observed, Part.MAIN), tuple(Cause(Reason.UNKNOWN_METRIC, text) for text in warnings)


def _route(
    situation: Situation,
    inputs: TemplateInputs,
    deployment: ObservedObject | None,
    replicas: Replicas,
    canary: CanaryDecision,
) -> Outcome:
    name = situation.endpoint.name
    ingress = situation.ours(Kind.INGRESS, names.ingress_name(name))
    if replicas.start == 0:
        return Outcome(removal(ingress, "replicas is 0, there is nothing to route to", Part.ROUTE))
    decision = watchdog.decide(situation, deployment, ingress)
    steps: tuple[Step, ...] = ()
    if decision.exists:
        manifest = _ingress(situation, inputs, canary, decision.unready_since)
        tell = decision.tell or _canary_left(situation, ingress, canary)
        steps = tuple(_telling(step, tell) for step in steps_for(manifest, ingress, Part.ROUTE))
        steps += _stray_clocks(manifest, ingress)
    elif decision.withdraws and ingress is not None:
        why = decision.error.message if decision.error is not None else ""
        steps = (Delete(ingress.ref, ingress.uid, why, Part.ROUTE, withdraws=True, tell=decision.tell),)
    return Outcome(
        steps,
        notes=decision.notes,
        warnings=decision.warnings,
        errors=(decision.error,) if decision.error is not None else (),
        needs=decision.needs,
        held_back=HeldBack.WITHDRAWAL if decision.refused else None,
        look_again=decision.look_again,
    )


def _ingress(
    situation: Situation, inputs: TemplateInputs, canary: CanaryDecision, unready_since: str | None
) -> JsonObject:
    clocks = {
        names.DRAINING_SINCE_ANNOTATION: canary.draining_since,
        names.UNREADY_SINCE_ANNOTATION: unready_since,
    }
    return manifests.ingress(
        situation.namespace,
        situation.endpoint.name,
        path=situation.endpoint.ingress_path,
        health_path=inputs.probe_path,
        canary_weight=canary.weight,
        annotations=situation.annotations | {key: value for key, value in clocks.items() if value is not None},
    )


def _stray_clocks(manifest: JsonObject, ingress: ObservedObject | None) -> tuple[Step, ...]:
    """Clocks that somebody else set: an apply takes away only what is ours, and a stale one would run out at once."""
    if ingress is None or ingress.deleting:
        return ()
    ours = ingress.ownership.fields.get("f:metadata", {}).get("f:annotations", {})
    stray: dict[str, str | None] = {
        name: None
        for name in (names.DRAINING_SINCE_ANNOTATION, names.UNREADY_SINCE_ANNOTATION)
        if name in ingress.annotations and name not in manifest["metadata"]["annotations"] and f"f:{name}" not in ours
    }
    if not stray:
        return ()
    return (Annotate(ingress.ref, ingress.uid, stray, f"{', '.join(stray)}: no such clock runs", Part.ROUTE),)


def _canary_left(situation: Situation, ingress: ObservedObject | None, canary: CanaryDecision) -> Tell | None:
    """The Event of a canary that is asked for and loses its traffic."""
    weight = canaries.routed_weight(ingress, situation.canary)
    if not weight or canary.weight or not canary.waits_for_pods:
        return None
    return Tell("CanaryUnready", f"the canary has no ready replica; its {weight} % of the traffic go to the main")


def _telling(step: Step, tell: Tell | None) -> Step:
    return replace(step, tell=tell) if tell is not None and isinstance(step, Create | Apply) else step
