"""Two programs that disagree on a pod template over time: who gives way, when, and what is remembered of it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from gco_stream.cluster.api.errors import ClusterError, Forbidden, Rejected
from gco_stream.engine.reconcile.executor import StepRunner
from gco_stream.engine.reconcile.restart_tracker import WINDOW, Restarts
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject
from gco_stream.model.reasons import Reason
from gco_stream.planning.planner import plan
from gco_stream.planning.policies import contested
from gco_stream.planning.types.plan import Annotate, Apply, Delete, HandOver, Plan, Replace, Scale
from gco_stream.planning.types.policy import Fleet
from tests.support.items import endpoint
from tests.support.simulated_cluster import NAMESPACE, POLICY, START
from tests.support.value_api_server import ApiServer, Stored

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
UPDATER = ("updater", "Update")
IMAGE = ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"inference"}', "f:image")
MARK = ("f:metadata", "f:annotations", f"f:{names.CONTESTED_ANNOTATION}")
THEIRS = "registry.example/theirs:9"


class Night:
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

    def new_runner(self) -> StepRunner:
        """As after a restart."""
        return StepRunner(
            self,  # type: ignore[arg-type]
            lambda _: None,
            clock=lambda: self.seconds,
            now=lambda: self.now,
        )

    def _wrote(self, stored: Stored) -> None:
        """Nobody listens."""

    def standing(self, ref: ObjectRef) -> ObservedObject | None:
        return self.api.seen(ref)

    async def create(self, manifest: Any) -> None:
        self.api.make(("gco-stream", "Apply"), manifest)

    async def apply(self, manifest: Any, uid: str) -> None:
        self.api.take(Apply(manifest, uid, ""))

    async def scale(self, ref: ObjectRef, uid: str, replicas: int) -> None:
        self.api.take(Scale(ref, uid, replicas, ""))

    async def replace(self, ref: ObjectRef, uid: str, field: str, value: Any) -> None:
        self.api.take(Replace(ref, uid, field, value, ""))

    async def hand_over(self, observed: ObservedObject) -> None:
        self.api.take(HandOver(observed, ""))

    async def delete(self, ref: ObjectRef, uid: str, *, background: bool = False) -> None:
        self.background.append(background)
        self.api.take(Delete(ref, uid, "", background=background))

    async def annotate(self, ref: ObjectRef, uid: str, annotations: Mapping[str, str | None]) -> ObservedObject:
        if self.forbids is not None:
            raise self.forbids
        self.api.take(Annotate(ref, uid, annotations, ""))
        if self.strips:
            self.api.edit(ref, UPDATER, MARK, None)
        found = self.api.seen(ref)
        assert found is not None
        return found

    def plan(self) -> Plan:
        seen = {ref: found for ref in self.api.stored if (found := self.api.seen(ref)) is not None}
        return plan(self.asked, Observed(seen), Fleet(), self.now, POLICY)

    async def reconcile(self) -> list[Any]:
        """What was done, and what was refused."""
        taken: list[Any] = []
        for _ in range(3):
            result = await self.runner.carry_out(self.plan())
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
    def mark(self) -> contested.Mark | None:
        found = self.api.seen(MAIN)
        return None if found is None else contested.mark_of(found)


@pytest.fixture
async def night() -> Night:
    one = Night()
    await one.reconcile()
    one.api.set_status(MAIN, {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1})
    await one.reconcile()
    return one


async def give_way(night: Night) -> None:
    for _ in range(4):
        await night.update()


@pytest.mark.parametrize("every", [1.0, 120.0, 1000.0])
async def test_a_template_that_an_updater_changes_again_and_again_is_put_back_three_times(
    night: Night, every: float
) -> None:
    for _ in range(3):
        assert [type(step) for step in await night.update(after=every)] == [Apply]
        assert night.image == "registry.example/serve:1.0"
    assert [type(step) for step in await night.update(after=every)] == [Annotate]
    assert night.mark == contested.Mark(night.mark.digest, 1, night.now, of_template=True)  # type: ignore[union-attr]
    for _ in range(20):
        assert await night.update(after=every) == []
    assert night.image == THEIRS


async def test_a_restart_of_the_program_does_not_begin_it_again(night: Night) -> None:
    await give_way(night)
    night.runner = night.new_runner()
    assert await night.update() == []
    assert night.image == THEIRS


async def test_the_roll_out_that_the_user_asks_for_is_not_counted(night: Night) -> None:
    night.asked = endpoint(spec={"image": "registry.example/serve:2.0"})
    await night.reconcile()
    for _ in range(3):
        assert [type(step) for step in await night.update()] == [Apply]
    assert [type(step) for step in await night.update()] == [Annotate]


async def test_an_updater_that_changes_our_marks_back_as_well_is_counted(night: Night) -> None:
    night.asked = endpoint(spec={"image": "registry.example/serve:2.0"})
    hashed = ("f:metadata", "f:annotations", f"f:{names.TEMPLATE_HASH_ANNOTATION}")
    applied = 0
    for _ in range(8):
        night.wait(1)
        applied += sum(isinstance(step, Apply) for step in await night.reconcile())
        night.api.edit(MAIN, UPDATER, IMAGE, "registry.example/serve:1.0")
        night.api.edit(MAIN, UPDATER, hashed, "before")
    assert applied == 4
    assert night.mark is not None


async def test_the_item_is_tried_again_once_it_asks_for_another_template(night: Night) -> None:
    await give_way(night)
    night.asked = endpoint(spec={"image": "registry.example/serve:3.0"})
    await night.reconcile()
    assert night.image == "registry.example/serve:3.0"
    assert night.mark is None


async def test_whoever_takes_the_mark_away_has_it_put_back_three_times_more(night: Night) -> None:
    await give_way(night)
    night.api.edit(MAIN, UPDATER, MARK, None)
    assert [type(step) for step in await night.reconcile()] == [Apply]
    assert night.image == "registry.example/serve:1.0"


async def test_changes_that_come_hours_apart_are_put_back_for_ever(night: Night) -> None:
    for _ in range(12):
        assert [type(step) for step in await night.update(after=WINDOW)] == [Apply]
    assert night.mark is None


async def test_changes_to_other_fields_and_those_that_restart_nothing_do_not_count(night: Night) -> None:
    for turn in range(12):
        night.wait(1)
        path = (*IMAGE[:-1], "f:livenessProbe", ("f:periodSeconds", "f:failureThreshold")[turn % 2])
        night.api.edit(MAIN, UPDATER, path, 99)
        assert [type(step) for step in await night.reconcile()] == [Apply]
    for turn in range(12):
        night.asked = endpoint(spec={"replicas": turn + 2})
        assert [type(step) for step in await night.reconcile()] == [Apply]
    assert night.mark is None


@pytest.mark.parametrize(
    "answer", [Forbidden(403, "Forbidden", "no"), Rejected(400, "", "admission webhook denied the request")]
)
async def test_where_the_mark_is_forbidden_the_template_is_not_applied_again_either(
    night: Night, answer: ClusterError
) -> None:
    night.forbids = answer
    await give_way(night)
    for _ in range(5):
        (failure,) = await night.update(after=WINDOW)
        assert failure.final
        assert failure.cause.reason is Reason.CONTESTED
        assert "Deployment gco-inference/chat" in failure.cause.message
    assert night.image == THEIRS


async def test_where_the_mark_is_taken_off_at_once_the_template_is_not_applied_again_either(night: Night) -> None:
    night.strips = True
    await give_way(night)
    (failure,) = await night.update()
    assert failure.final
    assert night.image == THEIRS
    night.asked = endpoint(spec={"image": "registry.example/serve:4.0"})
    await night.reconcile()
    assert night.image == "registry.example/serve:4.0"


async def test_a_mark_that_the_engine_sets_and_that_does_not_hold_is_not_taken_for_one(night: Night) -> None:
    night.strips = True
    for _ in range(3):
        await night.update()
    night.api.edit(MAIN, UPDATER, IMAGE, THEIRS)
    seen = {MAIN: night.standing(MAIN)}
    marks = contested.marks(night.plan().steps, [MAIN], seen, night.now)  # type: ignore[arg-type]
    await night.runner.carry_out(Plan("chat", steps=marks))
    (failure,) = await night.update()
    assert failure.final
    assert night.image == THEIRS


async def test_an_api_server_that_is_away_is_no_reason_to_give_up_the_mark(night: Night) -> None:
    for _ in range(3):
        await night.update()
    night.forbids = ClusterError(503, "", "away")
    (failure,) = await night.update()
    assert not failure.final
    night.forbids = None
    assert [type(step) for step in await night.update()] == [Annotate]


async def test_a_deletion_in_the_background_is_sent_as_one(night: Night) -> None:
    uid = night.api.stored[MAIN].uid
    steps = tuple(Delete(MAIN, uid, "", background=background) for background in (True, False))
    await night.runner.carry_out(Plan("chat", steps=steps))
    assert night.background == [True, False]


def test_what_is_remembered_ends_with_the_endpoint_and_is_one_entry_a_deployment() -> None:
    restarts = Restarts(lambda: 0.0)
    canary = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary")
    for _ in range(3):
        restarts.happened(MAIN, "a", corrects=True)
        restarts.happened(canary, "a", corrects=True)
    assert restarts.are_in_vain(MAIN, "a")
    assert not restarts.are_in_vain(MAIN, "b")
    restarts.happened(MAIN, "b", corrects=True)
    assert not restarts.are_in_vain(MAIN, "a")
    restarts.forget_endpoint("chat")
    assert not restarts.are_in_vain(canary, "a")
