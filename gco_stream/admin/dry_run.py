"""Dry run: plans some or all endpoints and explains the plans, without changing anything.

The plans are made as by the leader, from one snapshot of the table, the cluster and the Lease. The fleet-wide limits
(census, deletion guard and deletion budget) are loaded when the first plan depends on them. They are updated only in
memory.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Never

from gco_stream.admin.installation import Installation, connect
from gco_stream.admin.snapshot import snapshot
from gco_stream.cluster.api.errors import ClusterError, NotFound, NotLeading
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.leaderelection.record import LeaseRef, annotations_of
from gco_stream.cluster.pods import pods_of
from gco_stream.engine.deletion.approvals import Approvals
from gco_stream.engine.deletion.budget import DeletionBudget
from gco_stream.engine.deletion.guard import Guard, unrequested_deletions
from gco_stream.engine.deletion.orphan_tracker import OrphanTracker
from gco_stream.engine.deletion.table_identity import TableIdentity, is_recreated
from gco_stream.engine.reconcile.endpoint_planner import ClusterView, EndpointPlanner, Planned
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import names
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.explain.explanation import Explanation, explain
from gco_stream.planning.types.decision import MissingInput
from gco_stream.planning.types.plan import Plan
from gco_stream.settings import LEASE_NAME, Settings

_REQUIRED_SCANS: Final = 2
# After this many endpoints, pods are listed only if a decision depends on them, because each list is a request.
_MAX_POD_LISTS: Final = 200


@dataclass(frozen=True, slots=True)
class DryRun:
    """Result of a dry run. All mappings except `unsynced` are by endpoint name.

    `now`: time of the snapshot. `items`: the items, None if the table has no such item. `unsynced`: the reason for each
    namespace that cannot be read. `explanations`: the explained plan of each item whose live objects are known.
    `unknown`: for the other items, why their live objects are unknown. `orphans`: plans of endpoints that have live
    objects but no item.
    """

    now: datetime
    unsynced: Mapping[str, str]
    missing: tuple[str, ...] = ()
    explanations: dict[str, Explanation] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    orphans: dict[str, Plan] = field(default_factory=dict)


async def make_dry_run(settings: Settings, selected: Collection[str] | None) -> DryRun:
    """Plans the selected endpoints, or all of them. Changes nothing. Raises AWSError, ClusterError."""
    async with connect(settings) as installation:
        cache = await snapshot(installation.client, settings.namespaces)
        # Items are read after the cluster. Otherwise, the objects of an item created in between would look orphaned.
        items = await (_all_items(installation) if selected is None else _items(installation, selected))
        planner = _DryRunPlanner(installation, cache, items, has_all_items=selected is None)
        wanted = tuple(items) if selected is None else tuple(selected)
        result = DryRun(planner.now, cache.unsynced, missing=tuple(name for name in wanted if name not in items))
        for name in sorted(name for name in wanted if name in items):
            planned = await planner.plan(name, explain_pods=len(result.explanations) < _MAX_POD_LISTS)
            if planned.unknown:
                result.unknown[name] = planned.unknown
            else:
                result.explanations[name] = explain(planned.inputs, planned.plan)
        without_item = cache.endpoint_names() - set(items) if selected is None else set(result.missing)
        for name in sorted(without_item & cache.endpoint_names()):
            result.orphans[name] = (await planner.plan(name)).plan
        return result


async def _all_items(installation: Installation) -> ItemCache:
    found = ItemCache(installation.policy.region)
    async for page in installation.table.scan():
        for item in page:
            found.put(item)
    return found


async def _items(installation: Installation, selected: Collection[str]) -> ItemCache:
    """Returns the selected items, and the items that may claim the same object names or overlapping ingress paths."""
    found = ItemCache(installation.policy.region)
    for name in selected:
        for one in (name, names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)):
            if one not in found and (item := await installation.table.get(one)) is not None:
                found.put(item)
    # A path under /inference is reserved for its endpoint. Any other path may overlap that of any item.
    return found if not found.paths else await _all_items(installation)


class _DryRunPlanner:
    """Plans endpoints from one snapshot. `now`: the current time in all plans."""

    def __init__(
        self, installation: Installation, cache: ClusterCache, items: ItemCache, *, has_all_items: bool
    ) -> None:
        self._installation = installation
        self._cache = cache
        self._items = items
        self._has_all_items = has_all_items
        self.now = datetime.now(UTC)
        self._pods_of = partial(pods_of, installation.client, timeout=installation.settings.k8s_api_timeout)
        # This planner has no fleet-wide limits, because most plans do not depend on them.
        self._planner = self._planner_within(None, None)
        self._limited: tuple[EndpointPlanner, Guard, DeletionBudget] | None = None
        self._warnings: tuple[Cause, ...] = ()

    async def plan(self, name: str, *, explain_pods: bool = False) -> Planned:
        """Plans an endpoint. A removal spends the budget for later calls, as in the leader. Raises AWSError."""
        planned = await self._planner.plan(name, explain_pods=explain_pods)
        removes = bool(unrequested_deletions(planned.plan))
        if not removes and MissingInput.CENSUS not in planned.plan.missing_inputs:
            return planned
        planner, guard, budget = await self._with_limits()
        planned = await planner.plan(name, planned.inputs.observed.pods, explain_pods=explain_pods)
        if not guard.permits(planned.plan):
            budget.reserve(name, len(self._items))
        if removes:
            warnings = (*planned.plan.all_warnings, *self._warnings)
            planned = replace(planned, plan=replace(planned.plan, warnings=warnings))
        return planned

    async def _with_limits(self) -> tuple[EndpointPlanner, Guard, DeletionBudget]:
        if self._limited is None:
            if not self._has_all_items:
                self._items = await _all_items(self._installation)
            policy, annotations = self._installation.policy, await self._lease_annotations()
            orphans = OrphanTracker(self._cache, policy)
            # All items have just been read, so the required number of scans can be recorded at once.
            for _ in range(_REQUIRED_SCANS):
                orphans.scan_started()
                await orphans.scan_ended(frozenset(self._items))
            budget = DeletionBudget(self._installation.settings.mass_delete_limit, annotations, time.time)
            approvals = Approvals(annotations, time.time)
            identity = TableIdentity(annotations, self._table_id)
            identity.is_recreated = is_recreated(annotations.annotations, await self._table_id())
            guard = Guard(
                orphans=orphans,
                budget=budget,
                approvals=approvals,
                items=self._items,
                metrics=Metrics(),
                identity=identity,
            )
            census = FleetCensus(
                cache=self._cache, items=self._items, policy=policy, clock=time.monotonic, now=lambda: self.now
            )
            self._limited = (self._planner_within(census, guard), guard, budget)
        return self._limited

    def _planner_within(self, census: FleetCensus | None, guard: Guard | None) -> EndpointPlanner:
        view = ClusterView(self._cache, self._pods_of, census)
        paths, policy = self._items.paths, self._installation.policy
        return EndpointPlanner(self._items.get, paths, view, policy, lambda: self.now, guard)

    async def _table_id(self) -> str:
        return (await self._installation.table.describe()).table_id

    async def _lease_annotations(self) -> "_ReadOnlyAnnotations":
        path = LeaseRef(self._installation.policy.namespace, LEASE_NAME).path
        try:
            found = await self._installation.client.request("GET", path)
        except NotFound:
            # The Lease does not exist until a replica becomes the leader, so no removal or approval is recorded.
            return _ReadOnlyAnnotations({})
        except ClusterError as error:
            message = f"the remaining limit on removals is unknown: {error.message}"
            self._warnings = (Cause(Reason.LIMITS_UNKNOWN, message),)
            return _ReadOnlyAnnotations({})
        return _ReadOnlyAnnotations(annotations_of(found))


@dataclass(frozen=True, slots=True)
class _ReadOnlyAnnotations:
    """The annotations of the Lease as last read. Writing them raises NotLeading."""

    annotations: Mapping[str, str]

    async def annotate(self, annotations: Mapping[str, str | None]) -> Never:
        raise NotLeading(0, "NotLeading", f"only the holder of the Lease may write {', '.join(annotations)}")
