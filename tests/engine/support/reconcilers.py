"""A reconciler on a cluster in memory."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from gco_stream.aio.clock import Clock
from gco_stream.aws import errors as aws
from gco_stream.engine.deletion.budget import REMOVALS_ANNOTATION
from gco_stream.engine.reconcile.endpoint_planner import ClusterView, EndpointPlanner
from gco_stream.engine.reconcile.executor import ExecutionResult
from gco_stream.engine.reconcile.reconciler import Reconciler, ReconcileResult
from gco_stream.engine.reconcile.status_writer import StatusWriter
from gco_stream.model import wire
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.policy import Census, Policy
from gco_stream.planning.types.steps import Delete
from tests.engine.support.guards import GuardFixture as GuardBench
from tests.engine.support.leases import Lease
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
        self.failures = 0
        self.happened: list[str] = []
        self.written: list[str] = []
        items, guard = self.parts.desired, self.parts.guard
        clock = Clock(now=lambda: datetime.fromtimestamp(self.parts.clock.now, UTC))
        view = ClusterView(self.cluster, self.pods_of, self)  # type: ignore[arg-type]  # a fake with only the methods that are called
        self.reconciler = Reconciler(
            items,
            EndpointPlanner(items.get, items.paths, view, policy, clock.now, guard),
            self,  # type: ignore[arg-type]  # a fake with only the methods that are called
            StatusWriter(items, self, policy.region, self, now=clock.now, on_write=self.written.append),  # type: ignore[arg-type]  # a fake with only the methods that are called
            guard,
            failures_of=lambda _: self.failures,
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
