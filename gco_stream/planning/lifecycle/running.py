"""Plans an endpoint that should run: its Service, Ingress, Deployment, HPA and canary."""

from dataclasses import replace

from gco_stream.model import names
from gco_stream.model.item.spec import EndpointSpec
from gco_stream.model.objects import JsonObject, Kind, ObjectRef, ObservedObject
from gco_stream.model.reasons import Cause
from gco_stream.planning.policies import canary as canaries
from gco_stream.planning.policies import contested, ingress_paths, regional_images, watchdog
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.resources import manifests
from gco_stream.planning.resources import pod_template as template
from gco_stream.planning.resources.apply import delete_steps, steps_for
from gco_stream.planning.resources.deployment import AutoscaledReplicas, FixedReplicas, Replicas
from gco_stream.planning.resources.pod_template import TemplateInputs
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import CanaryDecision, Decided, Decision, EndpointDecision, RouteDecision
from gco_stream.planning.types.steps import Annotate, Apply, Create, Delete, Part, Step, StepEvent


def inputs_of(context: ReconcileContext, spec: EndpointSpec) -> TemplateInputs:
    """Returns the inputs of the main Deployment's pod template in this region."""
    return template.main_inputs(
        context.endpoint.name,
        spec,
        image=regional_images.main_image(context, spec),
        ingress_path=context.endpoint.ingress_path,
        honor_gpu_type=context.policy.honor_gpu_type,
    )


def replicas_of(spec: EndpointSpec) -> Replicas:
    """Returns the replicas of the main Deployment: a fixed count, or bounds for the HPA."""
    scaling = spec.autoscaling
    if scaling.enabled:
        return AutoscaledReplicas(spec.replicas, scaling.min_replicas, scaling.max_replicas)
    return FixedReplicas(spec.replicas)


def plan_running(context: ReconcileContext, spec: EndpointSpec) -> EndpointDecision:
    """Plans all objects of an endpoint that should run."""
    name, ingress = context.endpoint.name, names.ingress_name(context.endpoint.name)
    needed = [(Kind.SERVICE, name), (Kind.INGRESS, ingress), (Kind.DEPLOYMENT, name), (Kind.HPA, name)]
    observed = context.owned(Kind.DEPLOYMENT, name)
    if foreign := context.name_conflicts(*(needed if spec.autoscaling.enabled else needed[:3])):
        return EndpointDecision(_ingress_without_pods(context, ingress), errors=foreign)
    path_conflict, live = ingress_paths.conflict(context), context.owned(Kind.INGRESS, ingress)
    if path_conflict and live and not live.deleting and not ingress_paths.has_path(live, context.endpoint.ingress_path):
        # The pods and the Ingress keep the previous path, which still serves.
        return EndpointDecision(errors=(path_conflict,), requeue_after=ingress_paths.RECHECK)
    inputs, replicas = inputs_of(context, spec), replicas_of(spec)
    main = deployments.decide(
        inputs,
        observed,
        replicas,
        namespace=context.namespace,
        annotations=context.annotations | regional_images.annotations(context, spec),
        part=Part.MAIN,
        renderings=context.policy.renderings,
    )
    if main.errors:
        return EndpointDecision(errors=main.errors, decided=Decided(main=main))
    # Contested labels alone do not delay the removal of a promoted canary, because the pods are up to date.
    corrections = contested.defer_corrections(main.steps, context.observed.objects, context.now)
    settled = not (corrections.steps or corrections.errors) and deployments.rolled_out(observed)
    canary = _canary(context, spec, inputs, settled=settled)
    scaler = _autoscaler(context, spec)
    service = manifests.service(context.namespace, name, spec.port, context.annotations)
    service_steps = steps_for(service, context.owned(Kind.SERVICE, name), Part.MAIN)
    route = None if replicas.start == 0 else _route_decision(context, observed, live, path_conflict)
    return EndpointDecision.of(
        Decision(service_steps),
        _route(context, inputs.probe_path(main.version), route, canary),
        *((main, scaler) if spec.autoscaling.enabled else (scaler, main)),
        canary,
        decided=Decided(main, canary, route),
    )


def _route_decision(
    context: ReconcileContext, deployment: ObservedObject | None, ingress: ObservedObject | None, conflict: Cause | None
) -> RouteDecision:
    if conflict is None:
        return watchdog.decide(context, deployment, ingress)
    if ingress is None or ingress.deleting:
        return RouteDecision(errors=(conflict,), requeue_after=ingress_paths.RECHECK)
    # The Ingress already served before the conflict was known.
    decided = watchdog.decide(context, deployment, ingress)
    return replace(decided, warnings=(*decided.warnings, conflict))


