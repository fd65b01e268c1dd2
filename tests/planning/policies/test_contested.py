import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint, RegionState
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject
from gco_stream.planning.explain.explanation import explain
from gco_stream.planning.explain.object_status import ObjectState
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.policies import contested
from gco_stream.planning.policies.contested import MAX_ATTEMPTS, ContestedAnnotation
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Annotate, Apply, Create, Scale
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SCALED, START
from tests.support.value_api_server import ApiServer, Path, Stored

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
SERVICE = ObjectRef(Kind.SERVICE, NAMESPACE, "chat")
INGRESS = ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat")
OTHER = ("updater", "Update")
CONTAINER = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"inference"}')
IMAGE = (*CONTAINER, "f:image")
INTERVAL = ("f:metadata", "f:annotations", "f:alb.ingress.kubernetes.io/healthcheck-interval-seconds")


class ContestFixture:
    """A cluster with another field manager: `insists` runs after each of our writes and may revert it."""

    def __init__(self, **asked: Any) -> None:
        self.api = ApiServer(self._wrote)
        self.now = START
        self.api.now = START
        self.asked: Endpoint = endpoint(**asked)
        self.insists: list[tuple[ObjectRef, Path, Any]] = []
        self.taken: list[Any] = []
        self.reconcile()
        self.roll_out()
        self.reconcile()

    def _wrote(self, stored: Stored) -> None:
        """Ignores the notification."""

    def set_desired(self, **asked: Any) -> None:
        self.asked = endpoint(**asked)

    def start_updater(self, ref: ObjectRef, path: Path, value: Any) -> None:
        self.insists.append((ref, path, value))
        self.api.edit(ref, OTHER, path, value)

    def stop_updater(self) -> None:
        """Stops the other field manager; its last values stay."""
        self.insists.clear()

    def inputs(self) -> PlanInputs:
        seen = {ref: self.seen(ref) for ref in self.api.stored}
        return PlanInputs(self.asked.name, self.asked, Observed(seen), FleetState(), self.now, POLICY)

    def plan(self) -> Plan:
        return plan_endpoint(self.inputs())

    def seen(self, ref: ObjectRef) -> ObservedObject:
        found = self.api.seen(ref)
        assert found is not None
        return found

    def reconcile(self) -> Plan:
        """Reconciles like the engine: an object with three reverted applies is annotated as contested."""
        applies: dict[ObjectRef, int] = {}
        for _ in range(12):
            plan = self.plan()
            if not plan.steps:
                return plan
            for step in plan.steps:
                self.take(step)
                applies[step.ref] = applies.get(step.ref, 0) + isinstance(step, Apply)
            fought_over = [ref for ref, count in applies.items() if count >= MAX_ATTEMPTS]
            seen = {ref: self.seen(ref) for ref in self.api.stored}
            for step in contested.annotate_all_contested(self.plan().steps, fought_over, seen, self.now):
                self.take(step)
        raise AssertionError(f"no end of it: {plan.lines()}")

    def take(self, step: Any) -> None:
        self.taken.append(step)
        self.api.execute(step)
        for ref, path, value in self.insists:
            self.api.edit(ref, OTHER, path, value)

    def applies(self, ref: ObjectRef) -> int:
        return sum(isinstance(step, Apply) and step.ref == ref for step in self.taken)

    def mark(self, ref: ObjectRef) -> ContestedAnnotation | None:
        return contested.contested_annotation(self.seen(ref))

    def write_mark(self, ref: ObjectRef, text: str | None) -> None:
        self.api.edit(ref, OTHER, ("f:metadata", "f:annotations", f"f:{names.CONTESTED_ANNOTATION}"), text)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def roll_out(self) -> None:
        for ref, stored in self.api.stored.items():
            if ref.kind is Kind.DEPLOYMENT:
                count = stored.body["spec"]["replicas"]
                counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
                self.api.set_status(ref, {"observedGeneration": stored.generation} | dict.fromkeys(counts, count))


def over_template() -> ContestFixture:
    contest = ContestFixture()
    contest.start_updater(MAIN, IMAGE, "registry.example/theirs:9")
    contest.reconcile()
    return contest


