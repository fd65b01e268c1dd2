"""The decision: what one endpoint needs now. A pure function of values; every policy is below here.

It is called anew for every hint, whatever the hint was, and plans from what is asked and what stands. Carried out, it
is called again on what then stands; in sync means that nothing is left to do.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from gco_stream.model.endpoint import DesiredState, Endpoint, RegionState, Unreadable
from gco_stream.model.objects import Observed
from gco_stream.model.problem import sentence
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.lifecycle import region_status as status
from gco_stream.planning.lifecycle.promotion import table_change
from gco_stream.planning.lifecycle.running import Outcome, plan_running
from gco_stream.planning.lifecycle.stopping import plan_removal, plan_stopped
from gco_stream.planning.policies import watchdog
from gco_stream.planning.policies.blockers import hanging, hindered
from gco_stream.planning.types.context import Situation
from gco_stream.planning.types.plan import Delete, Note, Part, Plan, Report, Step, earliest
from gco_stream.planning.types.policy import Fleet, Policy


def plan(item: Endpoint | Unreadable, observed: Observed, fleet: Fleet, now: datetime, policy: Policy) -> Plan:
    """What the endpoint needs in this region. `now` has a time zone; `observed` is of this endpoint's names only."""
    if isinstance(item, Unreadable):
        return _unreadable(item, now, policy)
    situation = Situation(item, observed, fleet, now, policy)
    if not _concerns(situation):
        note = Note(f"the item does not target {policy.region}, and no object of it exists here")
        return Plan(item.name, notes=(note,))
    outcome, report = _decide(situation)
    if item.hold is not None:
        return _held(situation, outcome, report)
    return _finished(situation, outcome, report)


def failing(
    made: Plan, item: Endpoint | Unreadable, failures: Mapping[Part, Cause], now: datetime, policy: Policy
) -> Plan:
    """The plan once the API server has not taken some of its steps: what is left is to say so.

    `failures`: the answer for each part that is held up. A canary that is held up is reported beside the main's state.
    """
    if made.report is None:
        return replace(made, steps=())
    only_canary = set(failures) <= {Part.CANARY}
    messages = [made.report.error] if made.report.error else []
    first = next(iter(failures.values())).reason
    report = replace(
        made.report,
        state=made.report.state if only_canary else RegionState.ERROR,
        error="; ".join([*messages, *(cause.message for cause in failures.values())]),
        reason=(made.report.reason or first) if only_canary else first,
    )
    write, later = status.is_due(
        item, policy.region, report, now, interval=policy.status_interval, heartbeat=policy.status_heartbeat
    )
    return replace(
        made,
        steps=(),
        report=report,
        write_report=write,
        table_change=None,
        look_again=earliest(made.look_again, later),
    )


def _concerns(situation: Situation) -> bool:
    region = situation.policy.region
    if region in situation.endpoint.target_regions or situation.all_ours():
        return True
    written = situation.endpoint.region_status.get(region)
    return region in situation.endpoint.reported_regions and (
        written is None
        or written.state is not RegionState.DELETED
        or situation.endpoint.desired_state is DesiredState.DELETED
    )


def _decide(situation: Situation) -> tuple[Outcome, Report]:
    endpoint, policy = situation.endpoint, situation.policy
    if endpoint.desired_state is DesiredState.DELETED:
        return _removal(situation, "the endpoint is deleted", spends_budget=False)
    if policy.region not in endpoint.target_regions:
        return _removal(situation, f"the item no longer targets {policy.region}", spends_budget=True)
    if errors := _misplaced(situation):
        return Outcome(errors=errors), status.failed(situation, errors)
    if endpoint.desired_state is DesiredState.STOPPED:
        outcome = hindered(situation, plan_stopped(situation))
        report = status.stopped(situation, pending=bool(outcome.steps), complaints=outcome.complaints)
    elif endpoint.spec is None:
        errors = (Cause(Reason.INVALID_SPEC, sentence(endpoint.spec_problems)),)
        return Outcome(errors=errors), status.failed(situation, errors)
    else:
        outcome = hindered(situation, plan_running(situation, endpoint.spec))
        # A canary on its way says nothing of the main.
        pending = any(step.part is not Part.CANARY for step in outcome.steps)
        report = status.running(situation, pending=pending, complaints=outcome.complaints)
    return outcome, status.failed(situation, outcome.errors) if outcome.errors else report


