"""Removals that no item requests: they are recorded in the Lease, confirmed by a read, and kept within the budget."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from gco_stream.aio.clock import Clock
from gco_stream.aws import errors as aws
from gco_stream.cluster.api.errors import Unreachable
from gco_stream.engine.deletion.approvals import entry_of
from gco_stream.engine.deletion.budget import REMOVALS_ANNOTATION
from gco_stream.engine.reconcile.endpoint_planner import ClusterView, EndpointPlanner
from gco_stream.engine.reconcile.executor import ExecutionResult
from gco_stream.engine.reconcile.reconciler import Reconciler, ReconcileResult
from gco_stream.engine.reconcile.status_writer import StatusWriter
from gco_stream.model import wire
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.policy import Census, Policy
from gco_stream.planning.types.steps import Delete
from tests.engine.deletion.test_approvals import GuardFixture as GuardBench
from tests.engine.deletion.test_approvals import approve
from tests.engine.deletion.test_budget import Lease
from tests.support.items import item
from tests.support.simulated_cluster import POLICY


class ReconcilerFixture:
    """A reconciler on a cluster in memory. The bench is also its table, step runner, census and epoch."""

    def __init__(self, *made: str, limit: int | None = 5, lease: Lease | None = None, policy: Policy = POLICY) -> None:
        self.parts = GuardBench(*made, limit=limit, lease=lease)
        self.cluster = self.parts.cluster
        self.lease = self.parts.lease
        self.items: dict[str, wire.WireItem] = {}
        self.away = False
        self.happened: list[str] = []
        self.written: list[str] = []
        items, guard = self.parts.desired, self.parts.guard
        clock = Clock(now=lambda: datetime.fromtimestamp(self.parts.clock.now, UTC))
        view = ClusterView(self.cluster, self.pods_of, self)  # type: ignore[arg-type]
        self.reconciler = Reconciler(
            items,
            EndpointPlanner(items.get, view, policy, clock.now, guard),
            self,  # type: ignore[arg-type]
            StatusWriter(items, self, policy.region, self, now=clock.now, on_write=self.written.append),  # type: ignore[arg-type]
            guard,
            failures_of=lambda _: 0,
        )

    epoch = 1

    async def raise_epoch(self, above: int) -> int:
        return above

    def excluding(self, _name: str) -> Census:
        return Census(running=1, withdrawn=0)

    async def refresh(self) -> None:
        """Does nothing: the census is constant."""

    def record_withdrawal(self, name: str) -> None:
        """Does nothing: withdrawals are not counted."""

    async def pods_of(self, _namespace: str, _app: str) -> tuple[()]:
        return ()

    async def get(self, name: str) -> wire.WireItem | None:
        await asyncio.sleep(0)
        if self.away:
            raise aws.Unreachable("away", "Timeout")
        self.happened.append(f"read {name}")
        return self.items.get(name)

    async def write_status(self, name: str, region: str, status: dict[str, Any], epoch: int) -> wire.WireItem:
        status = {**status, "epoch": epoch}
        plain = wire.decode(self.items[name])
        self.items[name] = wire.encode({**plain, "region_status": {**plain["region_status"], region: status}})
        return self.items[name]

    async def promote(self, seen: wire.WireItem) -> wire.WireItem:
        name = seen["endpoint_name"]["S"]
        assert self.items[name] == seen
        self.items[name] = {**seen, "desired_state": {"S": "running"}}
        return self.items[name]

    async def execute(self, plan: Plan) -> ExecutionResult:
        recorded = REMOVALS_ANNOTATION in self.lease.annotations
        for step in plan.steps:
            assert isinstance(step, Delete), step
            self.happened.append(f"delete {step.ref.kind} of {plan.endpoint}{'' if recorded else ', unrecorded'}")
            await asyncio.sleep(0)
            del self.cluster.objects[step.ref]
        return ExecutionResult(done=list(plan.steps))

    def forget(self, name: str) -> None:
        """Does nothing: no step is ever rejected."""

    def put(self, name: str, **attributes: Any) -> None:
        """Adds an item to the table and to the cache."""
        self.items[name] = wire.encode(item(name, **attributes))
        self.parts.desired.put(self.items[name])

    async def run(self, *names: str) -> list[ReconcileResult]:
        return list(await asyncio.gather(*map(self.reconciler.reconcile, names)))

    @property
    def deleted(self) -> list[str]:
        return [line for line in self.happened if line.startswith("delete")]


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
