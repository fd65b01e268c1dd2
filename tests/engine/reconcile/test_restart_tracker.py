"""Conflicts with another program over a pod template: when the controller gives in, and what it remembers."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from gco_stream.cluster.api.errors import ClusterError, Forbidden, Rejected
from gco_stream.engine.reconcile.executor import PlanExecutor
from gco_stream.engine.reconcile.restart_tracker import WINDOW, RestartTracker
from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject, ref_of
from gco_stream.model.reasons import Reason
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.policies import contested
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Annotate, Apply, Delete, Replace, Scale, UpgradeManagedFields
from tests.support.items import endpoint
from tests.support.simulated_cluster import NAMESPACE, POLICY, START
from tests.support.value_api_server import ApiServer, Stored

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
UPDATER = ("updater", "Update")
IMAGE = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"inference"}', "f:image")
MARK = ("f:metadata", "f:annotations", f"f:{names.CONTESTED_ANNOTATION}")
THEIRS = "registry.example/theirs:9"


class Contest:
    """One endpoint, a step runner on an in-memory API server, and an updater that changes the image when called.

    It is the runner's writer too. `forbids` and `strips`: a webhook rejects or removes our annotation.
    """

    def __init__(self) -> None:
        self.api = ApiServer(self._wrote)
        self.now = START
        self.api.now = START
        self.seconds = 0.0
        self.asked: Endpoint = endpoint()
        self.forbids: ClusterError | None = None
        self.strips = False
        self.background: list[bool] = []
        self.runner = self.new_runner()

    def new_runner(self) -> PlanExecutor:
        """Returns a runner without memory, as after a restart."""
        return PlanExecutor(
            self,  # type: ignore[arg-type]  # a fake with only the methods that are called
            lambda _: None,
            clock=lambda: self.seconds,
            now=lambda: self.now,
        )

    def _wrote(self, stored: Stored) -> None:
        """Does nothing: no watch is open."""

    def live_object(self, ref: ObjectRef) -> ObservedObject | None:
        return self.api.seen(ref)

    async def create(self, manifest: Any) -> None:
        self.api.create(("gco-stream", "Apply"), manifest)

    async def apply(self, manifest: Any, uid: str) -> None:
        self.api.execute(Apply(ref_of(manifest), "", uid=uid, manifest=manifest))

    async def scale(self, ref: ObjectRef, uid: str, replicas: int) -> None:
        self.api.execute(Scale(ref, "", uid=uid, replicas=replicas))

    async def replace(self, ref: ObjectRef, uid: str, field: str, value: Any) -> None:
        self.api.execute(Replace(ref, "", uid=uid, field=field, value=value))

    async def upgrade_managed_fields(self, observed: ObservedObject) -> None:
        self.api.execute(UpgradeManagedFields(observed.ref, "", uid=observed.uid, observed=observed))

    async def delete(self, ref: ObjectRef, uid: str, *, background: bool = False) -> None:
        self.background.append(background)
        self.api.execute(Delete(ref, "", uid=uid, background=background))

    async def annotate(self, ref: ObjectRef, uid: str, annotations: Mapping[str, str | None]) -> ObservedObject:
        if self.forbids is not None:
            raise self.forbids
        self.api.execute(Annotate(ref, "", uid=uid, annotations=annotations))
        if self.strips:
            self.api.edit(ref, UPDATER, MARK, None)
        found = self.api.seen(ref)
        assert found is not None
        return found

    def inputs(self) -> PlanInputs:
        seen = {ref: found for ref in self.api.stored if (found := self.api.seen(ref)) is not None}
        return PlanInputs(self.asked.name, self.asked, Observed(seen), FleetState(), self.now, POLICY)

    def plan(self) -> Plan:
        return plan_endpoint(self.inputs())

    async def reconcile(self) -> list[Any]:
        """Reconciles and returns the completed steps and the failures."""
        taken: list[Any] = []
        for _ in range(3):
            result = await self.runner.execute(self.plan())
            taken += result.done
            if result.failures:
                return [*taken, *result.failures]
        return taken

    def wait(self, seconds: float) -> None:
        self.seconds += seconds
        self.now += timedelta(seconds=seconds)

    async def update(self, image: str = THEIRS, after: float = 1.0) -> list[Any]:
        """Lets the updater change the image, then reconciles."""
        self.wait(after)
        self.api.edit(MAIN, UPDATER, IMAGE, image)
        return await self.reconcile()

    @property
    def image(self) -> str:
        image: str = self.api.stored[MAIN].body["spec"]["template"]["spec"]["containers"][0]["image"]
        return image

    @property
    def mark(self) -> contested.ContestedAnnotation | None:
        found = self.api.seen(MAIN)
        return None if found is None else contested.contested_annotation(found)


@pytest.fixture
async def contest() -> Contest:
    one = Contest()
    await one.reconcile()
    one.api.set_status(MAIN, {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1})
    await one.reconcile()
    return one


async def yield_to_updater(contest: Contest) -> None:
    for _ in range(4):
        await contest.update()


@pytest.mark.parametrize("every", [1.0, 120.0, 1000.0])
async def test_a_template_that_an_updater_keeps_changing_is_restored_three_times(
    contest: Contest, every: float
) -> None:
    for _ in range(3):
        assert [type(step) for step in await contest.update(after=every)] == [Apply]
        assert contest.image == "registry.example/serve:1.0"
    assert [type(step) for step in await contest.update(after=every)] == [Annotate]
    assert contest.mark is not None
    assert contest.mark == contested.ContestedAnnotation(contest.mark.digest, 1, contest.now, of_template=True)
    for _ in range(20):
        assert await contest.update(after=every) == []
    assert contest.image == THEIRS


async def test_a_restart_of_the_controller_does_not_start_the_conflict_again(contest: Contest) -> None:
    await yield_to_updater(contest)
    contest.runner = contest.new_runner()
    assert await contest.update() == []
    assert contest.image == THEIRS


async def test_a_rollout_that_the_user_requested_is_not_counted(contest: Contest) -> None:
    contest.asked = endpoint(spec={"image": "registry.example/serve:2.0"})
    await contest.reconcile()
    for _ in range(3):
        assert [type(step) for step in await contest.update()] == [Apply]
    assert [type(step) for step in await contest.update()] == [Annotate]


async def test_an_updater_that_also_reverts_our_annotations_is_counted(contest: Contest) -> None:
    contest.asked = endpoint(spec={"image": "registry.example/serve:2.0"})
    hashed = ("f:metadata", "f:annotations", f"f:{names.TEMPLATE_HASH_ANNOTATION}")
    applied = 0
    for _ in range(8):
        contest.wait(1)
        applied += sum(isinstance(step, Apply) for step in await contest.reconcile())
        contest.api.edit(MAIN, UPDATER, IMAGE, "registry.example/serve:1.0")
        contest.api.edit(MAIN, UPDATER, hashed, "before")
    assert applied == 4
    assert contest.mark is not None


async def test_a_new_template_in_the_item_is_applied_to_a_contested_deployment(contest: Contest) -> None:
    await yield_to_updater(contest)
    contest.asked = endpoint(spec={"image": "registry.example/serve:3.0"})
    await contest.reconcile()
    assert contest.image == "registry.example/serve:3.0"
    assert contest.mark is None


async def test_removing_the_annotation_allows_further_restores(contest: Contest) -> None:
    await yield_to_updater(contest)
    contest.api.edit(MAIN, UPDATER, MARK, None)
    assert [type(step) for step in await contest.reconcile()] == [Apply]
    assert contest.image == "registry.example/serve:1.0"


async def test_changes_that_are_hours_apart_are_always_restored(contest: Contest) -> None:
    for _ in range(12):
        assert [type(step) for step in await contest.update(after=WINDOW)] == [Apply]
    assert contest.mark is None


async def test_changes_to_alternating_fields_or_without_a_restart_do_not_count(contest: Contest) -> None:
    for turn in range(12):
        contest.wait(1)
        path = (*IMAGE[:-1], "f:livenessProbe", ("f:periodSeconds", "f:failureThreshold")[turn % 2])
        contest.api.edit(MAIN, UPDATER, path, 99)
        assert [type(step) for step in await contest.reconcile()] == [Apply]
    for turn in range(12):
        contest.asked = endpoint(spec={"replicas": turn + 2})
        assert [type(step) for step in await contest.reconcile()] == [Apply]
    assert contest.mark is None


@pytest.mark.parametrize(
    "answer", [Forbidden(403, "Forbidden", "no"), Rejected(400, "", "admission webhook denied the request")]
)
async def test_a_template_is_not_applied_again_if_the_annotation_is_forbidden(
    contest: Contest, answer: ClusterError
) -> None:
    contest.forbids = answer
    await yield_to_updater(contest)
    for _ in range(5):
        (failure,) = await contest.update(after=WINDOW)
        assert failure.final
        assert failure.cause.reason is Reason.CONTESTED
        assert "Deployment gco-inference/chat" in failure.cause.message
    assert contest.image == THEIRS


async def test_a_template_is_not_applied_again_if_the_annotation_is_removed_at_once(contest: Contest) -> None:
    contest.strips = True
    await yield_to_updater(contest)
    (failure,) = await contest.update()
    assert failure.final
    assert contest.image == THEIRS
    contest.asked = endpoint(spec={"image": "registry.example/serve:4.0"})
    await contest.reconcile()
    assert contest.image == "registry.example/serve:4.0"


async def test_an_annotation_that_is_stripped_does_not_count_as_contested(contest: Contest) -> None:
    contest.strips = True
    for _ in range(3):
        await contest.update()
    contest.api.edit(MAIN, UPDATER, IMAGE, THEIRS)
    live = contest.live_object(MAIN)
    assert live is not None
    marks = contested.annotate_all_contested(contest.plan().steps, [MAIN], {MAIN: live}, contest.now)
    await contest.runner.execute(Plan("chat", steps=marks))
    (failure,) = await contest.update()
    assert failure.final
    assert contest.image == THEIRS


async def test_an_unavailable_api_server_only_delays_the_annotation(contest: Contest) -> None:
    for _ in range(3):
        await contest.update()
    contest.forbids = ClusterError(503, "", "away")
    (failure,) = await contest.update()
    assert not failure.final
    contest.forbids = None
    assert [type(step) for step in await contest.update()] == [Annotate]


async def test_background_deletion_is_requested_from_the_writer(contest: Contest) -> None:
    uid = contest.api.stored[MAIN].uid
    steps = tuple(Delete(MAIN, "", uid=uid, background=background) for background in (True, False))
    await contest.runner.execute(Plan("chat", steps=steps))
    assert contest.background == [True, False]


def test_each_deployment_has_one_entry_until_its_endpoint_is_deleted() -> None:
    tracker = RestartTracker(lambda: 0.0)
    canary = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary")
    for _ in range(3):
        tracker.record(MAIN, "a", corrects=True)
        tracker.record(canary, "a", corrects=True)
    assert tracker.limit_reached(MAIN, "a")
    assert not tracker.limit_reached(MAIN, "b")
    tracker.record(MAIN, "b", corrects=True)
    assert not tracker.limit_reached(MAIN, "a")
    tracker.forget_endpoint("chat")
    assert not tracker.limit_reached(canary, "a")
