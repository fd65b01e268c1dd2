"""The health watchdog: when the Ingress of an endpoint that should run is created and when it is withdrawn.

All endpoints of a region share one load balancer, and a target group without a healthy target makes the whole of it
unhealthy to Global Accelerator. Hence one rule: the Ingress is created once a pod's containers are ready, and withdrawn
once no replica has been ready for the threshold. The clock is an annotation of the Ingress, so it survives restarts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gco_stream.model import names
from gco_stream.model.endpoint import RegionState
from gco_stream.model.objects import Kind, ObservedObject, PodHealth
from gco_stream.model.reasons import Cause, Reason
from gco_stream.model.times import parse_time
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.plan import MissingInput, Note, RequeueAfter, StepEvent
from gco_stream.planning.types.policy import Census

# There is no event for containers that are ready behind a readiness gate, so these pods are listed this often.
_GATED_PERIOD = 15.0
# Without gates the Deployment's counts change; this covers pods that are given gates later.
_UNGATED_PERIOD = 60.0
_RUNS = frozenset({RegionState.RUNNING, RegionState.UPDATING})
_WITHDRAWN = Cause(
    Reason.INGRESS_WITHDRAWN, "no ready replicas; the Ingress is withdrawn until a pod's containers are ready"
)
_WAITING = Note("the Ingress is created once a pod's containers are ready")


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Whether the Ingress should exist.

    `unready_since`: the value of its clock annotation. `withdraws`: it exists and is deleted. `refused`: it would be
    deleted without the limit on the fleet. `error` sets the region's state to error. `event`: the Event for creating or
    withdrawing it.
    """

    exists: bool
    unready_since: str | None = None
    withdraws: bool = False
    refused: bool = False
    error: Cause | None = None
    event: StepEvent | None = None
    notes: tuple[Note, ...] = ()
    warnings: tuple[Cause, ...] = ()
    missing_inputs: frozenset[MissingInput] = frozenset()
    requeue_after: RequeueAfter | None = None


def decide(
    context: ReconcileContext, deployment: ObservedObject | None, ingress: ObservedObject | None
) -> RouteDecision:
    """Decides on the Ingress of an endpoint that should run replicas. `deployment`, `ingress`: owned by it, or None."""
    if ingress is None or ingress.deleting:
        return _absent(context, deployment)
    if deployment is not None and (deployments.is_at_zero(deployment) or deployments.ready_replicas(deployment)):
        return RouteDecision(exists=True)
    return _unready(context, ingress)


def is_withdrawn(context: ReconcileContext) -> bool:
    """Whether an endpoint that should run has lost its Ingress because none of its replicas is ready."""
    ingress = context.owned(Kind.INGRESS, names.ingress_name(context.endpoint.name))
    deployment = context.owned(Kind.DEPLOYMENT, context.endpoint.name)
    if deployment is None or deployment.deleting or not (ingress is None or ingress.deleting):
        return False
    is_unready = not deployments.is_at_zero(deployment) and not deployments.ready_replicas(deployment)
    return is_unready and was_routed(context)


def was_routed(context: ReconcileContext) -> bool:
    """Whether this region reported that the endpoint ran, or that its Ingress was withdrawn.

    It decides only whether an endpoint without an Ingress is reported as an error or as creating, never whether the
    Ingress is created.
    """
    written = context.reported
    return written is not None and (written.state in _RUNS or written.reason == Reason.INGRESS_WITHDRAWN)


def _absent(context: ReconcileContext, deployment: ObservedObject | None) -> RouteDecision:
    error = _WITHDRAWN if is_withdrawn(context) else None
    waiting = RouteDecision(exists=False, error=error, notes=(_WAITING,))
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
        # Without its Ingress the load balancer could never report the pod healthy.
        message = f"{duration}: a pod's containers are ready, but the load balancer does not report it healthy"
        return replace(kept, error=Cause(Reason.LOAD_BALANCER_UNHEALTHY, message))
    if census.withdrawn >= _max_withdrawn(census):
        message = (
            f"{duration}; the Ingress is kept because half of the endpoints in this region have no ready replicas: the "
            "cluster itself is probably unhealthy, and traffic fails over only if its load balancer is unhealthy"
        )
        limited = Cause(Reason.WITHDRAWAL_LIMIT_REACHED, message)
        return replace(kept, refused=True, error=limited, warnings=(limited,))
    event = StepEvent("IngressWithdrawn", f"{duration}; the Ingress is restored once a pod's containers are ready")
    return RouteDecision(exists=False, withdraws=True, error=_WITHDRAWN, event=event)


def _unready_since(now: datetime, ingress: ObservedObject) -> tuple[datetime, str]:
    """The time since when no replica has been ready, and the annotation's text.

    An invalid or future time starts the clock now, so that it always expires.
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
