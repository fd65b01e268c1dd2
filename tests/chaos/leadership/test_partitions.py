"""Cuts a leader off from one of its servers: what it may still do, who succeeds it, and how both recover."""

import random

import pytest

from tests.chaos.leadership.audited_writes import LeaderWrite, changes, terms
from tests.chaos.leadership.replicas import Replica, Replicas, changing
from tests.integration.support.harness.world import World
from tests.support.items import item

pytestmark = pytest.mark.integration

NAMES = [f"e{number:02}" for number in range(12)]


@pytest.mark.parametrize("how", ["cut", "hang"])
def test_a_leader_cut_off_from_the_api_server_steps_down_and_is_succeeded(
    how: str, replicas: Replicas, world: World
) -> None:
    for name in NAMES:
        world.put(item(name, spec={"gpu_count": 0}))
    replicas.leader(relayed=True)
    replicas.standby(relayed=True)
    with changing(world, NAMES, random.Random(7)):
        one = replicas.next_to_write()
        other = replicas.other_than(one)
        told = len(one.program.lines())
        getattr(one.api_server, how)()
        one.until(lambda one: one.has_stepped_down(told), "steps down")
        # It steps down by itself and logs the reason.
        assert {line["reason"] for line in one.logged("leadership lost", told)} <= {"not renewed in time"}
        one.until(lambda one: "is unreachable" in one.readiness()[1], "is not ready")
        assert replicas.next_to_write() is other
        assert not one.is_leading()
        one.api_server.restore()
        one.until(Replica.is_standing_by, "stands by")
    replicas.assert_one_leader_at_a_time()


def test_writes_lost_in_the_network_do_not_arrive_under_the_next_leader(replicas: Replicas, world: World) -> None:
    for name in NAMES:
        world.put(item(name, spec={"gpu_count": 0}))
    first = replicas.leader(relayed=True)
    first.until(lambda _: all(world.state(name) == "running" for name in NAMES), "all endpoints are running")
    replicas.standby(relayed=True)
    one = replicas.leading()
    other = replicas.other_than(one)
    told = len(one.program.lines())
    one.api_server.hang()
    # It receives these changes from the stream and sends writes that do not arrive.
    for name in NAMES:
        world.update_spec(name, replicas=2)
    one.until(lambda one: one.has_stepped_down(told), "steps down")
    for name in NAMES:
        world.update_spec(name, replicas=3)
    other.until(
        lambda _: all(world.replicas(name) == 3 for name in NAMES), "the next leader has applied the last change"
    )
    mark = replicas.mark()
    one.api_server.restore()
    one.until(Replica.is_standing_by, "stands by")
    assert [str(act) for act in changes(replicas.leader_writes(mark)) if act.user == one.user] == []
    assert all(world.replicas(name) == 3 for name in NAMES)
    replicas.assert_one_leader_at_a_time()


def test_a_leader_cut_off_from_the_table_keeps_its_lease_and_resumes(replicas: Replicas, world: World) -> None:
    world.put(item(spec={"gpu_count": 0}))
    replicas.hold_for_long()
    one = replicas.leader(relayed_dynamodb=True, RESYNC_INTERVAL_SECONDS="1")
    other = replicas.standby()
    one.until(lambda _: world.state("chat") == "running", "the endpoint is running")
    one.dynamodb.cut()
    # Other replicas need not reach the table either, and a leader that waits does no harm: running endpoints keep
    # running.
    one.until(lambda one: "table: " in one.readiness()[1], "is not ready")
    assert one.program.http("/healthz")[0] == 200
    before = world.objects()
    world.update_spec("chat", replicas=2)
    proofs = len(acting_proofs(replicas))
    one.until(lambda _: len(acting_proofs(replicas)) > proofs + 3, "renews its lease")
    assert one.is_leading()
    assert not other.is_leading()
    assert world.objects().keys() == before.keys()
    one.dynamodb.restore()
    one.until(lambda _: world.replicas("chat") == 2 and one.is_ready(), "resumes")
    assert len(terms(replicas.assert_one_leader_at_a_time())) == 1


def acting_proofs(replicas: Replicas) -> list[LeaderWrite]:
    return [act for act in replicas.leader_writes() if act.proves_leadership]
