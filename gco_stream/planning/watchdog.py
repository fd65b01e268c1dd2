"""The health watchdog: when an endpoint that shall run has a route, and when its route is taken from it.

All endpoints of a region share one load balancer, and a target group without a healthy target makes the whole of it
unhealthy to Global Accelerator. So the Ingress of an endpoint that has had no ready replica for a while is withdrawn,
and made again when a pod's containers are ready. Nothing remembers this but the objects: the clock is an annotation of
the Ingress, and an Ingress that is absent waits for a pod.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gco_stream.model import names
from gco_stream.model.endpoint import RegionState, RegionStatus
from gco_stream.model.objects import Kind, ObservedObject, PodHealth
from gco_stream.planning import deployments
from gco_stream.planning.policy import Census
from gco_stream.planning.situation import Situation
from gco_stream.planning.steps import LookAgain, Need, Tell

# Nothing tells of containers that become ready behind a readiness gate, so the pods are looked at this often.
_GATED_PERIOD = 15.0
# Without gates the Deployment's counts tell; this is for pods that are given gates later.
_UNGATED_PERIOD = 60.0
_RUNS = frozenset({RegionState.RUNNING, RegionState.UPDATING})
_HAS_SERVED = _RUNS | {RegionState.ERROR}
_AWAY = "no replica is ready, and the Ingress is away until one is"


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Whether the Ingress is to stand, and what is to be said of it.

    `unready_since`: the clock that the Ingress carries. `withdraws`: it stands, and is to be taken away; `refused`: it
    would be, if the fleet allowed it. `error`: makes the region's state. `tell`: the Event of making or withdrawing it.
    """

    stands: bool
    unready_since: str | None = None
    withdraws: bool = False
    refused: bool = False
    error: str = ""
    tell: Tell | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    needs: frozenset[Need] = frozenset()
    look_again: LookAgain | None = None


def decide(situation: Situation, deployment: ObservedObject | None, ingress: ObservedObject | None) -> RouteDecision:
    """The route of an endpoint that is to run at least one replica. `deployment`, `ingress`: ours, or None."""
    if ingress is None or ingress.deleting:
        return _absent(situation, deployment)
    if not (_is_unready(deployment) if deployment is not None else _cannot_be_made(situation)):
        return RouteDecision(stands=True)
    return _unready(situation, ingress)


def is_withdrawn(situation: Situation) -> bool:
    """Whether an endpoint that is to run has lost its Ingress because no replica of it is ready."""
    ingress = situation.ours(Kind.INGRESS, names.ingress_name(situation.endpoint.name))
    deployment = situation.ours(Kind.DEPLOYMENT, situation.endpoint.name)
    if deployment is None or deployment.deleting:
        return False
    return (ingress is None or ingress.deleting) and _is_unready(deployment) and _had_route(situation)


def _is_unready(deployment: ObservedObject) -> bool:
    """Pods are asked for, and none serves. Counts decide, since the condition Available is True with none ready."""
    return not deployments.is_at_zero(deployment) and not deployments.ready(deployment)


def _cannot_be_made(situation: Situation) -> bool:
    """Whether a Deployment that is missing is more than one that somebody has just deleted."""
    written = situation.endpoint.region_status.get(situation.policy.region)
    return written is not None and written.state not in _RUNS


def _had_route(situation: Situation) -> bool:
    """Whether an Ingress that is absent has been there: the item says that the endpoint ran, or that it was withdrawn.

    One that was never made, since it was not allowed for example, is still to be made.
    """
    written = situation.endpoint.region_status.get(situation.policy.region)
    return written is not None and (written.state in _RUNS or _AWAY in written.error)


def _absent(situation: Situation, deployment: ObservedObject | None) -> RouteDecision:
    waits = "the Ingress is made once a replica is ready"
    is_first = not situation.policy.ingress_on_ready and not _said_away(situation)
    if deployment is None or deployments.is_at_zero(deployment):
        error = _AWAY if _said_away(situation) else ""
        return RouteDecision(stands=is_first, error=error, notes=() if is_first else (waits,))
    if deployment.deleting:
        # What serves of it is on its way out, and what is made anew after it brings its own route.
        return RouteDecision(stands=False, notes=(waits,))
    restored = Tell("IngressRestored", "a pod is ready again, so the Ingress is made again", warning=False)
    made = RouteDecision(stands=True, tell=restored if _said_away(situation) else None)
    if deployments.ready(deployment) or (is_first and not _had_route(situation)):
        return made
    pods = situation.observed.pods
    error = _AWAY if _had_route(situation) else ""
    if pods is None:
        return RouteDecision(stands=False, error=error, needs=frozenset({Need.PODS}))
    if any(pod.containers_ready for pod in pods):
        return made
    return RouteDecision(stands=False, error=error, notes=(waits, *_reasons(pods)), look_again=_look_at(pods))


