"""What would be done, and why, without doing it: the plans of some or all endpoints, from one look.

The fleet's limits as they look to somebody who does not lead: asked for by the first plan that hangs on one.

The same guard, budget and census decide as in a leader, from one look at the table, the cluster and the Lease; what
they would write stays in memory.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Never
from urllib.parse import quote

from gco_stream.admin.snapshot import look_once
from gco_stream.aws.session import table_client
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, NotFound, NotLeading
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.pods import pods_of
from gco_stream.engine.deletion.approvals import Approvals
from gco_stream.engine.deletion.budget import DeletionBudget
from gco_stream.engine.deletion.guard import Guard, doomed
from gco_stream.engine.deletion.orphan_tracker import Orphans
from gco_stream.engine.reconcile.reconciler import claimed, not_known
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.item_cache import DesiredState
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint, Unreadable, read_endpoint
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.explain.explanation import Explanation, explain
from gco_stream.planning.planner import plan
from gco_stream.planning.types.plan import Need, Plan
from gco_stream.planning.types.policy import Census, Fleet, Policy, policy_of
from gco_stream.settings import LEASE_NAME, Settings
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


# Of more endpoints than this, only pods that a decision hangs on are listed: each takes a call.
_MOST_PODS = 200


@dataclass(frozen=True, slots=True)
class Preview:
    """The plans made, explained, and what stood in the way of more.

    `items` by name, None where the table has no item of the name; the others are in `explanations` or, with the reason,
    in `unknown`, where what stands of them cannot be read. `unclaimed`: plans of the names of which objects stand
    without an item. `blind`: namespaces that cannot be read, and why. `now`: when it was looked.
    """

    now: datetime
    items: Mapping[str, Endpoint | Unreadable | None]
    blind: Mapping[str, str]
    explanations: dict[str, Explanation] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    unclaimed: dict[str, Plan] = field(default_factory=dict)


async def preview(settings: Settings, wanted: Collection[str] | None) -> Preview:
    """Plans for the named endpoints, or for all. Reads only. Raises TableError, ClusterError."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(KubeClient.connect(timeout=settings.k8s_api_timeout))
        dynamodb = await stack.enter_async_context(
            table_client(settings.home_region, timeout=settings.dynamodb_timeout_seconds, connections=4)
        )
        table = EndpointTable(
            dynamodb, settings.inference_endpoints_table_name, timeout=settings.dynamodb_timeout_seconds
        )
        info = await table.describe()
        every = DesiredState(settings.region) if wanted is None else None
        cache = await look_once(client, settings.namespaces)
        # After the cluster: whatever was made by then has its item here.
        items = await _items(table, wanted, every)
        found = Preview(datetime.now(UTC), items, cache.unsynced)
        policy = policy_of(settings, info.arn)
        look = _Look(
            settings=settings,
            policy=policy,
            client=client,
            table=table,
            cache=cache,
            now=found.now,
            fleet=Bystander(
                settings=settings,
                policy=policy,
                client=client,
                table=table,
                cache=cache,
                now=found.now,
                every=every,
            ),
        )
        for name, item in items.items():
            if item is None:
                continue
            if reason := not_known(item, found.blind, policy):
                found.unknown[name] = reason
            else:
                others = items if wanted is None else await _namesakes(table, name)
                found.explanations[name] = await look.explained(
                    item, claimed(name, others.get), with_pods=len(found.explanations) < _MOST_PODS
                )
        lacking = cache.endpoint_names() - items.keys() if wanted is None else {n for n in items if items[n] is None}
        for name in sorted(lacking & cache.endpoint_names()):
            found.unclaimed[name] = await look.fleet.decide_orphan(name)
        return found


async def _namesakes(table: EndpointTable, name: str) -> dict[str, Endpoint | Unreadable]:
    """The items that might want names of this one's objects."""
    found = {}
    for other in {names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)} - {name}:
        if (item := await table.get(other)) is not None:
            found[other] = read_endpoint(item)
    return found


async def _items(
    table: EndpointTable, wanted: Collection[str] | None, every: DesiredState | None
) -> dict[str, Endpoint | Unreadable | None]:
    found: dict[str, Endpoint | Unreadable | None] = {}
    if wanted is not None:
        for name in wanted:
            item = await table.get(name)
            found[name] = None if item is None else read_endpoint(item)
        return found
    async for page in table.scan():
        for item in page:
            found[item["endpoint_name"]["S"]] = read_endpoint(item)
            if every is not None:
                every.put(item)
    return found


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one moment. What only some plans need is looked up for those."""

    settings: Settings
    policy: Policy
    client: KubeClient
    table: EndpointTable
    cache: ClusterCache
    now: datetime
    fleet: Bystander

    async def explained(self, item: Endpoint | Unreadable, claimed: frozenset[str], *, with_pods: bool) -> Explanation:
        """The plan with whatever it turns out to need, explained. Raises TableError.

        `with_pods`: pods that are not ready are looked at too, for the reason alone.
        """
        fleet, observed = Fleet(claimed=claimed), self.cache.observed(item.name)
        make = partial(plan, item, observed, now=self.now, policy=self.policy)
        made, warnings = make(fleet), list[Cause]()
        if Need.CENSUS in made.needs:
            fleet = replace(fleet, census=await self.fleet.counted())
        if isinstance(item, Endpoint) and (Need.PODS in made.needs or (with_pods and _lacks_pods(made))):
            namespace, timeout = item.namespace or self.policy.namespace, self.settings.k8s_api_timeout
            try:
                pods = await pods_of(self.client, namespace, item.name, timeout=timeout)
                observed = replace(observed, pods=pods)
            except ClusterError as error:
                warnings.append(Cause(Reason.PODS_UNKNOWN, f"its pods cannot be listed: {error.message}"))
        make = partial(plan, item, observed, now=self.now, policy=self.policy)
        made = make(fleet)
        if doomed(made):
            made, fleet = await self.fleet.decide(item.name, fleet, make)
            warnings += [Cause(Reason.LIMITS_UNKNOWN, self.fleet.doubt)] if self.fleet.doubt else []
        made = replace(made, warnings=(*made.warnings, *warnings))
        return explain(item, observed, fleet, self.now, self.policy, made)


def _lacks_pods(made: Plan) -> bool:
    return made.report is not None and made.report.ready < made.report.desired
