"""Explanation of an endpoint's state in this region, for operators.

This module makes no decisions of its own. It derives the explanation from the item, the plan and the decisions behind
the plan.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from gco_stream.model.item.endpoint import Endpoint, InvalidItem, RegionState
from gco_stream.model.kinds import RESOURCES
from gco_stream.model.objects import Kind, Observed, ObservedObject
from gco_stream.model.reasons import REFUSED_REASONS, Cause, Reason
from gco_stream.planning.explain.desired_summary import desired_summary
from gco_stream.planning.explain.explain_context import ExplainContext
from gco_stream.planning.explain.object_status import ObjectState, ObjectStatus, object_statuses
from gco_stream.planning.lifecycle.health import RegionHealth, final_state, is_for_another_intent, region_health
from gco_stream.planning.lifecycle.promotion import pending_change
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.policies.regional_images import main_image
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.decision import FleetLimit
from gco_stream.planning.types.ownership import is_owned_by
from gco_stream.planning.types.plan import Plan, Report, TableChange
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import Policy

_MAX_REASONS = 3
_CHANGES: Mapping[TableChange, str] = MappingProxyType({TableChange.PROMOTE: "promotion", TableChange.PURGE: "purge"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of one endpoint in this region.

    `cause`: why the endpoint is not in its desired state here; None if it is, even if its report is not written yet.
    `summary`: the state as a phrase. `desired`: the desired state as text, by label. `pending_change`: the change
    to the table that requires the reports of all regions: "promotion", "purge" or "". `waits_for`: the regions whose
    reports are not there yet, with their current state. `notes`: the notes of the plan that are not shown elsewhere.
    """

    endpoint: str
    region: str
    cause: Cause | None
    summary: str
    plan: Plan
    desired: dict[str, str]
    reports: tuple[RegionHealth, ...] = ()
    objects: tuple[ObjectStatus, ...] = ()
    hold: str | None = None
    pending_change: str = ""
    waits_for: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def in_desired_state(self) -> bool:
        """Whether the endpoint is in its desired state here."""
        return self.cause is None

    @property
    def headline(self) -> str:
        """The summary, prefixed with "needs attention" if the endpoint is not in its desired state."""
        return self.summary if self.cause is None else f"needs attention: {self.summary}"

    @property
    def has_upgrade(self) -> bool:
        """Whether an upgrade would change the pod template of a Deployment."""
        return any(one.upgrade for one in self.objects)

    @property
    def is_held(self) -> bool:
        """Whether the endpoint is on hold, or a fleet-wide limit prevents a change."""
        return self.hold is not None or any(
            one.state is ObjectState.HELD and one.without_limits for one in self.objects
        )


def explain(inputs: PlanInputs, plan: Plan) -> Explanation:
    """Returns the explanation of a plan. `inputs`: the inputs from which the plan was made.

    Raises ValueError if the endpoint has no item.
    """
    item, observed, policy = inputs.item, inputs.observed, inputs.policy
    if item is None:
        raise ValueError(f"endpoint {inputs.name} has no item to explain its plan from")
    if isinstance(item, InvalidItem):
        return _unreadable(item, observed, policy, plan)
    context = ReconcileContext(item, observed, inputs.fleet, inputs.now, policy)
    unrestricted = _without_limits(context)
    unlimited = plan_endpoint(replace(inputs, item=unrestricted.endpoint, fleet=unrestricted.fleet))
    if unlimited.report is None:
        summary = f"does not target {policy.region}, and none of its objects exist here"
        desired, reports = desired_summary(item, policy), tuple(_reports(item, policy))
        return Explanation(item.name, policy.region, None, summary, plan, desired, reports)
    statuses = object_statuses(ExplainContext(context, plan, unrestricted, unlimited, _limit(item, plan)))
    # The hold is shown separately, so the report is taken from the plan without it.
    report = unlimited.report if item.hold is not None or plan.report is None else plan.report
    cause = _cause(context, plan, report, statuses)
    change, waits_for = _pending_change(item, policy, plan)
    image = main_image(context, item.spec) if item.spec is not None else ""
    return Explanation(
        item.name,
        policy.region,
        cause=cause,
        summary=_summary(item, policy, report, cause),
        plan=plan,
        desired=desired_summary(item, policy, image),
        reports=tuple(_reports(item, policy)),
        objects=statuses,
        hold=item.hold,
        pending_change=change,
        waits_for=waits_for,
        notes=_notes(plan, observed, statuses, cause),
    )


def _without_limits(context: ReconcileContext) -> ReconcileContext:
    """Returns the same context without a hold and without fleet-wide limits."""
    fleet = context.fleet
    census = fleet.census and replace(fleet.census, withdrawn=0)
    return replace(
        context,
        endpoint=context.endpoint.model_copy(update={"hold": None}),
        fleet=replace(fleet, deletions_left=sys.maxsize, removals_held=None, census=census),
    )


def _limit(item: Endpoint, plan: Plan) -> Cause:
    if item.hold is not None:
        return Cause(Reason.HELD, item.hold)
    if plan.limited_by is FleetLimit.WITHDRAWAL and plan.report is not None:
        return Cause(Reason.WITHDRAWAL_LIMIT_REACHED, plan.report.error)
    if plan.warnings:
        return Cause(plan.warnings[0].reason, "; ".join(map(str, plan.warnings)))
    return Cause(Reason.REMOVAL_LIMIT_REACHED, "a limit on the whole fleet is reached")


