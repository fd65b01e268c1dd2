"""What stands between a plan that removes an endpoint unasked and its first deletion.

An endpoint that leaves the region needs a place in the budget. One without an item needs evidence as well. What a
person has approved needs neither. All of it is asked synchronously with the plan, so that no two workers can spend one
place; a place is told in the Lease before it is used.
"""

from collections.abc import Callable, Set
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from gco_stream.cluster.api.errors import ClusterError
from gco_stream.engine.deletion.approvals import APPROVED_ANNOTATION, Approvals
from gco_stream.engine.deletion.budget import DeletionBudget, LeaseNotes
from gco_stream.engine.deletion.orphan_tracker import Orphans, Standing
from gco_stream.engine.state.item_cache import DesiredState
from gco_stream.model import names
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.lifecycle.orphaned import NO_ITEM, plan_orphan
from gco_stream.planning.types.plan import Delete, HeldBack, Note, Plan
from gco_stream.planning.types.policy import Fleet, Policy

_TABLE_EMPTY: Final = Cause(
    Reason.TABLE_EMPTY,
    f"not removed, although {NO_ITEM}: the table is empty, which may be a mistake; "
    "`gco-stream approve-deletes` lists the pending removals and approves them",
)
_IN_DOUBT: Final = Note("its objects are deleted once two consecutive scans have not found its item")

_log = structlog.get_logger(__name__)


def doomed(made: Plan) -> frozenset[str]:
    """The uids of the objects that a plan takes away unasked."""
    return frozenset(step.uid for step in made.steps if isinstance(step, Delete) and step.spends_budget)


class Guard:
    """Decides on removals that no item asks for. `now`: the wall clock with a time zone.

    `waiting`: endpoints whose removal is held back.
    """

    def __init__(
        self,
        *,
        orphans: Orphans,
        budget: DeletionBudget,
        approvals: Approvals,
        lease: LeaseNotes,
        desired: DesiredState,
        policy: Policy,
        metrics: Metrics,
        now: Callable[[], datetime],
    ) -> None:
        self.orphans = orphans
        self._budget = budget
        self._approvals = approvals
        self._lease = lease
        self._desired = desired
        self._policy = policy
        self._metrics = metrics
        self._now = now
        self.waiting: set[str] = set()

    @property
    def state(self) -> str:
        """One of gco_stream.ops.metrics.GUARD_STATES."""
        if not self.waiting:
            return "idle"
        return "holding" if len(self._desired) else "table_empty"

    @property
    def deletions_left(self) -> int:
        """How many removals may still begin unasked within this hour."""
        return self._budget.left("", len(self._desired))

    def limits(self, name: str, fleet: Fleet) -> Fleet:
        """The fleet with what the budget allows this endpoint now."""
        known = len(self._desired)
        return replace(fleet, deletions_left=self._budget.left(name, known), deletions_again=self._budget.again(known))

    def decide(self, name: str, fleet: Fleet, make: Callable[[Fleet], Plan]) -> Plan:
        """The plan that `make` makes of what the budget, or an approval, allows this endpoint now."""
        made = make(self.limits(name, fleet))
        if made.held_back is HeldBack.REMOVAL:
            allowed = make(replace(fleet, deletions_left=1))
            if self._approvals.covers(name, doomed(allowed)):
                made = allowed
        return self._noted(made)

    def decide_orphan(self, name: str) -> Plan:
        """The plan of an endpoint that has no item."""
        observed, now = self.orphans.observed(name), self._now()
        canary = names.canary_name(name)
        fleet = Fleet(claimed=frozenset({canary}) if canary in self._desired else frozenset())

        def make(fleet: Fleet) -> Plan:
            return plan_orphan(name, observed, fleet, now, self._policy)

        standing = self.orphans.standing(name)
        if standing is Standing.PROVEN:
            return self.decide(name, fleet, make)
        allowed = make(replace(fleet, deletions_left=1))
        if not allowed.steps or self._approvals.covers(name, doomed(allowed)):
            return self._noted(allowed)
        held = replace(allowed, steps=(), notes=(*allowed.notes, _IN_DOUBT))
        if standing is Standing.TABLE_EMPTY:
            held = replace(allowed, steps=(), warnings=(_TABLE_EMPTY,), held_back=HeldBack.REMOVAL)
        return self._noted(held)

    def lets_go(self, made: Plan) -> bool:
        """Whether the plan may be carried out as it is: nothing goes unasked, or it is approved, or the Lease tells."""
        uids = doomed(made)
        if not uids:
            return True
        if self._approvals.covers(made.endpoint, uids):
            if self._approvals.begin(made.endpoint, uids):
                self._metrics.removals.labels("approval").inc()
            return True
        return self._budget.is_stored(made.endpoint)

    async def reserve(self, made: Plan) -> None:
        """Takes a place in the budget for this removal, if there is one, and tells it in the Lease; then plan again.

        Raises ClusterError where the Lease cannot be written: then nothing may be deleted.
        """
        if self._budget.reserve(made.endpoint, len(self._desired)):
            await self._budget.store()
            self._metrics.removals.labels("budget").inc()

    def newly_approved(self) -> frozenset[str]:
        """Names that an approval may have let go since this was asked last."""
        if not self._approvals.is_new():
            return frozenset()
        return self.orphans.names | self.waiting

    async def scan_ended(self, seen: Set[str]) -> frozenset[str]:
        """A complete scan has shown these names; those that are to be planned although they have no item."""
        lacking = await self.orphans.scan_ended(seen)
        await self._tidy()
        if self._approvals.any:
            return lacking
        return frozenset(name for name in lacking if self.orphans.standing(name) is not Standing.IN_DOUBT)

    async def _tidy(self) -> None:
        """Takes what is of no use any more out of the Lease, and puts what nobody could read in order."""
        try:
            if self._approvals.spent:
                await self._lease.annotate({APPROVED_ANNOTATION: None})
            await self._budget.store()
        except ClusterError as error:
            _log.warning("the Lease's annotations cannot be put in order", error=str(error))

    def _noted(self, made: Plan) -> Plan:
        if made.held_back is HeldBack.REMOVAL:
            self.waiting.add(made.endpoint)
        else:
            self.waiting.discard(made.endpoint)
        return made
