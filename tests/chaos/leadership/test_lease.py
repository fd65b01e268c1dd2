"""The Lease is edited or deleted by others, or its server is slow: no two replicas lead at once, and work resumes."""

import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gco_stream.cluster.leaderelection import record as lease
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.settings import LEASE_NAME
from tests.chaos.leadership.audited_writes import changes
from tests.chaos.leadership.replicas import DEADLINE, DURATION, RETRY, Replica, Replicas
from tests.chaos.proxies.faulty_http import Delay, Fault, FaultyProxy, Request, Swallow
from tests.integration.support.harness.world import World
from tests.support.items import item

pytestmark = pytest.mark.integration

# Maximum calls about the Lease per second: renewals, and the cost of one edit to all watchers.
MOST_CALLS = 2 / RETRY
MONITOR = "inference-monitor-5d9c7b-x2x4z"
SOMEBODY = f"somebody_{uuid.UUID(int=7)}"


def serves(world: World, replicas: int) -> bool:
    return world.replicas("chat") == replicas and world.state("chat") == "running"


def in_years(years: int) -> str:
    return lease.micro_time(int((datetime.now(UTC) + timedelta(days=365 * years)).timestamp() * 1e6))


# Edits of the Lease, and whether the leader's term survives them.
EDITS: dict[str, tuple[dict[str, Any], bool]] = {
    "another of ours as its holder": ({"spec": {"holderIdentity": SOMEBODY}}, False),
    "times of long ago": ({"spec": {"renewTime": "1970-01-01T00:00:00.000000Z", "acquireTime": None}}, True),
    "times to come": ({"spec": {"renewTime": in_years(1000), "acquireTime": in_years(2)}}, True),
    "a day's duration": ({"spec": {"leaseDurationSeconds": 86_400}}, True),
    "nothing of what it says": ({"spec": None}, False),
    "no annotations": ({"metadata": {"annotations": None, "labels": {"a": "b"}}}, True),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_manually_edited_lease_is_repaired_or_waited_for(edit: str, replicas: Replicas, world: World) -> None:
    patch, goes_on = EDITS[edit]
    if goes_on:
        replicas.hold_for_long()
    one = replicas.leader()
    other = replicas.standby()
    world.put(item(spec={"gpu_count": 0}))
    one.until(lambda _: serves(world, 1), "the endpoint is running")
    before = lease.parse(replicas.lease())
    edited, mark = time.monotonic(), replicas.mark()
    replicas.edit(patch)
    if not goes_on:
        one.until(lambda one: one.logged("leadership lost"), "the term ends")
    world.update_spec("chat", replicas=2)
    one.until(lambda _: serves(world, 2), "a replica leads and works")
    one.until(lambda _: right(replicas, before.acquired or 0), "the Lease is repaired")
    took = time.monotonic() - edited
    assert bool(one.logged("leadership lost")) == (not goes_on)
    one.until(Replica.is_ready, "is ready")
    other.until(Replica.is_ready, "is ready")
    calls = [call for call in replicas.calls(mark) if call.name == LEASE_NAME or call.resource == "leases"]
    assert len(calls) <= 8 + MOST_CALLS * took, calls
    if not goes_on:
        # Whichever holder the edit named, the former leader's lease had to expire first.
        proofs = [act.received for act in replicas.leader_writes() if act.proves_leadership]
        assert max(after - before for before, after in pairwise(proofs)) >= DURATION * 1e6
    replicas.assert_one_leader_at_a_time()


def test_a_deleted_lease_ends_the_term_and_is_recreated_after_its_duration(replicas: Replicas, world: World) -> None:
    one = replicas.leader()
    replicas.standby()
    world.put(item(spec={"gpu_count": 0}))
    one.until(lambda _: serves(world, 1), "the endpoint is running")
    before, mark = lease.parse(replicas.lease()), replicas.mark()
    replicas.delete()
    one.until(lambda one: one.logged("leadership lost"), "the term ends")
    world.update_spec("chat", replicas=2)
    one.until(lambda _: serves(world, 2), "a replica leads and works")
    # The new epoch is higher than those of the deleted Lease.
    one.until(lambda _: right(replicas, (before.acquired or 0) + 1), "the Lease is restored")
    proofs = [act for act in replicas.leader_writes() if act.proves_leadership]
    assert max(after.received - before.received for before, after in pairwise(proofs)) >= DURATION * 1e6
    assert [act.verb for act in replicas.leader_writes(mark) if act.proves_leadership and act.verb == "create"] == [
        "create"
    ]
    replicas.assert_one_leader_at_a_time()


def test_a_leading_legacy_monitor_is_succeeded_after_three_missed_cycles(replicas: Replicas, world: World) -> None:
    # A monitor that misses three cycles may be succeeded, and a machine may stall for some seconds.
    cycle = 4
    replicas.hold_for_long()
    # GCO's monitor creates and renews the Lease like this: no acquireTime, no leaseTransitions, and its own duration.
    path = path_of("Lease", world.namespace)
    world.kube.create(
        path, {**lease.new_lease(world.namespace, LEASE_NAME), "spec": {"holderIdentity": MONITOR, **renewal()}}
    )
    settings = {"RECONCILE_INTERVAL_SECONDS": str(cycle)}
    with renewed_each(cycle, replicas) as renewals:
        both = [replicas.standby(**settings), replicas.standby(**settings)]
        world.put(item(spec={"gpu_count": 0}))
        # Waits three full cycles, in which no replica may acquire the Lease.
        renewed = len(renewals)
        both[0].until(lambda _: len(renewals) >= renewed + 4, "the monitor keeps renewing")
        assert not replicas.leader_writes()
        assert not world.objects()
    both[0].until(lambda _: serves(world, 1), "a replica leads and works")
    first = next(act for act in replicas.assert_one_leader_at_a_time() if act.proves_leadership)
    assert first.received - renewals[-1] >= 3 * cycle * 1e6
    # The monitor never writes the duration, so any other duration than ours would remain.
    both[0].until(lambda _: right(replicas, 0), "the Lease is repaired")


@contextmanager
def renewed_each(cycle: float, replicas: Replicas) -> Iterator[list[int]]:
    """Runs a live monitor; yields the times (microseconds since 1970) before each of its renewals."""
    over = threading.Event()
    times: list[int] = []

    def renew() -> None:
        while not over.wait(cycle):
            times.append(time.time_ns() // 1000)
            replicas.edit({"spec": renewal()})

    with ThreadPoolExecutor(1) as pool:
        renewals = pool.submit(renew)
        try:
            yield times
        finally:
            over.set()
            renewals.result()


def renewal() -> dict[str, Any]:
    return {"leaseDurationSeconds": 1, "renewTime": lease.micro_time(time.time_ns() // 1000)}


def right(replicas: Replicas, epoch: int) -> bool:
    """Whether a replica holds the Lease with the configured duration and an epoch of at least `epoch`."""
    now = lease.parse(replicas.lease())
    hosts = {one.host for one in replicas.all}
    return (
        now.holder.partition("_")[0] in hosts
        and now.duration == replicas.duration
        and (now.acquired or 0) >= epoch
        and now.renewed is not None
    )


def is_lease_write(request: Request) -> bool:
    return request.method in {"PUT", "POST"} and "/leases" in request.path


def test_a_replica_leads_only_if_the_response_arrives_in_time(
    control_plane: ControlPlane, replicas: Replicas, world: World, tmp_path: Path
) -> None:
    world.put(item(spec={"gpu_count": 0}))
    one = replicas.leader()
    kubeconfig = control_plane.kubeconfig_for(f"{world.namespace}:r1")
    with FaultyProxy.before_kubernetes(kubeconfig) as proxy:
        slow = replicas.standby(KUBECONFIG=str(proxy.kubeconfig(tmp_path / "slow")))
        # Its write succeeds, but the response arrives after its timeout.
        proxy.inject(Fault("slow", is_lease_write, Swallow()))
        one.program.kill()
        slow.until(lambda _: replicas.holder == slow.host, "acquires the Lease")
        # A replica that gets responses does not wait forever for one that does not.
        healthy = replicas.start()
        healthy.until(Replica.is_working, "leads")
        assert not slow.logged("lease acquired")
        world.update_spec("chat", replicas=2)
        healthy.until(lambda _: serves(world, 2), "the healthy replica works")
        proxy.clear()
        slow.until(Replica.is_standing_by, "stands by")
        # Slow, but in time to lead: the lease counts from when the request was sent.
        proxy.inject(Fault("late", is_lease_write, Delay(DEADLINE / 8)))
        healthy.program.kill()
        world.update_spec("chat", replicas=3)
        slow.until(lambda _: serves(world, 3), "the slow replica works")
    assert changes(replicas.assert_one_leader_at_a_time())[-1].user == slow.user
