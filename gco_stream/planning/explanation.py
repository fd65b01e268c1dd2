"""Why an endpoint is as it is: a plan made into an answer for somebody who asks at night.

Nothing here decides. The verdict, the objects and what is waited for are all read off the plan, the item and the
functions that made the plan.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from gco_stream.model.endpoint import DesiredState, Endpoint, RegionState, RegionStatus, Unreadable
from gco_stream.model.objects import Kind, Observed, ObservedObject
from gco_stream.planning import canary as canaries
from gco_stream.planning.asked import asked
from gco_stream.planning.ownership import is_ours
from gco_stream.planning.plan import plan
from gco_stream.planning.policy import Fleet, Policy
from gco_stream.planning.running import inputs_of
from gco_stream.planning.situation import Situation
from gco_stream.planning.status import is_for_another_intent
from gco_stream.planning.steps import HeldBack, Plan, Report
from gco_stream.planning.verdicts import Case, ObjectVerdict, Verdict, verdicts

_HELD_WOULD = "held: would "
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
        if self.status is None:
            return "its report cannot be read" if self.unreadable else "has not reported"
        status = self.status
        words = f"{status.state}, {status.replicas_ready} of {status.replicas_desired} ready"
        if self.outdated:
            words += ", for what was asked before"
        return f"{words}: {status.error}" if status.error else words


@dataclass(frozen=True, slots=True)
class Explanation:
    """One endpoint in this region, explained.

    `as_asked`: here it is what the item asks, whatever the table still has to be told. `headline`: that in words, with
    the first reason where it is not. `asked`: what the item asks, by label. `agreement`: what the regions have to agree
    on (promotion, purge or ""), `waits_for`: whom it waits for and why. `notes`: what else the plan says.
    """

    endpoint: str
    as_asked: bool
    headline: str
    plan: Plan
    asked: dict[str, str]
    reports: tuple[RegionReport, ...] = ()
    objects: tuple[ObjectVerdict, ...] = ()
    hold: str | None = None
    agreement: str = ""
    waits_for: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
        headline = f"not meant for {policy.region}, and nothing of it stands here"
        return Explanation(
            item.name, True, headline, made, asked(item, policy), tuple(_reports(item, policy)), notes=made.notes
        )
    found = verdicts(Case(situation, made, free, unlimited, _limit(item, made)))
    # What a hold says instead of the state is told as the hold.
    report = unlimited.report if item.hold is not None or made.report is None else made.report
    wrong = _wrong(situation, made, report, found)
    agreement, waits_for = _agreement(item, policy, made)
    return Explanation(
        item.name,
        as_asked=not wrong,
        headline=_headline(item, policy, report, wrong),
        plan=made,
        asked=asked(item, policy),
        reports=tuple(_reports(item, policy)),
        objects=found,
        hold=item.hold,
        agreement=agreement,
        waits_for=waits_for,
        notes=_notes((*made.notes, *_of_pods(observed)), found, wrong),
    )


def _free(situation: Situation) -> Situation:
    """The same without a hold, and as if all other endpoints were well."""
    fleet = situation.fleet
    return replace(
        situation,
        endpoint=situation.endpoint.model_copy(update={"hold": None}),
        fleet=replace(fleet, deletions_left=sys.maxsize, census=fleet.census and replace(fleet.census, withdrawn=0)),
    )


def _limit(item: Endpoint, made: Plan) -> str:
    if item.hold is not None:
        return item.hold
    if made.held_back is HeldBack.WITHDRAWAL and made.report is not None:
        return made.report.error
    return "; ".join(made.warnings) or "a limit on the whole fleet is reached"


def _wrong(situation: Situation, made: Plan, report: Report, found: tuple[ObjectVerdict, ...]) -> str:
    """The first reason why the endpoint is not as asked here, "" where it is."""
    acts = next((one for one in found if one.verdict.acts or one.otherwise), None)
    if refused := _refusal(situation, made):
        return f"this region reported: {refused}"
    if report.error:
        return report.error
    if acts is not None:
        if acts.otherwise is not None and situation.endpoint.hold is None:
            return acts.why
        # Of one that is held, `why` is the hold.
        reasons = [*([] if acts.otherwise else [acts.why]), *acts.details]
        first = next((reason for reason in reasons if reason), "")
        verdict = acts.otherwise or acts.verdict
        return f"{acts.ref.kind} {acts.ref.name} {verdict}" + (f": {first}" if first else "")
    if report.state is not _final(situation):
        counts = f"{report.state}, {report.ready} of {report.desired} ready"
        return "; ".join([counts, *_of_pods(situation.observed)])
    return _waiting_canary(situation)


def _of_pods(observed: Observed) -> list[str]:
    """Why pods of the main are not ready, where somebody looked: each reason once."""
    reasons = sorted({pod.reason for pod in observed.pods or () if pod.reason})
    return [f"a pod is not ready: {reason}" for reason in reasons[:_REASONS]]


def _refusal(situation: Situation, made: Plan) -> str:
    """What this region reported of the objects that the plan has steps for: the steps may be those that the API server
    refuses, and then its answer says more than they do.
    """
    written = situation.endpoint.region_status.get(situation.policy.region)
    if written is None or is_for_another_intent(written, situation.endpoint.intent):
        return ""
    return written.error if any(str(step.ref) in written.error for step in made.steps) else ""


def _final(situation: Situation) -> RegionState:
    endpoint = situation.endpoint
    if endpoint.is_deleted or situation.policy.region not in endpoint.target_regions:
        return RegionState.DELETED
    return RegionState.RUNNING if endpoint.desired_state in _RUNS else RegionState.STOPPED


def _waiting_canary(situation: Situation) -> str:
    endpoint, spec = situation.endpoint, situation.endpoint.spec
    if _final(situation) is not RegionState.RUNNING or spec is None or spec.canary is None:
        return ""
    decision = canaries.wanted(situation, spec.canary, inputs_of(situation, spec))
    if not decision.waits_for_pods:
        return ""
    return f"the canary of {endpoint.name} has no ready replica, and gets no traffic until it has"


def _headline(item: Endpoint, policy: Policy, report: Report, wrong: str) -> str:
    held = f"held ({item.hold})" if item.hold is not None else ""
    if wrong:
        return f"NOT as asked: {held}: {wrong}" if held else f"NOT as asked: {wrong}"
    if report.state in _GONE:
        why = "as asked" if item.is_deleted else f"the item does not target {policy.region}"
        words = f"gone from here, {why}"
    else:
        words = f"{report.state} here, as asked"
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


def _notes(notes: Sequence[str], found: tuple[ObjectVerdict, ...], wrong: str) -> tuple[str, ...]:
    """Those that nothing else says."""
    told = [text for one in found for text in (one.why, *one.details) if text]
    return tuple(
        note
        for note in dict.fromkeys(notes)
        if not note.startswith(_HELD_WOULD) and note not in wrong and not any(note.endswith(text) for text in told)
    )


def _unreadable(item: Unreadable, observed: Observed, policy: Policy, made: Plan) -> Explanation:
    standing = [obj for obj in observed.objects.values() if _may_be_its(obj, item.name, policy)]
    order = list(Kind)
    standing.sort(key=lambda obj: (order.index(obj.ref.kind), obj.ref))
    return Explanation(
        item.name,
        as_asked=False,
        headline=f"NOT as asked: the item cannot be read: {item.error}",
        plan=made,
        asked=asked(item, policy),
        reports=tuple(_reports(item, policy)),
        objects=tuple(ObjectVerdict(obj.ref, Verdict.HELD, "the item cannot be read") for obj in standing),
    )


def _may_be_its(obj: ObservedObject, name: str, policy: Policy) -> bool:
    app = name if obj.ref.kind is Kind.INGRESS else obj.ref.name
    return (obj.endpoint == name or obj.ref.name in {name, f"inference-{name}"}) and is_ours(
        obj, endpoint=name, app=app, table_arn=policy.table_arn
    )