def over_annotation() -> ContestFixture:
    contest = ContestFixture()
    contest.start_updater(INGRESS, INTERVAL, "99")
    contest.reconcile()
    return contest


def test_the_contested_annotation_is_short_and_parses_to_what_was_written() -> None:
    mark = ContestedAnnotation("0f" * 16, 3, START, of_template=True)
    assert str(mark) == f"template {'0f' * 16} 3 2026-11-21T09:00:00+00:00"
    assert contested.parse_annotation(str(mark)) == mark
    assert contested.parse_annotation(str(ContestedAnnotation("a", 1, START))) == ContestedAnnotation("a", 1, START)


@pytest.mark.parametrize(
    "rubbish",
    [
        None,
        "",
        "yes",
        "template abc 3",
        "template abc x 2026-11-21T09:00:00+00:00",
        "template abc 0 2026-11-21T09:00:00+00:00",
        "object abc -1 2026-11-21T09:00:00+00:00",
        "object abc 1 2026-11-21T09:00:00",
        "object abc 1 tomorrow",
        "thing abc 1 2026-11-21T09:00:00+00:00",
        "object abc 1 2026-11-21T09:00:00+00:00 more",
        "object abc " + "9" * 5000 + " 2026-11-21T09:00:00+00:00",
    ],
)
def test_an_invalid_contested_annotation_is_ignored(rubbish: str | None) -> None:
    assert contested.parse_annotation(rubbish) is None


def test_a_contested_template_is_applied_three_times_and_never_again() -> None:
    contest = over_template()
    assert contest.applies(MAIN) == 3
    mark = contest.mark(MAIN)
    assert mark is not None
    assert (mark.attempts, mark.at, mark.of_template) == (1, START, True)
    for _ in range(10):
        contest.wait(86_400)
        plan = contest.reconcile()
        assert plan.steps == ()
        assert plan.requeue_after is None
    assert contest.applies(MAIN) == 3


def test_the_error_of_a_contested_template_names_object_and_field_without_a_time() -> None:
    contest = over_template()
    contest.roll_out()
    report = contest.reconcile().report
    assert report is not None
    assert report.state is RegionState.ERROR
    assert "another field manager keeps changing Deployment gco-inference/chat" in report.error
    assert (
        "spec.template.spec.containers[inference].image: is 'registry.example/theirs:9', "
        "should be 'registry.example/serve:1.0'" in report.error
    )
    contest.wait(86_400)
    assert contest.reconcile().report == report


def test_marking_an_object_as_contested_emits_one_event() -> None:
    contest = over_template()
    events = [step.event for step in contest.taken if isinstance(step, Annotate)]
    [event] = [event for event in events if event is not None]
    assert (event.reason, event.warning) == ("Contested", True)
    assert "another field manager keeps changing" in event.message


def test_a_contested_template_is_retried_once_the_items_template_changes() -> None:
    contest = over_template()
    contest.set_desired(spec={"image": "registry.example/serve:2.0"})
    contest.reconcile()
    assert contest.applies(MAIN) == 6
    contest.stop_updater()
    contest.set_desired(spec={"image": "registry.example/serve:3.0"})
    assert contest.reconcile().report is not None
    container = contest.seen(MAIN).spec["template"]["spec"]["containers"][0]
    assert (contest.applies(MAIN), container["image"]) == (7, "registry.example/serve:3.0")
    assert contest.mark(MAIN) is None


def test_a_new_revision_or_live_order_does_not_count_as_a_changed_template() -> None:
    contest = ContestFixture(spec={"env": {"A": "1", "B": "2"}})
    contest.start_updater(MAIN, IMAGE, "registry.example/theirs:9")
    contest.reconcile()
    env = contest.api.stored[MAIN].body["spec"]["template"]["spec"]["containers"][0]["env"]
    env.reverse()
    contest.api.edit(MAIN, OTHER, ("f:metadata", "f:labels", "f:team"), "b")
    contest.set_desired(spec={"env": {"A": "1", "B": "2"}}, updated_at="2026-11-22T09:00:00+00:00")
    assert contest.reconcile().steps == ()
    assert contest.applies(MAIN) == 3


