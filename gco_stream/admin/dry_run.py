"""Dry run: plans some or all endpoints and explains the plans, without changing anything.

The plans are made as by the leader, from one snapshot of the table, the cluster and the Lease. The fleet-wide limits
(census, deletion guard and deletion budget) are loaded when the first plan depends on them. They are updated only in
memory.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Never
from urllib.parse import quote

from gco_stream.admin.snapshot import snapshot
from gco_stream.aws.session import table_client
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, NotFound, NotLeading
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.pods import pods_of
from gco_stream.engine.deletion.approvals import Approvals
from gco_stream.engine.deletion.budget import DeletionBudget
from gco_stream.engine.deletion.guard import Guard, unrequested_deletions
from gco_stream.engine.deletion.orphan_tracker import OrphanTracker
from gco_stream.engine.reconcile.plan_inputs import names_claimed_by_others, unsynced_reason
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint, InvalidItem, read_endpoint
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.explain.explanation import Explanation, explain
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.plan import MissingInput, Plan
from gco_stream.planning.types.policy import Census, FleetState, Policy, policy_of
from gco_stream.settings import LEASE_NAME, Settings
from gco_stream.table.endpoints import EndpointTable

_REQUIRED_SCANS: Final = 2


class ReadOnlyLimits:
    """The fleet-wide limits, loaded on first use.

    `now`: the time for which plans are made. `every`: all items of the table, or None to scan the table when they are
    needed. `warning`: why the limits are incomplete, "" if they are complete.
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
        every: ItemCache | None,
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
        self.warning = ""

    async def census(self) -> Census:
        """Returns the census of this region, which is taken once. Raises TableError."""
        if self._census is None:
            census = FleetCensus(
                cache=self._cache,
                items=await self._all_items(),
                policy=self._policy,
                clock=time.monotonic,
                now=lambda: self._now,
            )
            await census.refresh()
            self._census = census.current
        return self._census

    async def decide(self, name: str, fleet: FleetState, make: Callable[[FleetState], Plan]) -> tuple[Plan, FleetState]:
        """Returns the plan that the deletion guard allows, and the FleetState that it was made with.

        As in the leader, each removal reduces the budget that is left for later calls. Raises TableError.
        """
        guard = await self._built_guard()
        fleets: list[tuple[Plan, FleetState]] = []

        def noting(fleet: FleetState) -> Plan:
            fleets.append((make(fleet), fleet))
            return fleets[-1][0]

        plan = guard.decide(name, fleet, noting)
        await self._spend(guard, plan)
        return plan, next(fleet for other, fleet in fleets if other is plan)

    async def decide_orphan(self, name: str) -> Plan:
        """Plans an endpoint without an item, as if two scans had already missed the item. Raises TableError."""
        guard = await self._built_guard()
        plan = guard.decide_orphan(name)
        await self._spend(guard, plan)
        return plan

    async def _spend(self, guard: Guard, plan: Plan) -> None:
        if self._budget is not None and not guard.permits(plan):
            self._budget.reserve(plan.endpoint, len(await self._all_items()))

    async def _all_items(self) -> ItemCache:
        if self._every is None:
            every = ItemCache(self._policy.region)
            async for page in self._table.scan():
                for item in page:
                    every.put(item)
            self._every = every
        return self._every

    async def _built_guard(self) -> Guard:
        if self._guard is None:
            every, notes = await self._all_items(), await self._lease()
            orphans = OrphanTracker(self._cache, self._policy)
            for _ in range(_REQUIRED_SCANS):
                orphans.scan_started()
                await orphans.scan_ended(frozenset(every))
            self._budget = DeletionBudget(self._settings.mass_delete_limit, notes, time.time)
            self._guard = Guard(
                orphans=orphans,
                budget=self._budget,
                approvals=Approvals(notes, time.time),
                items=every,
                policy=self._policy,
                metrics=Metrics(),
            )
        return self._guard

    async def _lease(self) -> "_ReadOnlyAnnotations":
        path = f"/apis/{lease.API_VERSION}/namespaces/{quote(self._policy.namespace)}/leases/{LEASE_NAME}"
        try:
            found = await self._client.request("GET", path)
        except NotFound:
            # The Lease does not exist until a replica becomes the leader, so no removal or approval is recorded.
            return _ReadOnlyAnnotations({})
        except ClusterError as error:
            self.warning = f"the remaining limit on removals is unknown: {error.message}"
            return _ReadOnlyAnnotations({})
        return _ReadOnlyAnnotations(lease.annotations_of(found))


@dataclass(frozen=True, slots=True)
class _ReadOnlyAnnotations:
    """The annotations of the Lease as last read. Attempts to write them fail."""

    annotations: Mapping[str, str]

    async def annotate(self, annotations: Mapping[str, str | None]) -> Never:
        raise NotLeading(0, "NotLeading", f"only the holder of the Lease may write {', '.join(annotations)}")


# Listing pods takes one request per endpoint. After this many endpoints, pods are listed only if a plan needs them.
_MAX_POD_LISTS = 200


