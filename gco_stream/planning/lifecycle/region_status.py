"""The report of this region on an endpoint, and when to write it to the item."""

from datetime import datetime

from gco_stream.model.item.endpoint import Endpoint, InvalidItem, RegionState, RegionStatus
from gco_stream.model.objects import Kind, ObservedObject
from gco_stream.model.reasons import Cause
from gco_stream.model.times import seconds_since
from gco_stream.planning.lifecycle.health import is_for_another_intent
from gco_stream.planning.lifecycle.running import replicas_of
from gco_stream.planning.resources import deployment as deployments
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import RequeueAfter
from gco_stream.planning.types.plan import Report

_HAS_RUN = frozenset({RegionState.RUNNING, RegionState.UPDATING})
_UNUSED = frozenset({RegionState.CREATING, RegionState.DELETED, RegionState.DELETING})


def running(context: ReconcileContext, *, pending: bool, degraded_reasons: tuple[Cause, ...]) -> Report:
    """Returns the report on an endpoint that should run. `pending`: the plan still has steps."""
    observed = context.owned(Kind.DEPLOYMENT, context.endpoint.name)
    ready, desired = _replica_counts(context, observed)
    is_running = not pending and deployments.rolled_out(observed)
    state = RegionState.RUNNING if is_running else _not_yet_running(context, observed)
    return Report.of(state, degraded_reasons, ready=ready, desired=desired)


def stopped(context: ReconcileContext, *, pending: bool, degraded_reasons: tuple[Cause, ...]) -> Report:
    """Returns the report on an endpoint that should be stopped. The state is stopping until all pods are gone."""
    remaining = [
        obj
        for name in (context.endpoint.name, context.canary)
        if (obj := context.owned(Kind.DEPLOYMENT, name)) is not None and not _is_empty(obj)
    ]
    ready = deployments.ready_replicas(context.owned(Kind.DEPLOYMENT, context.endpoint.name))
    state = RegionState.STOPPING if pending or remaining else RegionState.STOPPED
    return Report.of(state, degraded_reasons, ready=ready if remaining else 0)


def removed(context: ReconcileContext, *, degraded_reasons: tuple[Cause, ...] = ()) -> Report:
    """Returns the report on an endpoint that should be removed. The state is deleting until all objects are gone."""
    state = RegionState.DELETING if context.all_owned() else RegionState.DELETED
    return Report.of(state, degraded_reasons)


def failed(context: ReconcileContext, errors: tuple[Cause, ...]) -> Report:
    """Returns the report on an endpoint that cannot reach its desired state because of these errors."""
    observed = context.owned(Kind.DEPLOYMENT, context.endpoint.name)
    ready, desired = _replica_counts(context, observed)
    return Report.of(RegionState.ERROR, errors, ready=ready, desired=desired)


def is_due(
    item: Endpoint | InvalidItem, region: str, report: Report, now: datetime, *, interval: float, heartbeat: float
) -> tuple[bool, RequeueAfter | None]:
    """Returns whether to write the report now and, if it is to be written later, the requeue for that.

    A changed state, error or reason is written immediately. Changed replica counts are written at most every `interval`
    seconds. An unchanged report is written every `heartbeat` seconds, or never if `heartbeat` is 0.
    """
    written = item.region_status.get(region)
    if written is None or _is_changed(written, report, item.intent):
        return True, None
    pause, why = heartbeat, "report heartbeat"
    if (written.replicas_ready, written.replicas_desired) != (report.ready, report.desired):
        pause, why = interval, "report changed replica counts"
    elif not heartbeat:
        return False, None
    remaining = pause - _age(written, now)
    return (True, None) if remaining <= 0 else (False, RequeueAfter(remaining, why))


def _is_changed(written: RegionStatus, report: Report, intent: str) -> bool:
    if (written.state, written.error, written.reason) != (report.state, report.error, report.reason or ""):
        return True
    # An entry without an intent was written by GCO and counts as current.
    return is_for_another_intent(written, intent)


def _age(written: RegionStatus, now: datetime) -> float:
    age = seconds_since(written.last_sync, now)
    # A time in the future (clock skew) must not suppress the report forever.
    return age if age > -1 else float("inf")


def _is_empty(deployment: ObservedObject) -> bool:
    status = deployment.status
    return not status.get("replicas", 0) and status.get("observedGeneration", 0) >= deployment.generation


def _replica_counts(context: ReconcileContext, observed: ObservedObject | None) -> tuple[int, int]:
    spec = context.endpoint.spec
    desired = observed.spec.get("replicas", 1) if observed is not None else 0
    if spec is not None and (observed is None or not spec.autoscaling.enabled):
        desired = replicas_of(spec).start
    return deployments.ready_replicas(observed), desired


def _not_yet_running(context: ReconcileContext, observed: ObservedObject | None) -> RegionState:
    written = context.reported
    if written is None or written.state in _UNUSED:
        return RegionState.CREATING
    if written.state in _HAS_RUN or deployments.ready_replicas(observed):
        return RegionState.UPDATING
    return RegionState.CREATING