def _ingress_without_pods(context: ReconcileContext, ingress: str) -> tuple[Step, ...]:
    """Returns the steps that delete the Ingress of an endpoint with name conflicts, if it has no Deployment.

    Without a Deployment, the endpoint's own Service has no pods. If the Service belongs to another owner, the Ingress
    would send traffic to the pods of that owner.
    """
    name, namespace = context.endpoint.name, context.namespace
    deployments_there = [
        ObjectRef(Kind.DEPLOYMENT, namespace, one) in context.observed.objects for one in (name, context.canary)
    ]
    if any(deployments_there):
        return ()
    return delete_steps(context.owned(Kind.INGRESS, ingress), "the endpoint has no pods", Part.ROUTE)


def _canary(context: ReconcileContext, spec: EndpointSpec, inputs: TemplateInputs, *, settled: bool) -> CanaryDecision:
    if context.endpoint.canary_problems:
        return canaries.keep_canary(context)
    if spec.canary is not None:
        return canaries.plan_canary(context, spec.canary, inputs)
    return canaries.plan_canary_removal(context, inputs, main_settled=settled)


def _autoscaler(context: ReconcileContext, spec: EndpointSpec) -> Decision:
    name = context.endpoint.name
    observed = context.owned(Kind.HPA, name)
    if not spec.autoscaling.enabled:
        return Decision(delete_steps(observed, "the item has no autoscaling", Part.MAIN))
    manifest = manifests.autoscaler(context.namespace, name, spec.autoscaling, context.annotations)
    return Decision(steps_for(manifest, observed, Part.MAIN))


def _route(
    context: ReconcileContext, health_path: str, route: RouteDecision | None, canary: CanaryDecision
) -> Decision:
    """Returns the decision on the Ingress with its steps. `route`: None if the endpoint should have no replicas."""
    ingress = context.owned(Kind.INGRESS, names.ingress_name(context.endpoint.name))
    if route is None:
        return Decision(delete_steps(ingress, "replicas is 0, so there is nothing to route to", Part.ROUTE))
    if route.exists:
        manifest = _ingress(context, health_path, canary, route.unready_since)
        event = route.event or _canary_removed_event(context, ingress, canary)
        steps = tuple(_with_event(step, event) for step in steps_for(manifest, ingress, Part.ROUTE))
        return replace(route, steps=steps + _remove_foreign_clocks(manifest, ingress))
    if route.withdraws and ingress is not None:
        why = "; ".join(map(str, route.errors))
        return replace(
            route, steps=(Delete(ingress.ref, why, Part.ROUTE, route.event, uid=ingress.uid, withdraws=True),)
        )
    return route


def _ingress(
    context: ReconcileContext, health_path: str, canary: CanaryDecision, unready_since: str | None
) -> JsonObject:
    clocks = {
        names.DRAINING_SINCE_ANNOTATION: canary.draining_since,
        names.UNREADY_SINCE_ANNOTATION: unready_since,
    }
    return manifests.ingress(
        context.namespace,
        context.endpoint.name,
        path=context.endpoint.ingress_path,
        health_path=health_path,
        canary_weight=canary.weight,
        annotations=context.annotations | {key: value for key, value in clocks.items() if value is not None},
    )


def _remove_foreign_clocks(manifest: JsonObject, ingress: ObservedObject | None) -> tuple[Step, ...]:
    """Returns the step that removes draining-since and unready-since annotations of other field managers.

    An apply removes only our own annotations. A remaining time would be mistaken for the start of the next period.
    """
    if ingress is None or ingress.deleting:
        return ()
    owned = ingress.ownership.fields.get("f:metadata", {}).get("f:annotations", {})
    foreign: dict[str, str | None] = {
        name: None
        for name in (names.DRAINING_SINCE_ANNOTATION, names.UNREADY_SINCE_ANNOTATION)
        if name in ingress.annotations and name not in manifest["metadata"]["annotations"] and f"f:{name}" not in owned
    }
    if not foreign:
        return ()
    reason = f"{', '.join(foreign)}: stale clock"
    return (Annotate(ingress.ref, reason, Part.ROUTE, uid=ingress.uid, annotations=foreign),)


def _canary_removed_event(
    context: ReconcileContext, ingress: ObservedObject | None, canary: CanaryDecision
) -> StepEvent | None:
    """Returns the Event for a canary that loses its traffic because it has no ready replicas; None otherwise."""
    weight = canaries.routed_weight(ingress, context.canary)
    if not weight or canary.weight or not canary.waits_for_pods:
        return None
    return StepEvent(
        "CanaryUnready", f"the canary has no ready replicas; its {weight}% of the traffic goes to the main Service"
    )


def _with_event(step: Step, event: StepEvent | None) -> Step:
    return replace(step, event=event) if event is not None and isinstance(step, Create | Apply) else step
