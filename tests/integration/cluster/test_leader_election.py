"""Leader election on a real API server, with its conflicts, UIDs and watches."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.events.recorder import EventRecorder
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.local.kube_api import path_of
from gco_stream.model.objects import Kind, ObjectRef
from tests.cluster.leaderelection.replicas import Replica, TermLog, contending_replicas
from tests.integration.support.harness.program import PATIENCE

if TYPE_CHECKING:
    from gco_stream.local.control_plane import ControlPlane
    from gco_stream.local.kube_api import KubeApi

pytestmark = pytest.mark.integration

RETRY, CYCLE = 0.4, 3.0
NAME = "leader"
Start = Callable[[TermLog, str], Replica]


class Times(NamedTuple):
    """How long a lease is valid without renewal, and when a leader that cannot renew steps down, in seconds."""

    duration: int
    deadline: float


# For tests that wait for expiry. It is longer than the machine stalls between two steps of a test.
SHORT = Times(6, 4.8)
# Never expires within a test.
LONG = Times(120, 100)


class Lease:
    """The Lease as an administrator reads and edits it."""

    def __init__(self, kube: "KubeApi", namespace: str) -> None:
        self._kube = kube
        self._collection = path_of("Lease", namespace)
        self._path = path_of("Lease", namespace, NAME)
        self._namespace = namespace

    async def get(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._kube.get, self._path)

    async def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = (await self.get())["spec"]
        return spec

    async def edit(self, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        patch = {"spec": spec, "metadata": {"annotations": annotations or {}}}
        await asyncio.to_thread(self._kube.patch, self._path, patch)

    async def delete(self) -> None:
        await asyncio.to_thread(self._kube.delete, self._path)

    async def create(self, **spec: Any) -> None:
        manifest = {**lease.new_lease(self._namespace, NAME), "spec": spec}
        await asyncio.to_thread(self._kube.create, self._collection, manifest)


@pytest.fixture
def the_lease(kube: "KubeApi", namespace: str) -> Lease:
    return Lease(kube, namespace)


@asynccontextmanager
async def starting(kubeconfig: str, namespace: str, times: Times = LONG) -> AsyncIterator[Start]:
    """Yields a function that starts replicas, which share one client."""
    async with KubeClient.connect(kubeconfig=kubeconfig, connections=16) as client:

        def start(terms: TermLog, pod: str) -> Replica:
            return Replica(
                client,
                terms,
                pod,
                namespace=namespace,
                timing=lease.Timing(times.duration, times.deadline, RETRY, CYCLE),
            )

        yield start


@asynccontextmanager
async def replicas(
    plane: "ControlPlane", namespace: str, count: int, times: Times = LONG
) -> AsyncIterator[tuple[TermLog, list[Replica]]]:
    async with (
        starting(str(plane.kubeconfig), namespace, times) as start,
        contending_replicas(lambda terms: [start(terms, f"pod-{number}") for number in range(count)]) as contenders,
    ):
        yield contenders


async def until(condition: Callable[[], object], within: float = PATIENCE) -> float:
    started = time.monotonic()
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.01)
    return time.monotonic() - started


async def reached(condition: Callable[[], Awaitable[object]], within: float = PATIENCE) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.05)


async def leader_of(terms: TermLog) -> Replica:
    await until(lambda: terms.leading)
    return terms.leading[0]


async def test_a_released_lease_is_acquired_long_before_it_expires(
    control_plane: "ControlPlane", namespace: str, the_lease: Lease
) -> None:
    async with replicas(control_plane, namespace, 3) as (terms, all_of_them):
        first = await leader_of(terms)
        await until(lambda: all(one.snapshot.holder == first.identity for one in all_of_them))
        assert (await the_lease.spec())["leaseTransitions"] == 0
        await first.stop()
        took = await until(lambda: terms.leading)
        print(f"new leader {took:.2f} s after the release")
        assert took < LONG.duration / 2
        second = terms.leading[0]
        spec = await the_lease.spec()
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == (second.identity, LONG.duration)
        assert spec["leaseTransitions"] == 1
        assert spec["acquireTime"] == lease.micro_time(terms.epochs[1])
        for one in all_of_them:
            one.stopping.set()
        for one in all_of_them:
            await one.stop()
        spec = await the_lease.spec()
        assert spec["leaseDurationSeconds"] == LONG.duration
        assert not spec.get("holderIdentity")


async def test_a_killed_leaders_lease_runs_out_first(
    control_plane: "ControlPlane", namespace: str, the_lease: Lease
) -> None:
    async with replicas(control_plane, namespace, 3, SHORT) as (terms, _):
        first = await leader_of(terms)
        await first.kill()
        renewed = datetime.fromisoformat((await the_lease.spec())["renewTime"]).timestamp()
        await until(lambda: terms.leading)
        assert terms.epochs[1] / 1e6 - renewed >= SHORT.duration


async def test_a_deleted_lease_ends_the_term_and_is_recreated_one_duration_later(
    control_plane: "ControlPlane", namespace: str, the_lease: Lease
) -> None:
    async with replicas(control_plane, namespace, 3, SHORT) as (terms, all_of_them):
        first = await leader_of(terms)
        await until(lambda: all(one.snapshot.holder == first.identity for one in all_of_them))
        deleted = time.monotonic()
        await the_lease.delete()
        await until(lambda: not terms.leading)
        await until(lambda: terms.leading)
        assert time.monotonic() - deleted > SHORT.duration - 0.1


@pytest.mark.parametrize("holder", ["", "somebody_0f8fad5b-d9cb-469f-a165-70867728950e"])
async def test_a_holder_edited_by_hand_ends_the_term_and_is_waited_for(
    control_plane: "ControlPlane", namespace: str, the_lease: Lease, holder: str
) -> None:
    async with replicas(control_plane, namespace, 3, SHORT) as (terms, _):
        await leader_of(terms)
        edited = time.monotonic()
        await the_lease.edit(holderIdentity=holder)
        await until(lambda: not terms.leading)
        await until(lambda: terms.leading)
        assert time.monotonic() - edited > SHORT.duration - 0.1


async def test_a_gco_holder_is_replaced_after_three_cycles_without_renewal(
    control_plane: "ControlPlane", namespace: str, the_lease: Lease
) -> None:
    # As GCO's monitor creates it: without acquireTime and leaseTransitions.
    await the_lease.create(
        holderIdentity="inference-monitor-5d9c7b-x2x4z",
        leaseDurationSeconds=1,
        renewTime=lease.micro_time(time.time_ns() // 1000),
    )
    started = time.monotonic()
    async with replicas(control_plane, namespace, 2, SHORT) as (terms, _):
        await leader_of(terms)
        assert time.monotonic() - started > 3 * CYCLE - 0.1
        spec = await the_lease.spec()
        assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (SHORT.duration, 1)


async def test_annotations_and_epochs_are_kept_through_edits_and_leaders(
    control_plane: "ControlPlane", namespace: str, the_lease: Lease
) -> None:
    async with replicas(control_plane, namespace, 2) as (terms, _):
        first = await leader_of(terms)
        leadership = first.leadership
        assert leadership is not None
        await asyncio.gather(
            leadership.annotate({"gco.io/budget": "3"}),
            the_lease.edit({"gco.io/approved": "abc"}, leaseDurationSeconds=1),
        )
        both = {"gco.io/budget": "3", "gco.io/approved": "abc"}
        await until(lambda: leadership.annotations == both)
        above = leadership.epoch + 10**12
        assert await leadership.raise_epoch(above) == above + 1
        metadata = (await the_lease.get())["metadata"]
        assert metadata["annotations"] == both

        async def put_right() -> bool:
            return bool((await the_lease.spec())["leaseDurationSeconds"] == LONG.duration)

        await reached(put_right)
        assert terms.leading == [first]
        await first.stop()
        second = await leader_of(terms)
        assert second.leadership is not None
        assert second.leadership.annotations == both
        assert second.leadership.epoch == above + 2


async def test_standbys_make_no_call_while_the_leader_renews(control_plane: "ControlPlane", namespace: str) -> None:
    standby_user, leader_user = f"standby:{namespace}", f"leader:{namespace}"
    async with (
        starting(str(control_plane.kubeconfig_for(leader_user)), namespace) as start_leader,
        starting(str(control_plane.kubeconfig_for(standby_user)), namespace) as start_standby,
    ):
        terms = TermLog()
        leader = start_leader(terms, "leader")
        await until(lambda: leader.leading)
        standby = start_standby(terms, "standby")
        await reached(lambda: asyncio.to_thread(_watches_and_has_read, control_plane, standby_user))
        renewals = control_plane.audit.mark()
        await reached(lambda: asyncio.to_thread(_enough_renewals, control_plane, renewals, leader_user))
        assert standby.snapshot.holder == leader.identity
        made = control_plane.audit.calls(renewals, user=standby_user, namespace=namespace)
        assert [call for call in made if call.verb != "watch"] == []
        written = control_plane.audit.calls(renewals, user=leader_user, namespace=namespace)
        assert {call.verb for call in written} <= {"update", "watch"}
        await standby.kill()
        await leader.kill()


def _watches_and_has_read(plane: "ControlPlane", user: str) -> bool:
    """Returns whether the user has opened its watch and then read the Lease, as only a read shows its absence."""
    entries = [(entry.verb, entry.stage) for entry in plane.audit.entries() if entry.user == user]
    opened = ("watch", "ResponseStarted")
    return opened in entries and ("get", "ResponseComplete") in entries[entries.index(opened) :]


def _enough_renewals(plane: "ControlPlane", since: Any, user: str) -> bool:
    return sum(call.verb == "update" for call in plane.audit.calls(since, user=user)) >= 12


async def test_a_forbidden_lease_is_reported_and_does_not_stop_the_program(
    control_plane: "ControlPlane", namespace: str
) -> None:
    kubeconfig = control_plane.kubeconfig_for(f"nobody:{namespace}", groups=("nothing",))
    async with starting(str(kubeconfig), namespace) as start:
        terms = TermLog()
        only = start(terms, "pod")
        await until(lambda: only.snapshot.problem)
        assert "forbidden" in str(only.snapshot.problem)
        await only.stop()


async def test_a_namespace_that_is_missing_is_a_problem_until_it_is_there(control_plane: "ControlPlane") -> None:
    missing = f"t-missing-{time.time_ns()}"
    async with replicas(control_plane, missing, 1) as (terms, [only]):
        await until(lambda: only.snapshot.problem)
        assert missing in str(only.snapshot.problem)
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": missing}}
        await asyncio.to_thread(control_plane.kube.create, path_of("Namespace"), manifest)
        await leader_of(terms)
        assert only.snapshot.problem is None
    await asyncio.to_thread(control_plane.kube.delete, path_of("Namespace", None, missing))


async def test_a_server_that_dies_ends_the_term_in_time_and_is_led_again_when_it_is_back(
    disposable_control_plane: "Callable[..., ControlPlane]",
) -> None:
    plane = await asyncio.to_thread(disposable_control_plane, controllers=False, dynamodb=False)
    # The deadline is a timer, so it has this much time to be late on a machine that stalls.
    times = Times(15, 5)
    async with replicas(plane, "default", 3, times) as (terms, _):
        await leader_of(terms)
        plane.servers["kube-apiserver"].freeze()
        frozen = time.monotonic()
        await until(lambda: not terms.leading)
        assert time.monotonic() - frozen < times.duration - 1
        plane.servers["kube-apiserver"].thaw()
        await leader_of(terms)


async def test_an_update_with_the_uid_of_a_deleted_lease_creates_none(
    control_plane: "ControlPlane", namespace: str, the_lease: Lease
) -> None:
    await the_lease.create(holderIdentity="a")
    raw = await the_lease.get()
    await the_lease.delete()
    async with KubeClient.connect(kubeconfig=str(control_plane.kubeconfig)) as client:
        with pytest.raises(errors.Conflict):
            await client.request("PUT", path_of("Lease", namespace, NAME), body=raw)
        with pytest.raises(errors.NotFound):
            await client.request("GET", path_of("Lease", namespace, NAME))


async def test_events_are_stored_and_counted_up(control_plane: "ControlPlane", namespace: str) -> None:
    clock = [0.0]
    ref = ObjectRef(Kind.DEPLOYMENT, namespace, "llm")
    path = path_of("Event", namespace)

    async def stored() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await asyncio.to_thread(control_plane.kube.get, path))["items"]
        return items

    async with KubeClient.connect(kubeconfig=str(control_plane.kubeconfig)) as client:
        recorder = EventRecorder(client, instance="pod_1", clock=lambda: clock[0])
        writing = asyncio.create_task(recorder.run())
        recorder.emit(ref, "u", "Warning", "Contested", "é" * 2000)
        await reached(stored)
        clock[0] += 700
        recorder.emit(ref, "u", "Warning", "Contested", "é" * 2000)

        async def counted() -> bool:
            return [event.get("series", {}).get("count") for event in await stored()] == [2]

        await reached(counted)
        assert recorder.dropped == 0
        writing.cancel()
        await asyncio.wait({writing})
