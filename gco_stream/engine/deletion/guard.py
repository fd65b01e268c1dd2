"""Checks plans that remove an endpoint although its item does not request it.

The removal of an endpoint that leaves the region requires deletion budget. The removal of an endpoint without an item
also requires evidence that the item is gone. An approved removal requires neither. Budget is reserved and recorded in
the Lease before anything is deleted.
"""

from collections.abc import Callable, Set
from dataclasses import replace
from typing import Final

import structlog

from gco_stream.cluster.api.errors import ClusterError
from gco_stream.engine.deletion.approvals import Approvals
from gco_stream.engine.deletion.budget import DeletionBudget
from gco_stream.engine.deletion.orphan_tracker import OrphanEvidence, OrphanTracker
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import names
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.lifecycle.orphaned import NO_ITEM, plan_orphan
from gco_stream.planning.types.plan import Delete, FleetLimit, Note, Plan
from gco_stream.planning.types.policy import FleetState, Policy

_TABLE_EMPTY: Final = Cause(
    Reason.TABLE_EMPTY,
    f"not removed, although {NO_ITEM}: the table is empty, which may be a mistake; "
    "`gco-stream approve-deletes` lists the pending removals and approves them",
)
_IN_DOUBT: Final = Note("its objects are deleted once two consecutive scans have not found its item")

_log = structlog.get_logger(__name__)


def unrequested_deletions(plan: Plan) -> frozenset[str]:
    """Returns the UIDs of the objects that a plan deletes although the item does not request it."""
    return frozenset(step.uid for step in plan.steps if isinstance(step, Delete) and step.spends_budget)


class Guard:
    """Permits or holds back removals that no item requests. `held`: the endpoints whose removal is held back."""

    def __init__(
        self,
        *,
        orphans: OrphanTracker,
        budget: DeletionBudget,
        approvals: Approvals,
        items: ItemCache,
        policy: Policy,
        metrics: Metrics,
    ) -> None:
        self.orphans = orphans
        self._budget = budget
        self._approvals = approvals
        self._items = items
        self._policy = policy
        self._metrics = metrics
        self.held: set[str] = set()

    @property
    def state(self) -> str:
        """State of the guard, one of gco_stream.ops.metrics.GUARD_STATES."""
        if not self.held:
            return "idle"
        return "holding" if len(self._items) else "table_empty"

    @property
    def deletions_left(self) -> int:
        """Number of unrequested removals that may still start now."""
        return self._budget.left("", len(self._items))

    def limits(self, name: str, fleet: FleetState) -> FleetState:
        """Returns the fleet state with the deletion budget that is left for this endpoint."""
        endpoint_count = len(self._items)
        return replace(
            fleet,
            deletions_left=self._budget.left(name, endpoint_count),
            next_deletion_in=self._budget.next_in(endpoint_count),
        )

    def decide(self, name: str, fleet: FleetState, make: Callable[[FleetState], Plan]) -> Plan:
        """Returns the plan that `make` creates within the deletion budget, or beyond it if the removal is approved."""
        plan = make(self.limits(name, fleet))
        if plan.limited_by is FleetLimit.REMOVAL:
            allowed_plan = make(replace(fleet, deletions_left=1))
            if self._approvals.covers(name, unrequested_deletions(allowed_plan)):
                plan = allowed_plan
        return self._track_held(plan)

    def decide_orphan(self, name: str) -> Plan:
        """Returns the plan for an endpoint without an item."""
        observed = self.orphans.observed(name)
        canary = names.canary_name(name)
        fleet = FleetState(names_claimed_by_others=frozenset({canary}) if canary in self._items else frozenset())

        def make(fleet: FleetState) -> Plan:
            return plan_orphan(name, observed, fleet, self._policy)

        evidence = self.orphans.evidence(name)
        if evidence is OrphanEvidence.PROVEN:
            return self.decide(name, fleet, make)
        allowed_plan = make(replace(fleet, deletions_left=1))
        if not allowed_plan.steps or self._approvals.covers(name, unrequested_deletions(allowed_plan)):
            return self._track_held(allowed_plan)
        held_plan = replace(allowed_plan, steps=(), notes=(*allowed_plan.notes, _IN_DOUBT))
        if evidence is OrphanEvidence.TABLE_EMPTY:
            held_plan = replace(allowed_plan, steps=(), warnings=(_TABLE_EMPTY,), limited_by=FleetLimit.REMOVAL)
        return self._track_held(held_plan)

    def permits(self, plan: Plan) -> bool:
        """Returns whether the plan may be executed.

        It may if it deletes nothing unrequested, or if the removal is approved or recorded in the Lease.
        """
        uids = unrequested_deletions(plan)
        if not uids:
            return True
        if self._approvals.covers(plan.endpoint, uids):
            if self._approvals.start(plan.endpoint, uids):
                self._metrics.removals.labels("approval").inc()
            return True
        return self._budget.is_persisted_for(plan.endpoint)

    async def reserve(self, plan: Plan) -> None:
        """Reserves deletion budget for this removal, if any is left, and records it in the Lease.

        The caller must plan again afterwards. Raises ClusterError if the Lease cannot be written. In that case, nothing
        may be deleted.
        """
        if self._budget.reserve(plan.endpoint, len(self._items)):
            await self._budget.store()
            self._metrics.removals.labels("budget").inc()

    def newly_approved(self) -> frozenset[str]:
        """Returns the names whose removal may be permitted by an approval that is new since the last call."""
        if not self._approvals.is_new():
            return frozenset()
        return self.orphans.names | self.held

    async def scan_ended(self, seen: Set[str]) -> frozenset[str]:
        """Evaluates a complete scan that found the names `seen`.

        Returns the names that have no item and must be planned.
        """
        missing = await self.orphans.scan_ended(seen)
        await self._clean_up_lease()
        if self._approvals.any:
            return missing
        return frozenset(name for name in missing if self.orphans.evidence(name) is not OrphanEvidence.INSUFFICIENT)

    async def _clean_up_lease(self) -> None:
        """Removes an expired or malformed approval from the Lease, and records the budget if it has changed."""
        try:
            await self._approvals.remove_spent()
            await self._budget.store()
        except ClusterError as error:
            _log.warning("update of the Lease's annotations failed", error=str(error))

    def _track_held(self, plan: Plan) -> Plan:
        if plan.limited_by is FleetLimit.REMOVAL:
            self.held.add(plan.endpoint)
        else:
            self.held.discard(plan.endpoint)
        return plan