def _removal(situation: Situation, why: str, *, spends_budget: bool) -> tuple[Outcome, Report]:
    outcome = hanging(situation, plan_removal(situation, why, spends_budget=spends_budget))
    return outcome, status.removed(situation, complaints=outcome.complaints)


def _misplaced(situation: Situation) -> tuple[Cause, ...]:
    allowed = situation.policy.namespaces
    if situation.namespace not in allowed:
        among = f"{', '.join(allowed)} (ALLOWED_NAMESPACES)"
        message = f"namespace: invalid value {situation.namespace!r}: must be one of {among}"
        return (Cause(Reason.NAMESPACE_NOT_ALLOWED, message),)
    elsewhere = sorted({obj.ref.namespace for obj in situation.all_ours()} - {situation.namespace})
    if elsewhere:
        message = (
            f"namespace: invalid value {situation.namespace!r}: the endpoint's objects are in {', '.join(elsewhere)}; "
            "change it back, or delete the endpoint and recreate it"
        )
        return (Cause(Reason.NAMESPACE_CHANGED, message),)
    return ()


def _finished(situation: Situation, outcome: Outcome, report: Report, withheld: tuple[Step, ...] = ()) -> Plan:
    endpoint, policy = situation.endpoint, situation.policy
    write, later = status.is_due(
        endpoint,
        policy.region,
        report,
        situation.now,
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
        report_first=write and bool(outcome.steps) and _is_reported_first(situation, outcome),
        table_change=change,
        look_again=earliest(outcome.look_again, later),
        withheld=withheld,
        notes=outcome.notes,
        warnings=outcome.warnings,
        needs=outcome.needs,
        held_back=outcome.held_back,
        intent=endpoint.intent,
    )


def _is_reported_first(situation: Situation, outcome: Outcome) -> bool:
    """Whether the report must be in the item before the steps are carried out.

    Other regions may purge the item on this region's report that it is deleted, so that is taken back before anything
    is created again. A withdrawal is reported first because nothing else remembers it.
    """
    written = situation.reported
    was_deleted = written is not None and written.state is RegionState.DELETED
    withdraws = any(isinstance(step, Delete) and step.withdraws for step in outcome.steps)
    return was_deleted or (withdraws and not watchdog.was_routed(situation))


def _held(situation: Situation, outcome: Outcome, report: Report) -> Plan:
    """Leaves everything unchanged and reports the hold; what would be done is `withheld`."""
    state = RegionState.PENDING if outcome.steps else report.state
    held = Report(state, report.ready, report.desired, f"held: {situation.endpoint.hold}", Reason.HELD)
    silent = Outcome(notes=outcome.notes, warnings=outcome.warnings)
    return replace(_finished(situation, silent, held, withheld=outcome.steps), table_change=None)


def _unreadable(item: Unreadable, now: datetime, policy: Policy) -> Plan:
    if policy.region not in item.target_regions and policy.region not in item.region_status:
        return Plan(item.name, notes=(Note(item.error),), intent=item.intent)
    written = item.region_status.get(policy.region)
    counts = (written.replicas_ready, written.replicas_desired) if written else (0, 0)
    report = Report(RegionState.ERROR, *counts, item.error, Reason.INVALID_ITEM)
    write, later = status.is_due(
        item, policy.region, report, now, interval=policy.status_interval, heartbeat=policy.status_heartbeat
    )
    return Plan(item.name, report=report, write_report=write, look_again=later, intent=item.intent)
