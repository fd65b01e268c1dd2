"""Removals that no item requests: they are recorded in the Lease, confirmed by a read, and kept within the budget."""

import asyncio

import pytest

from gco_stream.aws import errors as aws
from gco_stream.cluster.api.errors import Unreachable
from gco_stream.engine.deletion.approvals import entry_of
from gco_stream.model import wire
from tests.engine.support.guards import approve
from tests.engine.support.reconcilers import ReconcilerFixture
from tests.support.items import item


async def test_before_the_first_deletion_the_lease_is_written_and_the_item_is_read() -> None:
    bench = ReconcilerFixture("gone")
    await bench.parts.proven()
    (outcome,) = await bench.run("gone")
    assert outcome.result == "gone"
    assert bench.happened == [
        "read gone",
        "delete Ingress of gone",
        "delete Service of gone",
        "delete Deployment of gone",
    ]
    assert bench.lease.writes == 1


async def test_an_item_that_exists_keeps_its_objects_even_if_scans_missed_it() -> None:
    bench = ReconcilerFixture("gone")
    await bench.parts.proven()
    bench.items["gone"] = wire.encode(item("gone"))
    await bench.run("gone")
    assert bench.deleted == []
    assert len(bench.cluster.objects) == 3
    # The item is cached again, and the evidence is reset.
    assert bench.parts.orphans.names == frozenset()


async def test_nothing_is_deleted_if_the_item_cannot_be_read() -> None:
    bench = ReconcilerFixture("gone")
    await bench.parts.proven()
    bench.away = True
    with pytest.raises(aws.Unreachable):
        await bench.run("gone")
    assert bench.deleted == []
    bench.away = False
    await bench.run("gone")
    assert len(bench.deleted) == 3


async def test_nothing_is_deleted_until_the_lease_can_be_written() -> None:
    bench = ReconcilerFixture("gone")
    await bench.parts.proven()
    bench.lease.fails = Unreachable(0, "Unreachable", "away")
    with pytest.raises(Unreachable):
        await bench.run("gone")
    assert bench.deleted == []
    bench.lease.fails = None
    await bench.run("gone")
    assert len(bench.deleted) == 3


async def test_an_item_that_is_recreated_during_the_lease_write_keeps_its_objects() -> None:
    bench = ReconcilerFixture("gone")
    await bench.parts.proven()
    bench.lease.gate.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(bench.run("gone"))
        await asyncio.sleep(0.01)
        bench.items["gone"] = wire.encode(item("gone"))
        bench.lease.gate.set()
    assert bench.deleted == []


async def test_an_endpoint_that_targets_the_region_again_during_the_lease_write_stays() -> None:
    bench = ReconcilerFixture("a")
    bench.put("a", target_regions=["eu-west-1"])
    bench.lease.gate.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(bench.run("a"))
        await asyncio.sleep(0.01)
        bench.items["a"] = wire.encode(item("a"))
        bench.lease.gate.set()
    assert bench.deleted == []


@pytest.mark.parametrize("how", ["leaving", "orphans", "both"])
async def test_many_concurrent_removals_never_exceed_the_budget(how: str) -> None:
    names = [f"e{number}" for number in range(12)]
    bench = ReconcilerFixture(*names, limit=3)
    await bench.parts.proven()
    for number, name in enumerate(names):
        if how == "leaving" or (how == "both" and number % 2):
            bench.put(name, target_regions=["eu-west-1"])
    outcomes = await bench.run(*names)
    assert len({line.rpartition(" ")[2] for line in bench.deleted}) == 3
    assert len(bench.cluster.objects) == 9 * 3
    assert not any("unrecorded" in line for line in bench.deleted)
    assert len(bench.parts.guard.held) == 9
    held = [outcome for outcome in outcomes if outcome.plan is not None and outcome.plan.warnings]
    assert len(held) == 9
    assert all(outcome.requeue_after is not None and outcome.requeue_after.after == 3600 for outcome in held)
    # Repeated reconciles do not exceed it either.
    await bench.run(*names)
    assert len(bench.cluster.objects) == 9 * 3
    bench.parts.clock.now += 3600
    await bench.run(*names)
    assert len(bench.cluster.objects) == 6 * 3


async def test_a_removal_by_desired_state_deleted_is_not_guarded() -> None:
    names = [f"e{number}" for number in range(8)]
    bench = ReconcilerFixture(*names, limit=0)
    for name in names:
        bench.put(name, desired_state="deleted", target_regions=["us-east-1", "eu-west-1"])
    await bench.run(*names)
    assert bench.cluster.objects == {}
    assert bench.lease.writes == 0


async def test_a_removal_started_before_a_crash_finishes_without_another_place() -> None:
    before = ReconcilerFixture("a", "b", limit=1)
    before.put("a", target_regions=["eu-west-1"])
    await before.run("a")
    # As if the process had been killed right after the Lease was written.
    after = ReconcilerFixture("a", "b", limit=1, lease=before.lease)
    for name in ("a", "b"):
        after.put(name, target_regions=["eu-west-1"])
    await after.run("b", "a")
    assert {line.rpartition(" ")[2] for line in after.deleted} == {"a"}


@pytest.mark.parametrize("why", ["approved", "begun before a crash"])
async def test_a_removal_that_needs_no_place_still_needs_a_read_of_the_item(why: str) -> None:
    bench = ReconcilerFixture("gone")
    await bench.parts.proven()
    if why == "approved":
        approve(bench.lease, entry_of("gone", bench.parts.uids("gone")))
    else:
        await bench.parts.guard.reserve(bench.parts.plan_orphan("gone"))
    bench.items["gone"] = wire.encode(item("gone"))
    await bench.run("gone")
    assert bench.deleted == []
    assert bench.happened[0] == "read gone"