def _unready(situation: Situation, ingress: ObservedObject) -> RouteDecision:
    threshold = situation.policy.unhealthy_threshold
    since, clock = _clock(situation, ingress)
    left = threshold - (situation.now - since).total_seconds()
    if left > 0:
        why = "an Ingress without a ready replica is withdrawn then"
        return RouteDecision(stands=True, unready_since=clock, look_again=LookAgain(left, why))
    pods, census = situation.observed.pods, situation.fleet.census
    if pods is None or census is None:
        needs = {need for need, known in ((Need.PODS, pods), (Need.CENSUS, census)) if known is None}
        return RouteDecision(stands=True, unready_since=clock, needs=frozenset(needs))
    lasting = f"no replica has been ready for {threshold:.0f} s"
    stays = RouteDecision(stands=True, unready_since=clock, notes=_reasons(pods), look_again=_look_at(pods))
    if any(pod.containers_ready for pod in pods):
        # Only with its Ingress can the load balancer ever find it healthy.
        return replace(
            stays, error=f"{lasting}, although a pod's containers are: the load balancer does not find it healthy"
        )
    if census.withdrawn >= _most(census):
        error = (
            f"{lasting}; the Ingress stays, since half of the endpoints here are in this state: the cluster itself "
            "seems ill, and traffic can only leave it if its load balancer is seen to be unhealthy"
        )
        return replace(stays, refused=True, error=error, warnings=(error,))
    if not _had_route(situation):
        # Nothing else would tell afterwards that it was withdrawn and not that it is still to be made.
        return replace(stays, unready_since=clock or since.isoformat(), error=_AWAY)
    tell = Tell("IngressWithdrawn", f"{lasting}; the Ingress comes back when a pod's containers are ready")
    return RouteDecision(stands=False, withdraws=True, error=_AWAY, tell=tell)


def _clock(situation: Situation, ingress: ObservedObject) -> tuple[datetime, str | None]:
    """Since when no replica is ready, and what the Ingress carries of it.

    An endpoint that has not run since its Ingress was made has been so since then, and needs no annotation, unless that
    was hours ahead of our time. Neither a time that cannot be read nor one ahead of ours may stop the clock.
    """
    now, threshold = situation.now, situation.policy.unhealthy_threshold
    text = ingress.annotations.get(names.UNREADY_SINCE_ANNOTATION)
    written = situation.endpoint.region_status.get(situation.policy.region)
    made = _moment(ingress.created)
    age = (now - made).total_seconds() if made is not None else 0.0
    if text is None and made is not None and age > -threshold and _never_served(written, age < threshold):
        return min(made, now), None
    since = _moment(text or "")
    if text is None or since is None or since > now:
        return now, now.isoformat()
    return since, text


def _never_served(written: RegionStatus | None, is_new: bool) -> bool:
    """Whether no replica has been ready since the Ingress was made; `is_new`: that is not long ago.

    An older Ingress with another status, or none, has served: before a hold, or an item of that name made anew.
    """
    if written is not None and written.state is RegionState.CREATING:
        return not written.replicas_ready
    return is_new and (written is None or written.state not in _HAS_SERVED)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _most(census: Census) -> int:
    return max(1, census.running // 2)


def _said_away(situation: Situation) -> bool:
    written = situation.endpoint.region_status.get(situation.policy.region)
    return written is not None and _AWAY in written.error


def _look_at(pods: Sequence[PodHealth]) -> LookAgain:
    period = _GATED_PERIOD if any(pod.has_gates for pod in pods) else _UNGATED_PERIOD
    return LookAgain(period, "whether a pod's containers are ready")


def _reasons(pods: Sequence[PodHealth]) -> tuple[str, ...]:
    reasons = sorted({pod.reason for pod in pods if pod.reason})
    return tuple(f"a pod is not ready: {reason}" for reason in reasons[:3]) or ("it has no pod",)
