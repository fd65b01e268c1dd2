"""The health watchdog, which creates and withdraws the Ingress of an endpoint that should run.

All endpoints of a region share one load balancer. If a target group has no healthy target, Global Accelerator treats
the whole load balancer as unhealthy. The Ingress is therefore created when the containers of a pod are ready, and
withdrawn when no replica has been ready for `Policy.unhealthy_threshold` seconds. The start of this period is stored in
an annotation of the Ingress, so it survives restarts of the controller.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from gco_stream.model import names
from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.objects import Kind, ObservedObject, PodHealth
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.times import parse_time
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import FleetLimit, MissingInput, Note, RequeueAfter, RouteDecision
from gco_stream.planning.types.policy import Census
from gco_stream.planning.types.steps import StepEvent

# Seconds between lists of pods with readiness gates. Until the gates are met, the Deployment's status does not show
# whether the containers are ready.
_GATED_PERIOD = 15.0
# The same for pods without readiness gates. The Deployment's status covers these pods, but new pods may have gates.
_UNGATED_PERIOD = 60.0
_RUNS = frozenset({RegionState.RUNNING, RegionState.UPDATING})
_WITHDRAWN = Cause(
    Reason.INGRESS_WITHDRAWN, "no ready replicas; the Ingress is withdrawn until a pod's containers are ready"
)
_WAITING = Note("the Ingress is created once a pod's containers are ready")


def decide(
    context: ReconcileContext, deployment: ObservedObject | None, ingress: ObservedObject | None
) -> RouteDecision:
    """Decides whether the Ingress of an endpoint with replicas should exist. Both objects must belong to it."""
    if ingress is None or ingress.deleting:
        return _absent(context, deployment)
    if deployment is not None and (deployments.is_at_zero(deployment) or deployments.ready_replicas(deployment)):
        return RouteDecision(exists=True)
    return _unready(context, ingress)


def is_withdrawn(context: ReconcileContext) -> bool:
    """Whether the Ingress of an endpoint that should run is withdrawn because no replica is ready."""
    ingress = context.owned(Kind.INGRESS, names.ingress_name(context.endpoint.name))
    deployment = context.owned(Kind.DEPLOYMENT, context.endpoint.name)
    if deployment is None or deployment.deleting or not (ingress is None or ingress.deleting):
        return False
    is_unready = not deployments.is_at_zero(deployment) and not deployments.ready_replicas(deployment)
    return is_unready and was_routed(context)


def was_routed(context: ReconcileContext) -> bool:
    """Whether this region reported that the endpoint ran, or that its Ingress was withdrawn.

    If it did, a missing Ingress is reported as an error. Otherwise, the endpoint is reported as creating. The result
    does not affect whether the Ingress is created.
    """
    written = context.reported
    return written is not None and (written.state in _RUNS or written.reason == Reason.INGRESS_WITHDRAWN)


def _absent(context: ReconcileContext, deployment: ObservedObject | None) -> RouteDecision:
    errors = (_WITHDRAWN,) if is_withdrawn(context) else ()
    waiting = RouteDecision(errors=errors, notes=(_WAITING,))
    if deployment is None or deployment.deleting or deployments.is_at_zero(deployment):
        return waiting
    written = context.reported
    restored = written is not None and written.reason == Reason.INGRESS_WITHDRAWN
    event = StepEvent("IngressRestored", "a pod is ready again, so the Ingress was restored", warning=False)
    created = RouteDecision(exists=True, event=event if restored else None)
    if deployments.ready_replicas(deployment):
        return created
    pods = context.observed.pods
    if pods is None:
        # If the Deployment has no pods, there is nothing to list.
        return (
            replace(waiting, missing_inputs=frozenset({MissingInput.PODS}))
            if deployments.has_pods(deployment)
            else waiting
        )
    if any(pod.containers_ready for pod in pods):
        return created
    return replace(waiting, notes=(_WAITING, *_unready_pods(pods)), requeue_after=_check_pods(pods))


def _unready(context: ReconcileContext, ingress: ObservedObject) -> RouteDecision:
    threshold = context.policy.unhealthy_threshold
    since, clock = _unready_since(context.now, ingress)
    remaining = threshold - (context.now - since).total_seconds()
    if remaining > 0:
        why = "withdraw the Ingress if no replica is ready"
        return RouteDecision(exists=True, unready_since=clock, requeue_after=RequeueAfter(remaining, why))
    pods, census = context.observed.pods, context.fleet.census
    if pods is None or census is None:
        needs = {need for need, known in ((MissingInput.PODS, pods), (MissingInput.CENSUS, census)) if known is None}
        return RouteDecision(exists=True, unready_since=clock, missing_inputs=frozenset(needs))
    duration = f"no replica has been ready for {threshold:.0f} s"
    kept = RouteDecision(exists=True, unready_since=clock, notes=_unready_pods(pods), requeue_after=_check_pods(pods))
    if any(pod.containers_ready for pod in pods):
        # Without the Ingress, the load balancer would not check the pod, so its readiness gate would never be met.
        message = f"{duration}: a pod's containers are ready, but the load balancer does not report it healthy"
        return replace(kept, errors=(Cause(Reason.LOAD_BALANCER_UNHEALTHY, message),))
    if census.withdrawn >= _max_withdrawn(census):
        message = (
            f"{duration}; the Ingress is kept because half of the endpoints in this region have no ready replicas: the "
            "cluster itself is probably unhealthy, and traffic fails over only if its load balancer is unhealthy"
        )
        limited = Cause(Reason.WITHDRAWAL_LIMIT_REACHED, message)
        return replace(kept, limited_by=FleetLimit.WITHDRAWAL, errors=(limited,), warnings=(limited,))
    event = StepEvent("IngressWithdrawn", f"{duration}; the Ingress is restored once a pod's containers are ready")
    return RouteDecision(withdraws=True, errors=(_WITHDRAWN,), event=event)


def _unready_since(now: datetime, ingress: ObservedObject) -> tuple[datetime, str]:
    """The time since which no replica has been ready, and its text for the annotation.

    A missing, invalid or future time is replaced with the current time, so that the threshold is always reached.
    """
    text = ingress.annotations.get(names.UNREADY_SINCE_ANNOTATION, "")
    since = parse_time(text, default_zone=None)
    if since is None or since > now:
        return now, now.isoformat()
    return since, text


def _max_withdrawn(census: Census) -> int:
    return max(1, census.running // 2)


def _check_pods(pods: Sequence[PodHealth]) -> RequeueAfter:
    period = _GATED_PERIOD if any(pod.has_gates for pod in pods) else _UNGATED_PERIOD
    return RequeueAfter(period, "check whether a pod's containers are ready")


def _unready_pods(pods: Sequence[PodHealth]) -> tuple[Note, ...]:
    reasons = sorted({pod.reason for pod in pods if pod.reason})
    return tuple(Note(f"a pod is not ready: {reason}") for reason in reasons[:3]) or (Note("there are no pods"),)
