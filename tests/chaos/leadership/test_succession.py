"""Leadership moves from replica to replica when processes crash, are stopped, or are replaced one by one."""

import random
import signal

import pytest

from gco_stream.cluster.leaderelection import record as lease
from gco_stream.local.control_plane import ControlPlane
from tests.chaos.leadership.audited_writes import LeaderWrite, changes, terms
from tests.chaos.leadership.replicas import DURATION, Replica, Replicas, changing
from tests.integration.support.harness.world import World
from tests.integration.support.held_writes import held_writes, report
from tests.support.items import item

pytestmark = pytest.mark.integration

NAMES = [f"e{number:02}" for number in range(10)]


def made(world: World) -> None:
    for name in NAMES:
        world.put(item(name, spec={"gpu_count": 0}))


def as_asked(world: World) -> bool:
    """Whether every endpoint runs with the replica count of its item."""
    return all(
        (asked := world.item(name)) is not None
        and asked["desired_state"] == "running"
        and world.replicas(name) == asked["spec"]["replicas"]
        for name in NAMES
    )


def takeover(all_acts: list[LeaderWrite], one: Replica, other: Replica) -> tuple[LeaderWrite, LeaderWrite]:
    """Returns the last proof of one replica and the first of the other."""
    first, second = terms(all_acts)[-2:]
    assert (first[0].user, second[0].user) == (one.user, other.user)
    return first[-1], second[0]


def test_a_killed_leader_is_succeeded_only_after_its_lease_expires(
    replicas: Replicas, world: World, rng: random.Random
) -> None:
    made(world)
    replicas.leader()
    replicas.standby()
    with changing(world, NAMES, rng):
        one = replicas.next_to_write()
        other = replicas.other_than(one)
        one.program.kill()
        # Writes that it had already sent may be audited a moment later.
        assert replicas.next_to_write(but=one) is other
    other.until(lambda _: as_asked(world), "all endpoints are in the desired state")
    last, first = takeover(replicas.assert_one_leader_at_a_time(), one, other)
    # The standby counts from when it observed the renewal, which the server had received before.
    assert first.received - last.received >= DURATION * 1e6


def test_a_stopped_leader_finishes_its_work_and_releases_the_lease(
    replicas: Replicas, world: World, rng: random.Random
) -> None:
    made(world)
    replicas.hold_for_long()
    one = replicas.leader()
    other = replicas.standby()
    with changing(world, NAMES, rng):
        assert replicas.next_to_write() is one
        assert one.program.stop() == 0
        assert one.logged("lease released")
        assert replicas.next_to_write() is other
    other.until(lambda _: as_asked(world), "all endpoints are in the desired state")
    all_acts = replicas.assert_one_leader_at_a_time()
    let_go, first = takeover(all_acts, one, other)
    # It stopped writing before it released the lease, and the other did not have to wait for the lease to expire.
    assert max(act.completed for act in changes(all_acts) if act.user == one.user) <= let_go.received
    assert let_go.received <= first.received < let_go.received + replicas.duration * 1e6


def test_a_second_stop_signal_ends_the_process_at_once(
    control_plane: ControlPlane, replicas: Replicas, world: World
) -> None:
    with held_writes(control_plane.dynamodb_url) as proxy:
        held = proxy.hold(report("chat", world.region, "creating"))
        one = replicas.leader(AWS_ENDPOINT_URL_DYNAMODB=proxy.url, DYNAMODB_TIMEOUT_SECONDS="600")
        world.put(item(spec={"gpu_count": 0}))
        held.wait()
        # Its work in flight does not end, so neither does the process; signals in quick succession count as one.
        one.until(told_again_until_it_ends, "ends")
        assert one.program.stop() == -signal.SIGTERM
        proxy.release_all()
    other = replicas.leader()
    other.until(lambda _: (world.item("chat") or {}).get("desired_state") == "running", "the endpoint is running")
    last, first = takeover(replicas.assert_one_leader_at_a_time(), one, other)
    assert first.received - last.received >= DURATION * 1e6


def test_an_in_flight_report_of_a_former_leader_is_rejected(
    control_plane: ControlPlane, replicas: Replicas, world: World
) -> None:
    with held_writes(control_plane.dynamodb_url) as proxy:
        one = replicas.leader(relayed=True, AWS_ENDPOINT_URL_DYNAMODB=proxy.url, DYNAMODB_TIMEOUT_SECONDS="600")
        other = replicas.standby()
        held = proxy.hold(report("chat", world.region, "creating"))
        world.put(item(spec={"gpu_count": 0}))
        held.wait()
        one.api_server.cut()
        other.until(
            lambda _: (world.item("chat") or {}).get("desired_state") == "running",
            "the next leader promotes the endpoint",
        )
        before = world.item("chat")
        assert not held.release()
        assert world.item("chat") == before
        one.api_server.restore()
        one.until(Replica.is_standing_by, "stands by")
    assert world.report("chat")["epoch"] == lease_epoch(replicas)
    replicas.assert_one_leader_at_a_time()


def test_a_rolling_update_has_one_leader_at_a_time_and_loses_no_change(
    replicas: Replicas, world: World, rng: random.Random
) -> None:
    made(world)
    replicas.hold_for_long()
    replicas.leader()
    replicas.standby()
    replicas.standby()
    with changing(world, NAMES, rng):
        # Like a Deployment's rolling update: start one, wait until it is ready, stop one, in any order.
        for old in rng.sample(replicas.all, 3):
            replicas.standby()
            assert old.program.stop() == 0
        last = replicas.next_to_write()
    last.until(lambda _: as_asked(world), "all endpoints are in the desired state")
    all_acts = replicas.assert_one_leader_at_a_time()
    assert len(terms(all_acts)) >= 2
    for one in replicas.all[3:]:
        assert one.program.stop() == 0
    assert replicas.holder == ""
    replicas.assert_one_leader_at_a_time()


def told_again_until_it_ends(one: Replica) -> bool:
    one.program.signal(signal.SIGTERM)
    return one.has_ended()


def lease_epoch(replicas: Replicas) -> int:
    acquired = lease.parse(replicas.lease()).acquired
    assert acquired is not None
    return acquired
