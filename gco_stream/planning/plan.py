"""The decision: what one endpoint needs now. A pure function of values; every policy is below here.

It is called anew for every hint, whatever the hint was, and plans from what is asked and what stands. Carried out, it
is called again on what then stands; in sync means that nothing is left to do.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from gco_stream.model.endpoint import DesiredState, Endpoint, RegionState, Unreadable
from gco_stream.model.errors import sentence
from gco_stream.model.objects import Observed
from gco_stream.planning import status
from gco_stream.planning.agreement import table_change
from gco_stream.planning.hindrances import hanging, hindered
from gco_stream.planning.policy import Fleet, Policy
from gco_stream.planning.running import Outcome, plan_running
from gco_stream.planning.situation import Situation
from gco_stream.planning.steps import Part, Plan, Report, earliest
from gco_stream.planning.stopping import plan_removal, plan_stopped


def plan(item: Endpoint | Unreadable, observed: Observed, fleet: Fleet, now: datetime, policy: Policy) -> Plan:
    """What the endpoint needs in this region. `now` has a time zone; `observed` is of this endpoint's names only."""
    if isinstance(item, Unreadable):
        return _unreadable(item, now, policy)
    situation = Situation(item, observed, fleet, now, policy)
    if not _concerns(situation):
        return Plan(item.name, notes=(f"the item does not target {policy.region}, and nothing of it stands here",))
    outcome, report = _decide(situation)
    if item.hold is not None:
        return _held(situation, outcome, report)
    return _finished(situation, outcome, report)


def failing(
    made: Plan, item: Endpoint | Unreadable, failures: Mapping[Part, str], now: datetime, policy: Policy
) -> Plan:
    """The plan once the API server has not taken some of its steps: what is left is to say so.

    `failures`: the answer for each part that is held up. A canary that is held up is said beside the main's state.
    """
    if made.report is None:
        return replace(made, steps=())
    only_canary = set(failures) <= {Part.CANARY}
    message = "; ".join(failures.values())
    report = replace(
        made.report,
        state=made.report.state if only_canary else RegionState.ERROR,
        error=f"{made.report.error}; {message}" if made.report.error else message,
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
        errors = (sentence(endpoint.spec_problems),)
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


def _misplaced(situation: Situation) -> tuple[str, ...]:
    allowed = situation.policy.namespaces
    if situation.namespace not in allowed:
        return (
            f"namespace: {situation.namespace!r} is not allowed; allowed: {', '.join(allowed)} (ALLOWED_NAMESPACES)",
        )
    elsewhere = sorted({obj.ref.namespace for obj in situation.all_ours()} - {situation.namespace})
    if elsewhere:
        return (
            f"namespace: {situation.namespace!r}, but the endpoint's objects stand in {', '.join(elsewhere)}; "
            "set it back, or delete the endpoint and create it anew",
        )
    return ()


def _finished(situation: Situation, outcome: Outcome, report: Report) -> Plan:
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
        table_change=change,
        look_again=earliest(outcome.look_again, later),
        notes=(*outcome.notes, *outcome.errors),
        warnings=outcome.warnings,
        needs=outcome.needs,
        held_back=outcome.held_back,
        intent=endpoint.intent,
    )


def _held(situation: Situation, outcome: Outcome, report: Report) -> Plan:
    """Leaves everything as it is, and says so in the item, with what would be done in the notes."""
    state = RegionState.PENDING if outcome.steps else report.state
    held = Report(state, report.ready, report.desired, f"held: {situation.endpoint.hold}")
    would = tuple(f"held: would {step}" for step in outcome.steps)
    silent = Outcome(notes=(*would, *outcome.notes), warnings=outcome.warnings)
    return replace(_finished(situation, silent, held), table_change=None)


def _unreadable(item: Unreadable, now: datetime, policy: Policy) -> Plan:
    if policy.region not in item.target_regions and policy.region not in item.region_status:
        return Plan(item.name, notes=(item.error,), intent=item.intent)
    written = item.region_status.get(policy.region)
    counts = (written.replicas_ready, written.replicas_desired) if written else (0, 0)
    report = Report(RegionState.ERROR, *counts, item.error)
    write, later = status.is_due(
        item, policy.region, report, now, interval=policy.status_interval, heartbeat=policy.status_heartbeat
    )
    return Plan(item.name, report=report, write_report=write, look_again=later, notes=(item.error,), intent=item.intent)