def test_a_contested_deployment_is_still_scaled_without_changing_its_template() -> None:
    contest = over_template()
    contest.set_desired(spec={"replicas": 4})
    contest.taken.clear()
    contest.reconcile()
    (step,) = contest.taken
    assert isinstance(step, Scale)
    assert (step.ref, step.uid, step.replicas) == (MAIN, contest.seen(MAIN).uid, 4)
    contest.set_desired(spec={"replicas": 4}, desired_state="stopped")
    contest.reconcile()
    assert contest.seen(MAIN).spec["replicas"] == 0


def test_a_contested_autoscaled_deployment_is_scaled_up_from_0_and_left_to_the_hpa() -> None:
    contest = ContestFixture(spec=SCALED)
    contest.start_updater(MAIN, IMAGE, "registry.example/theirs:9")
    contest.reconcile()
    contest.api.edit(MAIN, OTHER, ("f:spec", "f:replicas"), 0)
    contest.taken.clear()
    contest.reconcile()
    assert [type(step) for step in contest.taken] == [Scale]
    contest.api.edit(MAIN, OTHER, ("f:spec", "f:replicas"), 7)
    assert contest.reconcile().steps == ()
    assert contest.seen(MAIN).spec["replicas"] == 7


def test_other_fields_are_retried_with_a_wait_from_1_minute_to_6_hours() -> None:
    contest, waits = over_annotation(), []
    for _ in range(12):
        before = contest.applies(INGRESS)
        again = contest.reconcile().requeue_after
        assert again is not None
        waits.append(again.after)
        contest.wait(again.after - 1)
        assert contest.reconcile().steps == ()
        assert contest.applies(INGRESS) == before
        contest.wait(1)
        contest.reconcile()
        assert contest.applies(INGRESS) > before
    assert waits == [min(60.0 * 2**turn, 21_600.0) for turn in range(12)]


def test_a_new_revision_alone_does_not_shorten_the_wait() -> None:
    contest = over_annotation()
    contest.set_desired(updated_at="2026-11-22T09:00:00+00:00")
    assert contest.reconcile().steps == ()
    assert contest.applies(INGRESS) == 3


def test_contested_labels_and_annotations_do_not_block_promotion() -> None:
    report = over_annotation().reconcile().report
    assert report is not None
    assert report.state is RegionState.RUNNING
    assert "Ingress gco-inference/inference-chat" in report.error
    assert "metadata.annotations[alb.ingress.kubernetes.io/healthcheck-interval-seconds]" in report.error


def test_a_contested_spec_is_an_error_even_if_the_endpoint_serves() -> None:
    contest = ContestFixture()
    contest.start_updater(SERVICE, ("f:spec", "f:selector"), {"app": "other"})
    report = contest.reconcile().report
    assert report is not None
    assert report.state is RegionState.ERROR
    assert "Service gco-inference/chat" in report.error


def test_only_the_contested_object_is_blocked() -> None:
    contest = over_template()
    contest.set_desired(spec={**CANARY, **SCALED}, ingress_path="/elsewhere")
    contest.taken.clear()
    contest.reconcile()
    made = {step.ref for step in contest.taken if isinstance(step, Create)}
    assert made == {
        ObjectRef(Kind.HPA, NAMESPACE, "chat"),
        ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary"),
        ObjectRef(Kind.SERVICE, NAMESPACE, "chat-canary"),
    }
    assert contest.seen(INGRESS).spec["rules"][0]["http"]["paths"][0]["path"] == "/elsewhere"
    assert contest.applies(MAIN) == 0


