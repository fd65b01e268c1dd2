"""Why an endpoint is as it is: a plan made into an answer for somebody who asks at night.

Nothing here decides. The verdict, the objects and what is waited for are all read off the plan, the item and the
functions that made the plan.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from gco_stream.model.endpoint import DesiredState, Endpoint, RegionState, RegionStatus, Unreadable
from gco_stream.model.objects import Kind, Observed, ObservedObject
from gco_stream.model.reasons import REFUSED_REASONS, Cause, Reason
from gco_stream.planning.explain.desired_summary import asked
from gco_stream.planning.explain.object_status import Case, ObjectVerdict, Verdict, verdicts
from gco_stream.planning.lifecycle.region_status import is_for_another_intent
from gco_stream.planning.lifecycle.running import inputs_of
from gco_stream.planning.planner import plan
from gco_stream.planning.policies import canary as canaries
from gco_stream.planning.types.context import Situation
from gco_stream.planning.types.ownership import is_ours
from gco_stream.planning.types.plan import HeldBack, Plan, Report
from gco_stream.planning.types.policy import Fleet, Policy

_REASONS = 3
_GONE = frozenset({RegionState.DELETED})
_AGREED: Mapping[DesiredState, tuple[str, RegionState]] = MappingProxyType(
    {
        DesiredState.DEPLOYING: ("promotion", RegionState.RUNNING),
        DesiredState.DELETED: ("purge", RegionState.DELETED),
    }
)
_RUNS = frozenset({DesiredState.DEPLOYING, DesiredState.RUNNING})


@dataclass(frozen=True, slots=True)
class RegionReport:
    """What one region reported last. `status` None: nothing, or (`unreadable`) nothing that can be read.

    `here`: it is this one. `is_target`: the item asks for the endpoint there. `outdated`: it speaks of something that
    the item no longer asks for.
    """

    region: str
    here: bool
    is_target: bool
    status: RegionStatus | None = None
    unreadable: bool = False
    outdated: bool = False

    def __str__(self) -> str:
        return self.details if self.status is None else f"{self.status.state}, {self.details}"

    @property
    def details(self) -> str:
        """What it reported, without the state."""
        if self.status is None:
            return "its report cannot be read" if self.unreadable else "has not reported"
        return f"{self.counts}: {self.status.error}" if self.status.error else self.counts

    @property
    def counts(self) -> str:
        """How many replicas it reported ready, and whether that is of an older spec; "" without a report."""
        if self.status is None:
            return ""
        words = f"{self.status.replicas_ready} of {self.status.replicas_desired} ready"
        return f"{words}, for an older spec" if self.outdated else words


@dataclass(frozen=True, slots=True)
class Explanation:
    """One endpoint in this region, explained.

    `cause`: why the endpoint is not in its desired state here, None where it is, whatever the table still has to be
    told. `summary`: its state in words. `asked`: what the item asks, by label. `agreement`: what the regions have to
    agree on (promotion, purge or ""), `waits_for`: whom it waits for and why. `notes`: what else the plan says.
    """

    endpoint: str
    cause: Cause | None
    summary: str
    plan: Plan
    asked: dict[str, str]
    reports: tuple[RegionReport, ...] = ()
    objects: tuple[ObjectVerdict, ...] = ()
    hold: str | None = None
    agreement: str = ""
    waits_for: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def as_asked(self) -> bool:
        """Whether the endpoint is in its desired state here."""
        return self.cause is None

    @property
    def headline(self) -> str:
        """The state in one line, with the first cause where it is not the desired one."""
        return self.summary if self.cause is None else f"needs attention: {self.summary}"

    @property
    def has_upgrade(self) -> bool:
        """Whether an upgrade would change the pod template of something."""
        return any(one.upgrade for one in self.objects)

    @property
    def is_held(self) -> bool:
        """Whether something is not done that would be, were it not for a hold or a limit."""
        return self.hold is not None or any(one.verdict is Verdict.HELD and one.otherwise for one in self.objects)


def explain(
    item: Endpoint | Unreadable, observed: Observed, fleet: Fleet, now: datetime, policy: Policy, made: Plan
) -> Explanation:
    """The explanation of a plan that was made of exactly these values."""
    if isinstance(item, Unreadable):
        return _unreadable(item, observed, policy, made)
    situation = Situation(item, observed, fleet, now, policy)
    free = _free(situation)
    unlimited = plan(free.endpoint, observed, free.fleet, now, policy)
    if unlimited.report is None:
        summary = f"does not target {policy.region}, and no object of it exists here"
        return Explanation(item.name, None, summary, made, asked(item, policy), tuple(_reports(item, policy)))
    found = verdicts(Case(situation, made, free, unlimited, _limit(item, made)))
    # A hold is shown as a hold, and the state as if there were none.
    report = unlimited.report if item.hold is not None or made.report is None else made.report
    cause = _cause(situation, made, report, found)
    agreement, waits_for = _agreement(item, policy, made)
    return Explanation(
        item.name,
        cause=cause,
        summary=_summary(item, policy, report, cause),
        plan=made,
        asked=asked(item, policy),
        reports=tuple(_reports(item, policy)),
        objects=found,
        hold=item.hold,
        agreement=agreement,
        waits_for=waits_for,
        notes=_notes(made, observed, found, cause),
    )


def _free(situation: Situation) -> Situation:
    """The same without a hold, and as if all other endpoints were well."""
    fleet = situation.fleet
    return replace(
        situation,
        endpoint=situation.endpoint.model_copy(update={"hold": None}),
        fleet=replace(fleet, deletions_left=sys.maxsize, census=fleet.census and replace(fleet.census, withdrawn=0)),
    )


def _limit(item: Endpoint, made: Plan) -> Cause:
    if item.hold is not None:
        return Cause(Reason.HELD, item.hold)
    if made.held_back is HeldBack.WITHDRAWAL and made.report is not None:
        return Cause(Reason.WITHDRAWAL_LIMIT_REACHED, made.report.error)
    message = "; ".join(map(str, made.warnings)) or "a limit on the whole fleet is reached"
    return Cause(Reason.REMOVAL_LIMIT_REACHED, message)


def _cause(situation: Situation, made: Plan, report: Report, found: tuple[ObjectVerdict, ...]) -> Cause | None:
    """The first cause why the endpoint is not in its desired state here."""
    if (refused := _refusal(situation, made)) is not None:
        return refused
    if report.error:
        return Cause(report.reason or Reason.API_ERROR, report.error)
    acts = next((one for one in found if one.verdict.acts or one.otherwise), None)
    if acts is not None:
        return _out_of_sync(situation, acts)
    if report.state is not _final(situation):
        counts = f"{report.state}, {report.ready} of {report.desired} ready"
        return Cause(Reason.PROGRESSING, "; ".join([counts, *_of_pods(situation.observed)]))
    return _waiting_canary(situation)


def _out_of_sync(situation: Situation, acts: ObjectVerdict) -> Cause:
    if acts.otherwise is not None and situation.endpoint.hold is None:
        return Cause(acts.reason or Reason.OUT_OF_SYNC, acts.why)
    # The hold itself is shown beside it.
    messages = [*([] if acts.otherwise else [acts.why]), *acts.details]
    first = next((message for message in messages if message), "")
    verdict = acts.otherwise or acts.verdict
    message = f"{acts.ref.kind} {acts.ref.name} {verdict.words}" + (f": {first}" if first else "")
    return Cause(Reason.HELD if acts.otherwise else Reason.OUT_OF_SYNC, message)


def _of_pods(observed: Observed) -> list[str]:
    """Why pods of the main are not ready, where somebody looked: each reason once."""
    reasons = sorted({pod.reason for pod in observed.pods or () if pod.reason})
    return [f"a pod is not ready: {reason}" for reason in reasons[:_REASONS]]


def _refusal(situation: Situation, made: Plan) -> Cause | None:
    """What this region reported of steps that the API server refused: it says more than the steps do."""
    written = situation.reported
    if not made.steps or written is None or is_for_another_intent(written, situation.endpoint.intent):
        return None
    if written.reason not in REFUSED_REASONS:
        return None
    return Cause(Reason(written.reason), f"this region reported: {written.error}")


def _final(situation: Situation) -> RegionState:
    endpoint = situation.endpoint
    if endpoint.is_deleted or situation.policy.region not in endpoint.target_regions:
        return RegionState.DELETED
    return RegionState.RUNNING if endpoint.desired_state in _RUNS else RegionState.STOPPED


def _waiting_canary(situation: Situation) -> Cause | None:
    endpoint, spec = situation.endpoint, situation.endpoint.spec
    if _final(situation) is not RegionState.RUNNING or spec is None or spec.canary is None:
        return None
    decision = canaries.wanted(situation, spec.canary, inputs_of(situation, spec))
    if not decision.waits_for_pods:
        return None
    message = f"the canary of {endpoint.name} has no ready replica and gets no traffic until it has one"
    return Cause(Reason.CANARY_NOT_READY, message)


def _summary(item: Endpoint, policy: Policy, report: Report, cause: Cause | None) -> str:
    held = f"held ({item.hold})" if item.hold is not None else ""
    if cause is not None:
        return f"{held}: {cause}" if held else cause.message
    if report.state in _GONE:
        why = "as desired" if item.is_deleted else f"because the item does not target {policy.region}"
        words = f"deleted here, {why}"
    else:
        words = f"{report.state} here, as desired"
    return f"{words}; {held}" if held else words


def _reports(item: Endpoint | Unreadable, policy: Policy) -> Iterator[RegionReport]:
    """This region first, then the others by name."""
    reported = item.reported_regions if isinstance(item, Endpoint) else frozenset(item.region_status)
    regions = item.target_regions | reported | item.region_status.keys() | {policy.region}
    for region in sorted(regions, key=lambda name: (name != policy.region, name)):
        status = item.region_status.get(region)
        yield RegionReport(
            region,
            here=region == policy.region,
            is_target=region in item.target_regions,
            status=status,
            unreadable=status is None and region in reported,
            outdated=status is not None and is_for_another_intent(status, item.intent),
        )


def _agreement(item: Endpoint, policy: Policy, made: Plan) -> tuple[str, tuple[str, ...]]:
    """What the regions have to agree on, and those that it waits for; none of them once the table allows it."""
    if item.desired_state not in _AGREED:
        return "", ()
    name, state = _AGREED[item.desired_state]
    waits = []
    for report in _reports(item, policy):
        has = report.status is not None and report.status.state is state
        if report.is_target:
            fulfilled = has and not report.outdated
        else:
            fulfilled = has or name == "promotion" or (report.status is None and not report.unreadable)
        if not fulfilled:
            soon = f"; it now says {made.report.state}" if report.here and made.write_report and made.report else ""
            waits.append(f"{report.region}: {report}{soon}")
    return name, tuple(waits)


def _notes(made: Plan, observed: Observed, found: tuple[ObjectVerdict, ...], cause: Cause | None) -> tuple[str, ...]:
    """Notes that are shown neither with an object nor in the summary."""
    shown = {(one.ref, text) for one in found for text in (one.why, *one.details)}
    notes = [str(note) for note in made.notes if (note.ref, note.message) not in shown]
    shown_whys = {text for _, text in shown}
    if cause is None or cause.reason is not Reason.PROGRESSING:
        notes += _of_pods(observed)
    else:
        shown_whys |= set(_of_pods(observed))
    return tuple(note for note in dict.fromkeys(notes) if note not in shown_whys)


def _unreadable(item: Unreadable, observed: Observed, policy: Policy, made: Plan) -> Explanation:
    standing = [obj for obj in observed.objects.values() if _may_be_its(obj, item.name, policy)]
    order = list(Kind)
    standing.sort(key=lambda obj: (order.index(obj.ref.kind), obj.ref))
    return Explanation(
        item.name,
        cause=Cause(Reason.INVALID_ITEM, item.error),
        summary=f"invalid item: {item.error}",
        plan=made,
        asked=asked(item, policy),
        reports=tuple(_reports(item, policy)),
        objects=tuple(
            ObjectVerdict(obj.ref, Verdict.HELD, "the item is invalid", reason=Reason.INVALID_ITEM) for obj in standing
        ),
    )


def _may_be_its(obj: ObservedObject, name: str, policy: Policy) -> bool:
    app = name if obj.ref.kind is Kind.INGRESS else obj.ref.name
    return (obj.endpoint == name or obj.ref.name in {name, f"inference-{name}"}) and is_ours(
        obj, endpoint=name, app=app, table_arn=policy.table_arn
    )
