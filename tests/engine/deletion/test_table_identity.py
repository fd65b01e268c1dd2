"""A table that was deleted and recreated under the same name: nothing is removed from it without approval."""

from gco_stream.engine.deletion.approvals import entry_of
from gco_stream.engine.deletion.table_identity import TABLE_ID_ANNOTATION
from gco_stream.model import wire
from gco_stream.model.reasons import Reason
from gco_stream.planning.types.decision import FleetLimit
from tests.engine.support.guards import GuardFixture, approve
from tests.engine.support.leases import Lease
from tests.engine.support.reconcilers import ReconcilerFixture
from tests.support.simulated_cluster import POLICY


async def test_the_first_table_is_remembered_in_the_lease() -> None:
    bench = GuardFixture(lease=Lease())
    bench.lease.annotations = {}
    await bench.guard.scan_ended({"another"})
    assert bench.lease.annotations[TABLE_ID_ANNOTATION] == "first"
    assert (bench.guard.identity.is_recreated, bench.guard.state) == (False, "idle")


async def test_nothing_is_removed_from_a_recreated_table_without_approval() -> None:
    bench = await GuardFixture("gone").proven()
    bench.table_id = "second"
    await bench.guard.scan_ended({"another"})
    plan = bench.plan_orphan("gone")
    assert (plan.steps, plan.limited_by) == ((), FleetLimit.REMOVAL)
    assert [warning.reason for warning in plan.warnings] == [Reason.TABLE_RECREATED]
    assert (bench.guard.held, bench.guard.state) == ({"gone"}, "table_recreated")
    approve(bench.lease, entry_of("gone", bench.uids("gone")))
    assert bench.guard.permits(bench.plan_orphan("gone"))


async def test_the_table_is_compared_before_the_first_deletion() -> None:
    bench = ReconcilerFixture("gone")
    await bench.parts.proven()
    # No scan has ended since the table was recreated.
    bench.parts.table_id = "second"
    await bench.run("gone")
    assert bench.deleted == []
    assert bench.parts.guard.held == {"gone"}


async def test_an_endpoint_that_leaves_the_region_in_a_recreated_table_is_held_and_reported() -> None:
    bench = ReconcilerFixture("chat")
    bench.parts.table_id = "second"
    bench.put("chat", target_regions=["eu-west-1"])
    await bench.run("chat")
    assert bench.deleted == []
    report = wire.decode(bench.items["chat"])["region_status"]["us-east-1"]
    assert report["reason"] == Reason.TABLE_RECREATED


async def test_a_recreated_table_with_every_item_in_two_scans_is_accepted() -> None:
    bench = GuardFixture("a")
    bench.table_id = "second"
    await bench.guard.scan_ended(frozenset({"another"}))
    await bench.guard.scan_ended(frozenset({"a", "another"}))
    assert bench.guard.identity.is_recreated
    await bench.guard.scan_ended(frozenset({"a", "another"}))
    assert not bench.guard.identity.is_recreated
    assert bench.lease.annotations[TABLE_ID_ANNOTATION] == "second"


async def test_a_recreated_table_is_not_accepted_before_all_objects_are_known() -> None:
    # A new leader scans the table while it still lists the objects.
    bench = GuardFixture("gone")
    objects, bench.cluster.objects = bench.cluster.objects, {}
    bench.cluster.unsynced = {POLICY.namespace: "not listed yet"}
    bench.table_id = "second"
    for _ in range(3):
        await bench.guard.scan_ended(frozenset({"another"}))
    bench.cluster.objects, bench.cluster.unsynced = objects, {}
    for _ in range(3):
        await bench.guard.scan_ended(frozenset({"another"}))
    assert bench.guard.identity.is_recreated
    plan = bench.plan_orphan("gone")
    assert (plan.steps, plan.limited_by) == ((), FleetLimit.REMOVAL)


async def test_an_endpoint_that_is_held_between_two_scans_prevents_the_acceptance() -> None:
    bench = ReconcilerFixture("chat")
    bench.parts.table_id = "second"
    bench.put("chat", target_regions=["eu-west-1"])
    await bench.parts.guard.scan_ended(frozenset({"chat"}))
    await bench.run("chat")
    await bench.parts.guard.scan_ended(frozenset({"chat"}))
    assert bench.parts.guard.identity.is_recreated
    assert bench.deleted == []


async def test_an_empty_recreated_table_is_not_accepted() -> None:
    bench = GuardFixture()
    bench.table_id = "second"
    await bench.guard.scan_ended(frozenset())
    assert bench.guard.identity.is_recreated