def test_a_contested_canary_is_reported_without_changing_the_state() -> None:
    contest = ContestFixture(spec=CANARY)
    contest.start_updater(ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary"), IMAGE, "registry.example/theirs:9")
    report = contest.reconcile().report
    assert report is not None
    assert (report.state, "gco-inference/chat-canary" in report.error) == (RegionState.RUNNING, True)


@pytest.mark.parametrize("contested_by", [over_template, over_annotation])
def test_the_contested_annotation_is_removed_once_the_object_is_in_sync(
    contested_by: Callable[[], ContestFixture],
) -> None:
    contest = contested_by()
    ref, path, _ = contest.insists[0]
    contest.stop_updater()
    contest.api.edit(ref, OTHER, path, "15" if ref is INGRESS else "registry.example/serve:1.0")
    contest.taken.clear()
    plan = contest.reconcile()
    uid = contest.seen(ref).uid
    part = contest.taken[0].part
    marks = {names.CONTESTED_ANNOTATION: None}
    assert contest.taken == [Annotate(ref, "it is in sync again", part, uid=uid, annotations=marks)]
    assert contest.mark(ref) is None
    assert plan.report is not None
    assert plan.report.error == ""


def test_the_contested_annotation_is_not_drift() -> None:
    contest = ContestFixture()
    generation = contest.seen(MAIN).generation
    contest.write_mark(MAIN, "rubbish")
    plan = contest.plan()
    assert (plan.steps, plan.report and plan.report.error) == ((), "")
    assert contest.seen(MAIN).generation == generation


def test_removing_the_contested_annotation_triggers_a_retry() -> None:
    contest = over_template()
    contest.write_mark(MAIN, None)
    contest.reconcile()
    assert contest.applies(MAIN) == 6
    contest.stop_updater()
    contest.write_mark(MAIN, None)
    contest.reconcile()
    assert contest.seen(MAIN).spec["template"]["spec"]["containers"][0]["image"] == "registry.example/serve:1.0"


def test_a_contested_annotation_from_the_future_does_not_extend_the_wait() -> None:
    contest = over_annotation()
    step = next(step for step in contest.taken if isinstance(step, Apply))
    mark = contest.mark(INGRESS)
    assert mark is not None
    ahead = ContestedAnnotation(mark.digest, 1, START + timedelta(days=9))
    contest.write_mark(INGRESS, str(ahead))
    assert contested.retry_delay(contest.seen(INGRESS), step, START) == 60.0


def test_a_contested_annotation_for_an_older_desired_state_blocks_nothing() -> None:
    contest = over_template()
    step = next(step for step in contest.taken if isinstance(step, Apply) and step.ref == MAIN)
    assert contested.retry_delay(contest.seen(MAIN), step, START) == math.inf
    contest.write_mark(MAIN, str(ContestedAnnotation("0" * 32, 5, START, of_template=True)))
    assert contested.retry_delay(contest.seen(MAIN), step, START) == 0.0


def test_contested_annotations_stay_while_an_error_blocks_all_steps() -> None:
    contest = over_template()
    contest.api.stored[SERVICE].body["metadata"]["annotations"]["gco.io/table"] = "arn:another"
    contest.api.stored[SERVICE].seen = None
    assert contest.plan().steps == ()
    contest.set_desired(spec={"port": 0}, desired_state="stopped")
    contest.api.stored[MAIN].body["spec"]["replicas"] = 0
    assert all(not isinstance(step, Annotate) for step in contest.plan().steps)


def test_an_explanation_shows_the_contest_and_the_rest_in_sync() -> None:
    contest = over_template()
    explained = explain(contest.inputs(), contest.plan())
    found = {one.ref: one for one in explained.objects}
    assert found[MAIN].state is ObjectState.LEFT_ALONE
    assert "another field manager keeps changing it" in found[MAIN].message
    assert found[SERVICE].state is found[INGRESS].state is ObjectState.IN_SYNC
    assert not explained.in_desired_state
    assert "another field manager keeps changing" in explained.headline


def test_a_contested_endpoint_can_be_deleted() -> None:
    contest = over_template()
    contest.set_desired(desired_state="deleted")
    assert {step.ref for step in contest.plan().steps} == {MAIN, SERVICE, INGRESS}


def test_a_promoted_canary_is_removed_although_the_mains_labels_are_contested() -> None:
    contest = ContestFixture(spec=CANARY)
    contest.start_updater(MAIN, ("f:metadata", "f:labels", "f:project"), "theirs")
    contest.reconcile()
    contest.set_desired(spec={"image": CANARY["canary"]["image"]})
    contest.reconcile()
    contest.roll_out()
    contest.reconcile()
    contest.wait(31)
    contest.reconcile()
    assert ObjectRef(Kind.SERVICE, NAMESPACE, "chat-canary") not in contest.api.stored
