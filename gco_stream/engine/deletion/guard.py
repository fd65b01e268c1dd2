"""Checks plans that remove an endpoint although its item does not request it.

The removal of an endpoint that leaves the region requires deletion budget. The removal of an endpoint without an item
also requires evidence that the item is gone. An approved removal requires neither. Budget is reserved and recorded in
the Lease before anything is deleted.
"""

from collections.abc import Set
from dataclasses import replace
from typing import Final

import structlog

from gco_stream.aws.errors import AWSError
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.engine.deletion.approvals import Approvals
from gco_stream.engine.deletion.budget import DeletionBudget
from gco_stream.engine.deletion.orphan_tracker import OrphanEvidence, OrphanTracker
from gco_stream.engine.deletion.table_identity import TableIdentity
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model.reasons import Reason
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.decision import FleetLimit, Note
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Delete

_IN_DOUBT: Final = Note("its objects are deleted once two consecutive scans have not found its item")

# Consecutive scans that must find nothing to remove before a recreated table counts as the remembered one.
_SCANS_TO_ACCEPT: Final = 2

_log = structlog.get_logger(__name__)


def unrequested_deletions(plan: Plan) -> frozenset[str]:
    """Returns the UIDs of the objects that a plan deletes although the item does not request it."""
    return frozenset(step.uid for step in plan.steps if isinstance(step, Delete) and step.spends_budget)


class Guard:
    """Permits or holds back removals that no item requests. `held`: names of the endpoints held back."""

    def __init__(
        self,
        *,
        orphans: OrphanTracker,
        budget: DeletionBudget,
        approvals: Approvals,
        items: ItemCache,
        metrics: Metrics,
        identity: TableIdentity,
    ) -> None:
        self.orphans = orphans
        self.identity = identity
        self._budget = budget
        self._approvals = approvals
        self._items = items
        self._metrics = metrics
        self.held: set[str] = set()
        self._complete_scans = 0

    @property
    def state(self) -> str:
        """State of the guard, one of gco_stream.ops.metrics.GUARD_STATES."""
        if self.identity.is_recreated:
            return "table_recreated"
        if not self.held:
            return "idle"
        return "holding" if len(self._items) else "table_empty"

    @property
    def deletions_left(self) -> int:
        """Number of unrequested removals that may still start now."""
        return self._budget.left("", len(self._items))

    def plan(self, inputs: PlanInputs) -> tuple[Plan, PlanInputs]:
        """Returns the plan for an endpoint, and the inputs from which it was made, including the limits.

        A removal that no item requests has steps only if it is approved or if the budget allows it. In the second case,
        an endpoint without an item also requires evidence that its item is gone. This method has no side effects.
        """
        plan = plan_endpoint(inputs)
        uids = unrequested_deletions(plan)
        if not uids or self._approvals.covers(inputs.name, uids):
            return plan, inputs
        evidence = self.orphans.evidence(inputs.name) if inputs.item is None else OrphanEvidence.PROVEN
        if evidence is OrphanEvidence.INSUFFICIENT and not self.identity.is_recreated:
            return replace(plan, steps=(), notes=(*plan.notes, _IN_DOUBT)), inputs
        limited = replace(inputs, fleet=self._limited(inputs.name, inputs.fleet, evidence))
        return plan_endpoint(limited), limited

    def record(self, plan: Plan, *, has_item: bool) -> None:
        """Records that the endpoint has an item, if it has one, and whether its removal is held back."""
        if has_item:
            self.orphans.item_seen(plan.endpoint)
        if plan.limited_by is FleetLimit.REMOVAL:
            self.held.add(plan.endpoint)
        else:
            self.held.discard(plan.endpoint)

    def permits(self, plan: Plan) -> bool:
        """Returns whether the plan may be executed.

        It may if the item requests all its deletions, or if the removal is approved or recorded in the Lease.
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

        The caller must plan again afterwards. Raises AWSError if the table cannot be described, and ClusterError if the
        Lease cannot be written. In that case, nothing may be deleted.
        """
        await self.identity.check()
        if not self.identity.is_recreated and self._budget.reserve(plan.endpoint, len(self._items)):
            await self._budget.store()
            self._metrics.removals.labels("budget").inc()

    def newly_approved(self) -> frozenset[str]:
        """Returns the names to plan again because of an approval that is new since the last call."""
        if not self._approvals.is_new():
            return frozenset()
        return self.orphans.names | self.held

    async def scan_ended(self, seen: Set[str]) -> frozenset[str]:
        """Evaluates a complete scan that found the names `seen`.

        Returns the names of the endpoints that have no item and must be planned.
        """
        # Asked before the evaluation: until all objects are known, no name counts as missing.
        sees_all = self.orphans.sees_all_objects
        missing = await self.orphans.scan_ended(seen)
        is_complete = sees_all and bool(seen) and not missing and not self.held
        self._complete_scans = self._complete_scans + 1 if is_complete else 0
        await self._check_table(is_complete=is_complete)
        await self._clean_up_lease()
        if self._approvals.any or self.identity.is_recreated:
            return missing
        return frozenset(name for name in missing if self.orphans.evidence(name) is not OrphanEvidence.INSUFFICIENT)

    def _limited(self, name: str, fleet: FleetState, evidence: OrphanEvidence) -> FleetState:
        endpoint_count, held = len(self._items), None
        if evidence is OrphanEvidence.TABLE_EMPTY:
            held = Reason.TABLE_EMPTY
        elif self.identity.is_recreated:
            held = Reason.TABLE_RECREATED
        return replace(
            fleet,
            removals_held=held,
            deletions_left=self._budget.left(name, endpoint_count),
            next_deletion_in=self._budget.next_in(endpoint_count),
        )

    async def _check_table(self, *, is_complete: bool) -> None:
        """Compares the table with the remembered one if it matters now. `is_complete`: nothing would be removed."""
        identity = self.identity
        if identity.is_checked and is_complete and not identity.is_recreated:
            return
        try:
            await identity.check()
            # Between two scans, every endpoint is planned, so those that left the region are held by the second one.
            if identity.is_recreated and self._complete_scans >= _SCANS_TO_ACCEPT:
                await identity.accept()
        except (AWSError, ClusterError) as error:
            # It is checked again before anything is removed.
            _log.warning("check of the table's identity failed", error=str(error))

    async def _clean_up_lease(self) -> None:
        """Removes an expired or malformed approval from the Lease, and records the budget if it has changed."""
        try:
            await self._approvals.remove_spent()
            await self._budget.store()
        except ClusterError as error:
            _log.warning("update of the Lease's annotations failed", error=str(error))
