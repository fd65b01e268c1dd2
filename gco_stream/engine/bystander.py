"""The fleet's limits as they look to somebody who does not lead: asked for by the first plan that hangs on one.

The same guard, budget and census decide as in a leader, from one look at the table, the cluster and the Lease; what
they would write stays in memory.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Never
from urllib.parse import quote

from gco_stream.cluster import lease
from gco_stream.cluster.cache import ClusterCache
from gco_stream.cluster.client import KubeClient
from gco_stream.cluster.errors import ClusterError, NotFound, NotLeading
from gco_stream.engine.approvals import Approvals
from gco_stream.engine.budget import DeletionBudget
from gco_stream.engine.controller import LEASE_NAME
from gco_stream.engine.desired import DesiredState
from gco_stream.engine.fleet import FleetCensus
from gco_stream.engine.guard import Guard
from gco_stream.engine.orphans import Orphans
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.policy import Census, Fleet, Policy
from gco_stream.planning.steps import Plan
from gco_stream.settings import Settings
from gco_stream.table.endpoints import EndpointTable

_ENOUGH_SCANS: Final = 2


class Bystander:
    """What the whole fleet allows, looked up when it is first asked for. `now`: the moment that plans are made of.

    `doubt`: what could not be looked up, "" where all could.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        policy: Policy,
        client: KubeClient,
        table: EndpointTable,
        cache: ClusterCache,
        now: datetime,
        every: DesiredState | None,
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._client = client
        self._table = table
        self._cache = cache
        self._now = now
        self._every = every
        self._census: Census | None = None
        self._guard: Guard | None = None
        self._budget: DeletionBudget | None = None
        self.doubt = ""

    async def counted(self) -> Census:
        """How many endpoints run here and how many of them have lost their Ingress. Raises TableError."""
        if self._census is None:
            census = FleetCensus(
                cache=self._cache,
                desired=await self._known(),
                policy=self._policy,
                clock=time.monotonic,
                now=lambda: self._now,
            )
            await census.take()
            self._census = census.current
        return self._census

    async def decide(self, name: str, fleet: Fleet, make: Callable[[Fleet], Plan]) -> tuple[Plan, Fleet]:
        """The plan that the limit on removals leaves, and the fleet that it was made of.

        Of several endpoints that are asked for in turn, those that would be removed spend the limit as they would in a
        leader. Raises TableError.
        """
        guard = await self._guarded()
        made_of: list[tuple[Plan, Fleet]] = []

        def noting(fleet: Fleet) -> Plan:
            made_of.append((make(fleet), fleet))
            return made_of[-1][0]

        made = guard.decide(name, fleet, noting)
        await self._spend(guard, made)
        return made, next(fleet for other, fleet in made_of if other is made)

    async def decide_orphan(self, name: str) -> Plan:
        """What becomes of the objects of a name that has no item, once scans have proven that. Raises as `decide`."""
        guard = await self._guarded()
        made = guard.decide_orphan(name)
        await self._spend(guard, made)
        return made

    async def _spend(self, guard: Guard, made: Plan) -> None:
        if self._budget is not None and not guard.lets_go(made):
            self._budget.reserve(made.endpoint, len(await self._known()))

    async def _known(self) -> DesiredState:
        if self._every is None:
            every = DesiredState(self._policy.region)
            async for page in self._table.scan():
                for item in page:
                    every.put(item)
            self._every = every
        return self._every

    async def _guarded(self) -> Guard:
        if self._guard is None:
            every, notes = await self._known(), await self._lease()
            orphans = Orphans(self._cache, self._policy)
            for _ in range(_ENOUGH_SCANS):
                orphans.scan_begins()
                await orphans.scan_ended(frozenset(every))
            self._budget = DeletionBudget(self._settings.mass_delete_limit, notes, time.time)
            self._guard = Guard(
                orphans=orphans,
                budget=self._budget,
                approvals=Approvals(notes, time.time),
                lease=notes,
                desired=every,
                policy=self._policy,
                metrics=Metrics(),
                now=lambda: self._now,
            )
        return self._guard

    async def _lease(self) -> "_Notes":
        path = f"/apis/{lease.API_VERSION}/namespaces/{quote(self._policy.namespace)}/leases/{LEASE_NAME}"
        try:
            found = await self._client.request("GET", path)
        except NotFound:
            # Nobody has led yet.
            return _Notes({})
        except ClusterError as error:
            self.doubt = f"how much of the limit on removals is spent is not known: {error.message}"
            return _Notes({})
        return _Notes(lease.annotations_of(found))


@dataclass(frozen=True, slots=True)
class _Notes:
    """The Lease's annotations as they were."""

    annotations: Mapping[str, str]

    async def annotate(self, annotations: Mapping[str, str | None]) -> Never:
        raise NotLeading(0, "NotLeading", f"only the holder of the Lease writes {', '.join(annotations)}")
