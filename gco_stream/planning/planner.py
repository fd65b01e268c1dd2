"""Entry points of planning: pure functions that compute the plan for one endpoint.

Planning is level-triggered. It compares the desired state with the live objects, regardless of which event caused it,
and is repeated after the steps are executed, until the endpoint is in sync.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from gco_stream.model.item.endpoint import DesiredState, Endpoint, InvalidItem, RegionState
from gco_stream.model.item.field_types import LABEL_VALUE_RULE, is_label_value
from gco_stream.model.item.problem import Problem, summarize
from gco_stream.model.item.spec import EndpointSpec
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.lifecycle import region_status as status
from gco_stream.planning.lifecycle.orphaned import plan_orphan
from gco_stream.planning.lifecycle.promotion import table_change
from gco_stream.planning.lifecycle.running import plan_running
from gco_stream.planning.lifecycle.stopping import plan_removal, plan_stopped
from gco_stream.planning.policies import watchdog
from gco_stream.planning.policies.blockers import with_blockers, with_stuck_finalizers
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import EndpointDecision, Note, soonest
from gco_stream.planning.types.plan import Plan, Report
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import Policy
from gco_stream.planning.types.steps import Delete, Part, Step


def plan_endpoint(inputs: PlanInputs) -> Plan:
    """Plans one endpoint in this region.

    `observed` must contain only objects that may belong to the endpoint. `now` must have a time zone.
    """
    item = inputs.item
    if item is None:
        return plan_orphan(inputs.name, inputs.observed, inputs.fleet, inputs.policy)
    if isinstance(item, InvalidItem):
        return _unreadable(item, inputs.now, inputs.policy)
    context = ReconcileContext(item, inputs.observed, inputs.fleet, inputs.now, inputs.policy)
    if not _is_relevant(context):
        note = Note(f"the item does not target {inputs.policy.region}, and none of its objects exist here")
        return Plan(item.name, notes=(note,))
    outcome, report = _decide(context)
    report = replace(report, warnings=item.warnings_in(inputs.policy.region))
    if item.hold is not None:
        return _held(context, outcome, report)
    return _finished(context, outcome, report)


def plan_after_failures(plan: Plan, inputs: PlanInputs, failures: Mapping[Part, Cause]) -> Plan:
    """The plan after the API server has not accepted some of its steps: it has no steps and reports the failures.

    `failures`: the cause for each blocked part. If only the canary is blocked, the reported state does not change, and
    the rollout can be completed.
    """
    item, policy = inputs.item, inputs.policy
    if plan.report is None or item is None:
        return replace(plan, steps=())
    only_canary = set(failures) <= {Part.CANARY}
    messages = [plan.report.error] if plan.report.error else []
    first = next(iter(failures.values())).reason
    report = replace(
        plan.report,
        state=plan.report.state if only_canary else RegionState.ERROR,
        error="; ".join([*messages, *(cause.message for cause in failures.values())]),
        reason=(plan.report.reason or first) if only_canary else first,
    )
    write, later = status.is_due(
        item, policy.region, report, inputs.now, interval=policy.status_interval, heartbeat=policy.status_heartbeat
    )
    change = None
    if only_canary and not write and isinstance(item, Endpoint):
        change = table_change(item, policy.region)
    return replace(
        plan,
        steps=(),
        report=report,
        write_report=write,
        table_change=change,
        requeue_after=soonest(plan.requeue_after, later),
    )


def _is_relevant(context: ReconcileContext) -> bool:
    region = context.policy.region
    if region in context.endpoint.target_regions or context.all_owned():
        return True
    written = context.endpoint.region_status.get(region)
    return region in context.endpoint.reported_regions and (
        written is None
        or written.state is not RegionState.DELETED
        or context.endpoint.desired_state is DesiredState.DELETED
    )


def _decide(context: ReconcileContext) -> tuple[EndpointDecision, Report]:
    endpoint, policy = context.endpoint, context.policy
    if endpoint.desired_state is DesiredState.DELETED:
        return _removal(context, "the endpoint is deleted", spends_budget=False)
    if policy.region not in endpoint.target_regions:
        return _removal(context, f"the item no longer targets {policy.region}", spends_budget=True)
    if errors := _outside_allowed_namespaces(context):
        return EndpointDecision(errors=errors), status.failed(context, errors)
    if endpoint.desired_state is DesiredState.STOPPED:
        outcome = with_blockers(context, plan_stopped(context))
        report = status.stopped(context, pending=bool(outcome.steps), degraded_reasons=outcome.degraded_reasons)
    elif endpoint.spec is None:
        errors = (Cause(Reason.INVALID_SPEC, summarize(endpoint.all_problems)),)
        return EndpointDecision(errors=errors), status.failed(context, errors)
    elif errors := _unusable_gpu_type(context, endpoint.spec):
        return EndpointDecision(errors=errors), status.failed(context, errors)
    else:
        outcome = with_blockers(context, plan_running(context, endpoint.spec))
        # The reported state is that of the main Deployment, so pending steps of the canary do not affect it.
        pending = any(step.part is not Part.CANARY for step in outcome.steps)
        report = status.running(context, pending=pending, degraded_reasons=outcome.degraded_reasons)
    return outcome, status.failed(context, outcome.errors) if outcome.errors else report


def _removal(context: ReconcileContext, why: str, *, spends_budget: bool) -> tuple[EndpointDecision, Report]:
    outcome = with_stuck_finalizers(context, plan_removal(context, why, spends_budget=spends_budget))
    return outcome, status.removed(context, degraded_reasons=outcome.degraded_reasons)


def _outside_allowed_namespaces(context: ReconcileContext) -> tuple[Cause, ...]:
    allowed = context.policy.namespaces
    if context.namespace not in allowed:
        among = f"{', '.join(allowed)} (ALLOWED_NAMESPACES)"
        message = f"namespace: invalid value {context.namespace!r}: must be one of {among}"
        return (Cause(Reason.NAMESPACE_NOT_ALLOWED, message),)
    elsewhere = sorted({obj.ref.namespace for obj in context.all_owned()} - {context.namespace})
    if elsewhere:
        message = (
            f"namespace: invalid value {context.namespace!r}: the endpoint's objects are in {', '.join(elsewhere)}; "
            "change it back, or delete the endpoint and recreate it"
        )
        return (Cause(Reason.NAMESPACE_CHANGED, message),)
    return ()


def _unusable_gpu_type(context: ReconcileContext, spec: EndpointSpec) -> tuple[Cause, ...]:
    """Returns the error for a gpu_type that should become a node label, but cannot; its text is free otherwise."""
    if not context.policy.honor_gpu_type or spec.gpu_type is None or is_label_value(spec.gpu_type):
        return ()
    return (Cause(Reason.INVALID_SPEC, str(Problem("spec.gpu_type", spec.gpu_type, LABEL_VALUE_RULE))),)


def _finished(
    context: ReconcileContext, outcome: EndpointDecision, report: Report, withheld: tuple[Step, ...] = ()
) -> Plan:
    endpoint, policy = context.endpoint, context.policy
    write, later = status.is_due(
        endpoint,
        policy.region,
        report,
        context.now,
        interval=policy.status_interval,
        heartbeat=policy.status_heartbeat,
    )
    change = None
    if not outcome.steps and not write:
        change = table_change(endpoint, policy.region)
    return Plan(
        endpoint.name,
        steps=outcome.steps,
        report=report,
        write_report=write,
        report_first=write and bool(outcome.steps) and _is_reported_first(context, outcome),
        table_change=change,
        requeue_after=soonest(outcome.requeue_after, later),
        withheld=withheld,
        notes=outcome.notes,
        warnings=outcome.warnings,
        missing_inputs=outcome.missing_inputs,
        limited_by=outcome.limited_by,
        decided=outcome.decided,
        intent=endpoint.intent,
    )


def _is_reported_first(context: ReconcileContext, outcome: EndpointDecision) -> bool:
    """Whether the report must be in the item before the steps are executed.

    While this region is reported as deleted, another region may purge the item. The report is therefore replaced before
    objects are recreated. If an endpoint never ran, only the report records that its Ingress was withdrawn, so the
    report is written before the Ingress is deleted.
    """
    written = context.reported
    was_deleted = written is not None and written.state is RegionState.DELETED
    withdraws = any(isinstance(step, Delete) and step.withdraws for step in outcome.steps)
    return was_deleted or (withdraws and not watchdog.was_routed(context))


def _held(context: ReconcileContext, outcome: EndpointDecision, report: Report) -> Plan:
    """The plan for an endpoint on hold, which reports the hold and has its steps in `withheld`."""
    state = RegionState.PENDING if outcome.steps else report.state
    why = f"held: {context.endpoint.hold}"
    held_report = replace(report, state=state, error=why, reason=Reason.HELD)
    silent = EndpointDecision(notes=outcome.notes, warnings=outcome.warnings, decided=outcome.decided)
    return replace(_finished(context, silent, held_report, withheld=outcome.steps), table_change=None)


def _unreadable(item: InvalidItem, now: datetime, policy: Policy) -> Plan:
    if policy.region not in item.target_regions and policy.region not in item.region_status:
        return Plan(item.name, notes=(Note(item.error),), intent=item.intent)
    written = item.region_status.get(policy.region)
    counts = (written.replicas_ready, written.replicas_desired) if written else (0, 0)
    report = Report(RegionState.ERROR, *counts, item.error, Reason.INVALID_ITEM)
    write, later = status.is_due(
        item, policy.region, report, now, interval=policy.status_interval, heartbeat=policy.status_heartbeat
    )
    return Plan(item.name, report=report, write_report=write, requeue_after=later, intent=item.intent)
