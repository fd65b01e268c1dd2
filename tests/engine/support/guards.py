"""A deletion guard with all its parts, and approvals."""

from datetime import UTC, datetime

from gco_stream.engine.deletion.approvals import (
    APPROVED_ANNOTATION,
    Approvals,
    approval_of,
)
from gco_stream.engine.deletion.budget import DeletionBudget
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.deletion.orphan_tracker import OrphanTracker, synced_objects
from gco_stream.engine.deletion.table_identity import TABLE_ID_ANNOTATION, TableIdentity
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from tests.engine.support.leases import BEGAN, Clock, Lease
from tests.engine.support.orphans import Cluster, scan
from tests.support.items import REGION
from tests.support.simulated_cluster import POLICY


def approve(lease: Lease, *entries: str, now: float = BEGAN) -> None:
    lease.annotations = {**lease.annotations, APPROVED_ANNOTATION: approval_of(entries, now)}


class GuardFixture:
    """A guard over endpoints with live objects but without items."""

    def __init__(self, *made: str, limit: int | None = 5, lease: Lease | None = None) -> None:
        self.cluster = Cluster(*made)
        self.lease = lease or Lease()
        self.lease.annotations = {TABLE_ID_ANNOTATION: "first", **self.lease.annotations}
        self.desired = ItemCache(REGION)
        self.clock = Clock()
        self.orphans = OrphanTracker(self.cluster, POLICY)  # type: ignore[arg-type]  # a fake with only the methods that are called
        self.metrics = Metrics()
        self.table_id = "first"
        self.guard = Guard(
            orphans=self.orphans,
            budget=DeletionBudget(limit, self.lease, self.clock),
            approvals=Approvals(self.lease, self.clock),
            items=self.desired,
            metrics=self.metrics,
            identity=TableIdentity(self.lease, self.describe),
        )

    async def describe(self) -> str:
        return self.table_id

    def plan_orphan(self, name: str) -> Plan:
        """Plans a name without an item, and records the plan as a reconcile does."""
        observed = synced_objects(self.cluster, name)  # type: ignore[arg-type]  # a fake with only the methods that are called
        now = datetime.fromtimestamp(self.clock.now, UTC)
        plan, _ = self.guard.plan(PlanInputs(name, None, observed, FleetState(), now, POLICY))
        self.guard.record(plan, has_item=False)
        return plan

    async def proven(self) -> "GuardFixture":
        for _ in range(2):
            await scan(self.orphans, "another")
        return self

    def uids(self, name: str) -> set[str]:
        return {obj.uid for obj in self.cluster.objects.values() if obj.endpoint == name}