@dataclass(frozen=True, slots=True)
class DryRun:
    """Result of a dry run. All mappings except `unsynced` are by endpoint name.

    `now`: time of the snapshot. `items`: the items, None if the table has no such item. `unsynced`: the reason for each
    namespace that cannot be read. `explanations`: the explained plan of each item whose live objects are known.
    `unknown`: for the other items, why their live objects are unknown. `orphans`: plans of endpoints that have live
    objects but no item.
    """

    now: datetime
    items: Mapping[str, Endpoint | InvalidItem | None]
    unsynced: Mapping[str, str]
    explanations: dict[str, Explanation] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    orphans: dict[str, Plan] = field(default_factory=dict)


async def make_dry_run(settings: Settings, selected: Collection[str] | None) -> DryRun:
    """Plans the endpoints in `selected`, or all if it is None. Changes nothing. Raises TableError and ClusterError."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(KubeClient.connect(timeout=settings.k8s_api_timeout))
        dynamodb = await stack.enter_async_context(
            table_client(settings.home_region, timeout=settings.dynamodb_timeout_seconds, connections=4)
        )
        table = EndpointTable(
            dynamodb, settings.inference_endpoints_table_name, timeout=settings.dynamodb_timeout_seconds
        )
        info = await table.describe()
        every = ItemCache(settings.region) if selected is None else None
        cache = await snapshot(client, settings.namespaces)
        # The table is read after the cluster. Otherwise, an endpoint created in between would have objects but no item.
        items = await _items(table, selected, every)
        result = DryRun(datetime.now(UTC), items, cache.unsynced)
        policy = policy_of(settings, info.arn)
        planner = _DryRunPlanner(
            settings=settings,
            policy=policy,
            client=client,
            table=table,
            cache=cache,
            now=result.now,
            fleet=ReadOnlyLimits(
                settings=settings,
                policy=policy,
                client=client,
                table=table,
                cache=cache,
                now=result.now,
                every=every,
            ),
        )
        for name, item in items.items():
            if item is None:
                continue
            if reason := unsynced_reason(item, result.unsynced, policy):
                result.unknown[name] = reason
            else:
                others = items if selected is None else await _namesakes(table, name)
                result.explanations[name] = await planner.explain(
                    item, names_claimed_by_others(name, others.get), with_pods=len(result.explanations) < _MAX_POD_LISTS
                )
        without_item = (
            cache.endpoint_names() - items.keys() if selected is None else {n for n in items if items[n] is None}
        )
        for name in sorted(without_item & cache.endpoint_names()):
            result.orphans[name] = await planner.fleet.decide_orphan(name)
        return result


async def _namesakes(table: EndpointTable, name: str) -> dict[str, Endpoint | InvalidItem]:
    """Returns the items, by name, that may claim the names of this endpoint's objects."""
    found = {}
    for other in {names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)} - {name}:
        if (item := await table.get(other)) is not None:
            found[other] = read_endpoint(item)
    return found


async def _items(
    table: EndpointTable, selected: Collection[str] | None, every: ItemCache | None
) -> dict[str, Endpoint | InvalidItem | None]:
    found: dict[str, Endpoint | InvalidItem | None] = {}
    if selected is not None:
        for name in selected:
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
class _DryRunPlanner:
    """Plans endpoints from one snapshot. Pods and fleet-wide limits are loaded on demand."""

    settings: Settings
    policy: Policy
    client: KubeClient
    table: EndpointTable
    cache: ClusterCache
    now: datetime
    fleet: ReadOnlyLimits

    async def explain(self, item: Endpoint | InvalidItem, claimed: frozenset[str], *, with_pods: bool) -> Explanation:
        """Plans an endpoint and explains the plan. Raises TableError.

        `claimed`: names of its objects that other items claim. `with_pods`: list the pods not only if the plan depends
        on them, but also to explain why some are not ready.
        """
        fleet, observed = FleetState(names_claimed_by_others=claimed), self.cache.observed(item.name)
        make = partial(plan_endpoint, item, observed, now=self.now, policy=self.policy)
        plan, warnings = make(fleet), list[Cause]()
        if MissingInput.CENSUS in plan.missing_inputs:
            fleet = replace(fleet, census=await self.fleet.census())
        if isinstance(item, Endpoint) and (
            MissingInput.PODS in plan.missing_inputs or (with_pods and _lacks_pods(plan))
        ):
            namespace, timeout = item.namespace or self.policy.namespace, self.settings.k8s_api_timeout
            try:
                pods = await pods_of(self.client, namespace, item.name, timeout=timeout)
                observed = replace(observed, pods=pods)
            except ClusterError as error:
                warnings.append(Cause(Reason.PODS_UNKNOWN, f"the pods cannot be listed: {error.message}"))
        make = partial(plan_endpoint, item, observed, now=self.now, policy=self.policy)
        plan = make(fleet)
        if unrequested_deletions(plan):
            plan, fleet = await self.fleet.decide(item.name, fleet, make)
            warnings += [Cause(Reason.LIMITS_UNKNOWN, self.fleet.warning)] if self.fleet.warning else []
        plan = replace(plan, warnings=(*plan.warnings, *warnings))
        return explain(item, observed, fleet, self.now, self.policy, plan)


def _lacks_pods(plan: Plan) -> bool:
    return plan.report is not None and plan.report.ready < plan.report.desired
