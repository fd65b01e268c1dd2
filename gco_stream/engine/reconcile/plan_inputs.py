"""Collects the inputs of an endpoint's plan (item, live objects, pods, fleet-wide limits) and makes the plan.

Pods and the census are expensive to obtain, so they are fetched only if a first plan reports them as missing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gco_stream.aio.clock import Clock
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint, InvalidItem
from gco_stream.model.objects import ObjectRef, ObservedObject, PodHealth
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.planner import plan_after_failures, plan_endpoint
from gco_stream.planning.types.plan import Delete, MissingInput, Part, Plan, RequeueAfter, soonest
from gco_stream.planning.types.policy import FleetState, Policy

_PODS_RETRY_SECONDS = 15.0

Pods = tuple[PodHealth, ...] | None
PodsOf = Callable[[str, str], Awaitable[tuple[PodHealth, ...]]]


def unsynced_reason(item: Endpoint | InvalidItem, unsynced: Mapping[str, str], policy: Policy) -> str:
    """Returns why an endpoint's live objects are unknown, or "" if they are known. `unsynced`: reasons by namespace."""
    if not unsynced:
        return ""
    return "; ".join(f"namespace {name}: {unsynced[name]}" for name in namespaces_of(item, policy) if name in unsynced)


def namespaces_of(item: Endpoint | InvalidItem, policy: Policy) -> tuple[str, ...]:
    """Returns the namespaces that may contain the objects of an item.

    There are none for an invalid item, because its objects are left unchanged.
    """
    if isinstance(item, InvalidItem):
        return ()
    return policy.namespaces if item.is_deleted else (item.namespace or policy.namespace,)


def names_claimed_by_others(name: str, item_of: Callable[[str], Endpoint | InvalidItem | None]) -> frozenset[str]:
    """Returns the names of an endpoint's objects that another item claims.

    These are the name of its canary, if there is an item with that name, and its own name, if another endpoint's canary
    has that name.
    """
    canary, base = names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)
    claimed = {canary} if item_of(canary) is not None else set()
    other = item_of(base) if base != name else None
    if isinstance(other, Endpoint) and other.spec is not None and other.spec.canary is not None:
        claimed.add(name)
    return frozenset(claimed)


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The view of the cluster that plans are made from.

    `pods_of` gets a namespace and the value of the label `app`, and lists the pods. It raises ClusterError.
    """

    cache: ClusterCache
    census: FleetCensus
    pods_of: PodsOf


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, the pods if they were listed, and why some live objects are unknown ("" if all are known)."""

    plan: Plan
    pods: Pods = None
    unknown: str = ""


class EndpointPlanner:
    """Plans endpoints from the current state of the table and the cluster."""

    def __init__(self, items: ItemCache, cluster: ClusterView, guard: Guard, policy: Policy, clock: Clock) -> None:
        self._items = items
        self._cluster = cluster
        self._guard = guard
        self._policy = policy
        self._clock = clock

    async def plan(self, name: str, item: Endpoint | InvalidItem | None, pods: Pods = None) -> Planned:
        """Returns the plan for an endpoint. `item`: None if the table has no item.

        `pods`: the pods that this reconcile has already listed, or None.
        """
        if item is None:
            return Planned(self._guard.decide_orphan(name), pods)
        self._guard.orphans.item_seen(name)
        unsynced = self._cluster.cache.unsynced
        unknown = unsynced_reason(item, unsynced, self._policy)
        if unknown and not (isinstance(item, Endpoint) and item.is_deleted):
            return Planned(self.report_only(name, item), pods, unknown)
        plan, pods = await self._with_missing_inputs(name, item, pods)
        # The objects of a deleted endpoint are deleted in every namespace that can be read. The endpoint is not
        # reported as deleted until all its namespaces can be read.
        readable = tuple(step for step in plan.steps if step.ref.namespace not in unsynced)
        return Planned(replace(plan, steps=readable), pods, unknown)

    def plan_now(
        self, name: str, item: Endpoint | InvalidItem, pods: Pods = None, *, with_census: bool = False
    ) -> Plan:
        """Returns the plan for an endpoint from cached data, without API calls."""
        fleet = FleetState(
            names_claimed_by_others=names_claimed_by_others(name, self._items.get),
            census=self._cluster.census.excluding(name) if with_census else None,
        )
        observed = replace(self._cluster.cache.observed(name), pods=pods)
        plan = self._guard.decide(
            name, fleet, lambda fleet: plan_endpoint(item, observed, fleet, self._clock.now(), self._policy)
        )
        if any(isinstance(step, Delete) and step.withdraws for step in plan.steps):
            self._cluster.census.record_withdrawal(name)
        return plan

    def report_only(self, name: str, item: Endpoint | InvalidItem) -> Plan:
        """Returns a plan without steps, for an endpoint whose live objects are unknown."""
        return replace(self.plan_now(name, item), steps=())

    def after_failures(self, plan: Plan, item: Endpoint | InvalidItem, causes: Mapping[Part, Cause]) -> Plan:
        """Returns the plan after these parts have failed. It has no steps and reports the causes."""
        return plan_after_failures(plan, item, causes, self._clock.now(), self._policy)

    def unsynced_namespaces(self, item: Endpoint | InvalidItem) -> list[str]:
        """Returns those namespaces of the item that cannot currently be read."""
        unsynced = self._cluster.cache.unsynced
        return [namespace for namespace in namespaces_of(item, self._policy) if namespace in unsynced]

    def now(self) -> datetime:
        """Returns the current time of the clock that plans use."""
        return self._clock.now()

    def targets_this_region(self, item: Endpoint | InvalidItem) -> bool:
        """Returns whether this region is one of the item's target_regions."""
        return self._policy.region in item.target_regions

    def live_objects(self, name: str) -> Mapping[ObjectRef, ObservedObject]:
        """Returns the endpoint's live objects."""
        return self._cluster.cache.observed(name).objects

    async def _with_missing_inputs(self, name: str, item: Endpoint | InvalidItem, pods: Pods) -> tuple[Plan, Pods]:
        """Returns the plan, made with all inputs that it needs, and the pods if they were listed."""
        plan = self.plan_now(name, item, pods)
        if not plan.missing_inputs:
            return plan, pods
        counted = MissingInput.CENSUS in plan.missing_inputs
        if counted:
            await self._cluster.census.refresh()
        if MissingInput.PODS in plan.missing_inputs and isinstance(item, Endpoint):
            try:
                pods = await self._cluster.pods_of(item.namespace or self._policy.namespace, name)
            except ClusterError as error:
                warning = Cause(Reason.PODS_UNKNOWN, f"the pods cannot be listed: {error.message}")
                requeue = soonest(plan.requeue_after, RequeueAfter(_PODS_RETRY_SECONDS, "list the pods again"))
                return replace(plan, warnings=(*plan.warnings, warning), requeue_after=requeue), None
        return self.plan_now(name, item, pods, with_census=counted), pods
