"""Two programs that disagree on a pod template over time: who gives way, when, and what is remembered of it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from gco_stream.cluster.api.errors import ClusterError, Forbidden, Rejected
from gco_stream.engine.reconcile.executor import PlanExecutor
from gco_stream.engine.reconcile.restart_tracker import WINDOW, RestartTracker
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject
from gco_stream.model.reasons import Reason
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.policies import contested
from gco_stream.planning.types.plan import Annotate, Apply, Delete, Plan, Replace, Scale, UpgradeManagedFields
from gco_stream.planning.types.policy import FleetState
from tests.support.items import endpoint
from tests.support.simulated_cluster import NAMESPACE, POLICY, START
from tests.support.value_api_server import ApiServer, Stored

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
UPDATER = ("updater", "Update")
IMAGE = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"inference"}', "f:image")
MARK = ("f:metadata", "f:annotations", f"f:{names.CONTESTED_ANNOTATION}")
THEIRS = "registry.example/theirs:9"


class RestartFixture:
    """One endpoint, the runner on a cluster by value, and an updater that changes the image whenever it looks.

    It is the runner's writer as well. `forbids` and `strips`: what a webhook makes of our mark.
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
        """As after a restart."""
        return PlanExecutor(
            self,  # type: ignore[arg-type]
            lambda _: None,
            clock=lambda: self.seconds,
            now=lambda: self.now,
        )

    def _wrote(self, stored: Stored) -> None:
        """Nobody listens."""

    def live_object(self, ref: ObjectRef) -> ObservedObject | None:
        return self.api.seen(ref)

    async def create(self, manifest: Any) -> None:
        self.api.create(("gco-stream", "Apply"), manifest)

    async def apply(self, manifest: Any, uid: str) -> None:
        self.api.execute(Apply(manifest, uid, ""))

    async def scale(self, ref: ObjectRef, uid: str, replicas: int) -> None:
        self.api.execute(Scale(ref, uid, replicas, ""))

    async def replace(self, ref: ObjectRef, uid: str, field: str, value: Any) -> None:
        self.api.execute(Replace(ref, uid, field, value, ""))

    async def upgrade_managed_fields(self, observed: ObservedObject) -> None:
        self.api.execute(UpgradeManagedFields(observed, ""))

    async def delete(self, ref: ObjectRef, uid: str, *, background: bool = False) -> None:
        self.background.append(background)
        self.api.execute(Delete(ref, uid, "", background=background))

    async def annotate(self, ref: ObjectRef, uid: str, annotations: Mapping[str, str | None]) -> ObservedObject:
        if self.forbids is not None:
            raise self.forbids
        self.api.execute(Annotate(ref, uid, annotations, ""))
        if self.strips:
            self.api.edit(ref, UPDATER, MARK, None)
        found = self.api.seen(ref)
        assert found is not None
        return found

    def plan(self) -> Plan:
        seen = {ref: found for ref in self.api.stored if (found := self.api.seen(ref)) is not None}
        return plan_endpoint(self.asked, Observed(seen), FleetState(), self.now, POLICY)

    async def reconcile(self) -> list[Any]:
        """What was done, and what was refused."""
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
        """The updater looks again, and then we do."""
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
async def restart_fixture() -> RestartFixture:
    one = RestartFixture()
    await one.reconcile()
    one.api.set_status(MAIN, {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1})
    await one.reconcile()
    return one


async def yield_to_updater(restart_fixture: RestartFixture) -> None:
    for _ in range(4):
        await restart_fixture.update()


@pytest.mark.parametrize("every", [1.0, 120.0, 1000.0])
async def test_a_template_that_an_updater_changes_again_and_again_is_put_back_three_times(
    restart_fixture: RestartFixture, every: float
) -> None:
    for _ in range(3):
        assert [type(step) for step in await restart_fixture.update(after=every)] == [Apply]
        assert restart_fixture.image == "registry.example/serve:1.0"
    assert [type(step) for step in await restart_fixture.update(after=every)] == [Annotate]
    assert restart_fixture.mark == contested.ContestedAnnotation(
        restart_fixture.mark.digest, 1, restart_fixture.now, of_template=True
    )  # type: ignore[union-attr]
    for _ in range(20):
        assert await restart_fixture.update(after=every) == []
    assert restart_fixture.image == THEIRS


async def test_a_restart_of_the_program_does_not_begin_it_again(restart_fixture: RestartFixture) -> None:
    await yield_to_updater(restart_fixture)
    restart_fixture.runner = restart_fixture.new_runner()
    assert await restart_fixture.update() == []
    assert restart_fixture.image == THEIRS


async def test_the_roll_out_that_the_user_asks_for_is_not_counted(restart_fixture: RestartFixture) -> None:
    restart_fixture.asked = endpoint(spec={"image": "registry.example/serve:2.0"})
    await restart_fixture.reconcile()
    for _ in range(3):
        assert [type(step) for step in await restart_fixture.update()] == [Apply]
    assert [type(step) for step in await restart_fixture.update()] == [Annotate]