def _cause(context: ReconcileContext, plan: Plan, report: Report, statuses: tuple[ObjectStatus, ...]) -> Cause | None:
    """Returns the main reason why the endpoint is not in its desired state here; None if it is."""
    if (refused := _refusal(context, plan)) is not None:
        return refused
    if report.error:
        return Cause(report.reason or Reason.API_ERROR, report.error)
    acts = next((one for one in statuses if one.state.acts or one.without_limits), None)
    if acts is not None:
        return _out_of_sync(context, acts)
    if report.state is not final_state(context.endpoint, context.policy.region):
        counts = f"{report.state}, {report.ready} of {report.desired} ready"
        return Cause(Reason.PROGRESSING, "; ".join([counts, *_of_pods(context.observed)]))
    return _waiting_canary(context, plan)


def _out_of_sync(context: ReconcileContext, acts: ObjectStatus) -> Cause:
    if acts.without_limits is not None and context.endpoint.hold is None:
        return Cause(acts.reason or Reason.OUT_OF_SYNC, acts.message)
    # The reason of the hold is already in the summary.
    messages = [*([] if acts.without_limits else [acts.message]), *acts.details]
    first = next((message for message in messages if message), "")
    verdict = acts.without_limits or acts.state
    message = f"{acts.ref.kind} {acts.ref.name} {verdict.text}" + (f": {first}" if first else "")
    return Cause(Reason.HELD if acts.without_limits else Reason.OUT_OF_SYNC, message)


def _of_pods(observed: Observed) -> list[str]:
    """Returns the first few reasons why pods of the main Deployment are not ready, if the pods were listed."""
    reasons = sorted({pod.reason for pod in observed.pods or () if pod.reason})
    return [f"a pod is not ready: {reason}" for reason in reasons[:_MAX_REASONS]]


def _refusal(context: ReconcileContext, plan: Plan) -> Cause | None:
    """Returns the reported error of the API server, if any. It explains more than the pending steps."""
    written = context.reported
    if not plan.steps or written is None or is_for_another_intent(written, context.endpoint.intent):
        return None
    if written.reason not in REFUSED_REASONS:
        return None
    return Cause(Reason(written.reason), f"this region reported: {written.error}")


def _waiting_canary(context: ReconcileContext, plan: Plan) -> Cause | None:
    endpoint, spec = context.endpoint, context.endpoint.spec
    if (
        final_state(context.endpoint, context.policy.region) is not RegionState.RUNNING
        or spec is None
        or spec.canary is None
    ):
        return None
    if plan.decided.canary is None or not plan.decided.canary.waits_for_pods:
        return None
    message = f"the canary of {endpoint.name} has no ready replicas and gets no traffic until one is ready"
    return Cause(Reason.CANARY_NOT_READY, message)


def _summary(item: Endpoint, policy: Policy, report: Report, cause: Cause | None) -> str:
    held = f"held ({item.hold})" if item.hold is not None else ""
    if cause is not None:
        return f"{held}: {cause}" if held else cause.message
    if report.state is RegionState.DELETED:
        why = "as desired" if item.is_deleted else f"because the item does not target {policy.region}"
        words = f"deleted here, {why}"
    else:
        words = f"{report.state} here, as desired"
    return f"{words}; {held}" if held else words


def _reports(item: Endpoint | InvalidItem, policy: Policy) -> Iterator[RegionHealth]:
    """Yields the report of this region, then those of the other regions by name."""
    reported = item.reported_regions if isinstance(item, Endpoint) else frozenset(item.region_status)
    regions = item.target_regions | reported | item.region_status.keys() | {policy.region}
    for region in sorted(regions, key=lambda name: (name != policy.region, name)):
        yield region_health(item, region)


def _pending_change(item: Endpoint, policy: Policy, plan: Plan) -> tuple[str, tuple[str, ...]]:
    """Returns the pending change to the table, and the regions whose reports it still requires."""
    change, waits_for = pending_change(item)
    if change is None:
        return "", ()
    about_to = f"; about to report {plan.report.state}" if plan.write_report and plan.report else ""
    local_first = sorted(waits_for, key=lambda one: one.region != policy.region)
    waits = (f"{one.region}: {one}{about_to if one.region == policy.region else ''}" for one in local_first)
    return _CHANGES[change], tuple(waits)


def _notes(plan: Plan, observed: Observed, statuses: tuple[ObjectStatus, ...], cause: Cause | None) -> tuple[str, ...]:
    """Returns the notes that are not already shown with an object or in the summary."""
    shown = {(one.ref, text) for one in statuses for text in (one.message, *one.details)}
    notes = [str(note) for note in plan.notes if (note.ref, note.message) not in shown]
    shown_whys = {text for _, text in shown}
    if cause is None or cause.reason is not Reason.PROGRESSING:
        notes += _of_pods(observed)
    else:
        shown_whys |= set(_of_pods(observed))
    return tuple(note for note in dict.fromkeys(notes) if note not in shown_whys)


def _unreadable(item: InvalidItem, observed: Observed, policy: Policy, plan: Plan) -> Explanation:
    live = [obj for obj in observed.objects.values() if _may_be_its(obj, item.name, policy)]
    order = list(Kind)
    live.sort(key=lambda obj: (order.index(obj.ref.kind), obj.ref))
    return Explanation(
        item.name,
        policy.region,
        cause=Cause(Reason.INVALID_ITEM, item.error),
        summary=f"invalid item: {item.error}",
        plan=plan,
        desired=desired_summary(item, policy),
        reports=tuple(_reports(item, policy)),
        objects=tuple(
            ObjectStatus(obj.ref, ObjectState.HELD, "the item is invalid", reason=Reason.INVALID_ITEM) for obj in live
        ),
    )


def _may_be_its(obj: ObservedObject, name: str, policy: Policy) -> bool:
    resource = RESOURCES[obj.ref.kind]
    is_named = obj.endpoint == name or obj.ref.name == resource.names_of(name)[0]
    return is_named and is_owned_by(obj, endpoint=name, app=resource.app_of(obj.ref.name), table_arn=policy.table_arn)