async def test_an_updater_that_changes_our_marks_back_as_well_is_counted(restart_fixture: RestartFixture) -> None:
    restart_fixture.asked = endpoint(spec={"image": "registry.example/serve:2.0"})
    hashed = ("f:metadata", "f:annotations", f"f:{names.TEMPLATE_HASH_ANNOTATION}")
    applied = 0
    for _ in range(8):
        restart_fixture.wait(1)
        applied += sum(isinstance(step, Apply) for step in await restart_fixture.reconcile())
        restart_fixture.api.edit(MAIN, UPDATER, IMAGE, "registry.example/serve:1.0")
        restart_fixture.api.edit(MAIN, UPDATER, hashed, "before")
    assert applied == 4
    assert restart_fixture.mark is not None


async def test_the_item_is_tried_again_once_it_asks_for_another_template(restart_fixture: RestartFixture) -> None:
    await yield_to_updater(restart_fixture)
    restart_fixture.asked = endpoint(spec={"image": "registry.example/serve:3.0"})
    await restart_fixture.reconcile()
    assert restart_fixture.image == "registry.example/serve:3.0"
    assert restart_fixture.mark is None


async def test_whoever_takes_the_mark_away_has_it_put_back_three_times_more(restart_fixture: RestartFixture) -> None:
    await yield_to_updater(restart_fixture)
    restart_fixture.api.edit(MAIN, UPDATER, MARK, None)
    assert [type(step) for step in await restart_fixture.reconcile()] == [Apply]
    assert restart_fixture.image == "registry.example/serve:1.0"


async def test_changes_that_come_hours_apart_are_put_back_for_ever(restart_fixture: RestartFixture) -> None:
    for _ in range(12):
        assert [type(step) for step in await restart_fixture.update(after=WINDOW)] == [Apply]
    assert restart_fixture.mark is None


async def test_changes_to_other_fields_and_those_that_restart_nothing_do_not_count(
    restart_fixture: RestartFixture,
) -> None:
    for turn in range(12):
        restart_fixture.wait(1)
        path = (*IMAGE[:-1], "f:livenessProbe", ("f:periodSeconds", "f:failureThreshold")[turn % 2])
        restart_fixture.api.edit(MAIN, UPDATER, path, 99)
        assert [type(step) for step in await restart_fixture.reconcile()] == [Apply]
    for turn in range(12):
        restart_fixture.asked = endpoint(spec={"replicas": turn + 2})
        assert [type(step) for step in await restart_fixture.reconcile()] == [Apply]
    assert restart_fixture.mark is None


@pytest.mark.parametrize(
    "answer", [Forbidden(403, "Forbidden", "no"), Rejected(400, "", "admission webhook denied the request")]
)
async def test_where_the_mark_is_forbidden_the_template_is_not_applied_again_either(
    restart_fixture: RestartFixture, answer: ClusterError
) -> None:
    restart_fixture.forbids = answer
    await yield_to_updater(restart_fixture)
    for _ in range(5):
        (failure,) = await restart_fixture.update(after=WINDOW)
        assert failure.final
        assert failure.cause.reason is Reason.CONTESTED
        assert "Deployment gco-inference/chat" in failure.cause.message
    assert restart_fixture.image == THEIRS


async def test_where_the_mark_is_taken_off_at_once_the_template_is_not_applied_again_either(
    restart_fixture: RestartFixture,
) -> None:
    restart_fixture.strips = True
    await yield_to_updater(restart_fixture)
    (failure,) = await restart_fixture.update()
    assert failure.final
    assert restart_fixture.image == THEIRS
    restart_fixture.asked = endpoint(spec={"image": "registry.example/serve:4.0"})
    await restart_fixture.reconcile()
    assert restart_fixture.image == "registry.example/serve:4.0"


async def test_a_mark_that_the_engine_sets_and_that_does_not_hold_is_not_taken_for_one(
    restart_fixture: RestartFixture,
) -> None:
    restart_fixture.strips = True
    for _ in range(3):
        await restart_fixture.update()
    restart_fixture.api.edit(MAIN, UPDATER, IMAGE, THEIRS)
    seen = {MAIN: restart_fixture.live_object(MAIN)}
    marks = contested.annotate_all_contested(restart_fixture.plan().steps, [MAIN], seen, restart_fixture.now)  # type: ignore[arg-type]
    await restart_fixture.runner.execute(Plan("chat", steps=marks))
    (failure,) = await restart_fixture.update()
    assert failure.final
    assert restart_fixture.image == THEIRS


async def test_an_api_server_that_is_away_is_no_reason_to_give_up_the_mark(restart_fixture: RestartFixture) -> None:
    for _ in range(3):
        await restart_fixture.update()
    restart_fixture.forbids = ClusterError(503, "", "away")
    (failure,) = await restart_fixture.update()
    assert not failure.final
    restart_fixture.forbids = None
    assert [type(step) for step in await restart_fixture.update()] == [Annotate]


async def test_a_deletion_in_the_background_is_sent_as_one(restart_fixture: RestartFixture) -> None:
    uid = restart_fixture.api.stored[MAIN].uid
    steps = tuple(Delete(MAIN, uid, "", background=background) for background in (True, False))
    await restart_fixture.runner.execute(Plan("chat", steps=steps))
    assert restart_fixture.background == [True, False]


def test_what_is_remembered_ends_with_the_endpoint_and_is_one_entry_a_deployment() -> None:
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
