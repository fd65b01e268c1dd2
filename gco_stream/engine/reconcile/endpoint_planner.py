"""Collects everything that an endpoint's plan depends on (item, live objects, pods, fleet limits), and plans.

The reconciler and everything that only shows plans use it. Pods and the census cost calls, so they are fetched only if
a first plan cannot be made without them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from gco_stream.cluster.api.errors import ClusterError
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.deletion.orphan_tracker import synced_objects
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint, InvalidItem
from gco_stream.model.objects import PodHealth
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.plan import Delete, MissingInput, Plan, RequeueAfter, soonest
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import Census, FleetState, Policy

_PODS_RETRY_SECONDS = 15.0

Item = Endpoint | InvalidItem
Pods = tuple[PodHealth, ...] | None
ItemOf = Callable[[str], Item | None]
PodsOf = Callable[[str, str], Awaitable[Pods]]


def unsynced_reason(item: Item, unsynced: Mapping[str, str], policy: Policy) -> str:
    """Returns why an endpoint's live objects are unknown, or "" if they are known. `unsynced`: reasons by namespace."""
    if not unsynced:
        return ""
    return "; ".join(f"namespace {name}: {unsynced[name]}" for name in namespaces_of(item, policy) if name in unsynced)


def namespaces_of(item: Item, policy: Policy) -> tuple[str, ...]:
    """Returns the namespaces that may contain the objects of an item.

    There are none for an invalid item, because its objects are left unchanged.
    """
    if isinstance(item, InvalidItem):
        return ()
    return policy.namespaces if item.is_deleted else (item.namespace or policy.namespace,)


def names_claimed_by_others(name: str, item_of: ItemOf) -> frozenset[str]:
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


class CensusTaker(Protocol):
    """Counts the fleet; see gco_stream.engine.state.fleet_census."""

    async def refresh(self) -> None:
        """Counts the endpoints, unless the last count is less than 15 seconds old."""

    def excluding(self, name: str) -> Census:
        """Returns the last count without this endpoint."""

    def record_withdrawal(self, name: str) -> None:
        """Records that the endpoint's Ingress is about to be withdrawn."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What plans see of the cluster.

    `pods_of` lists the pods of a namespace and an `app`; it raises ClusterError. Without a `census`, plans that depend
    on it name it in their missing inputs.
    """

    cache: ClusterCache
    pods_of: PodsOf
    census: CensusTaker | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and its inputs. `unknown`: why live objects are unknown, "" if all are known; they are left unchanged."""

    plan: Plan
    inputs: PlanInputs
    unknown: str = ""


class EndpointPlanner:
    """Plans endpoints by name from the current state of table and cluster.

    `item_of` returns an item by name, None if there is none. `now`: wall clock with a time zone. Without a `guard`,
    removals that no item requests are planned without limits and without evidence.
    """

    def __init__(
        self, item_of: ItemOf, cluster: ClusterView, policy: Policy, now: Callable[[], datetime], guard: Guard | None
    ) -> None:
        self._item_of = item_of
        self._cluster = cluster
        self._policy = policy
        self._now = now
        self._guard = guard

    async def plan(self, name: str, pods: Pods = None, *, explain_pods: bool = False) -> Planned:
        """Plans an endpoint with all data that the plan depends on.

        `pods`: the pods if they were already listed. `explain_pods`: also list them if some are not ready, to show why.
        """
        first = self.plan_now(name, pods)
        item, missing = first.inputs.item, set(first.plan.missing_inputs)
        if isinstance(item, InvalidItem | None) or first.unknown:
            return first
        if explain_pods and pods is None and _lacks_pods(first.plan):
            missing.add(MissingInput.PODS)
        if not missing:
            return first
        census = self._cluster.census if MissingInput.CENSUS in missing else None
        if census is not None:
            await census.refresh()
        if MissingInput.PODS in missing:
            try:
                pods = await self._cluster.pods_of(item.namespace or self._policy.namespace, name)
            except ClusterError as error:
                return replace(first, plan=_without_pods(first.plan, error))
        return self.plan_now(name, pods, with_census=census is not None)

    def plan_now(self, name: str, pods: Pods = None, *, with_census: bool = False) -> Planned:
        """Plans from what is known without a call.

        An endpoint in a namespace that cannot be read gets no steps. If it is deleted, its objects are deleted in every
        namespace that can be read, and it is reported as deleted only once all can be read.
        """
        inputs = self._inputs(name, pods, with_census=with_census)
        plan, inputs = (plan_endpoint(inputs), inputs) if self._guard is None else self._guard.plan(inputs)
        unsynced = self._cluster.cache.unsynced
        if inputs.item is None or not unsynced:
            return Planned(plan, inputs)
        unknown = unsynced_reason(inputs.item, unsynced, self._policy)
        if unknown and not (isinstance(inputs.item, Endpoint) and inputs.item.is_deleted):
            return Planned(replace(plan, steps=()), inputs, unknown)
        return Planned(_in_readable_namespaces(plan, unsynced), inputs, unknown)

    def record(self, planned: Planned) -> None:
        """Records what the plan takes of the limits on the fleet. Call it before the next await, and before acting."""
        if self._guard is not None:
            self._guard.record(planned.plan, has_item=planned.inputs.item is not None)
        withdraws = any(isinstance(step, Delete) and step.withdraws for step in planned.plan.steps)
        if withdraws and self._cluster.census is not None:
            self._cluster.census.record_withdrawal(planned.plan.endpoint)

    def unsynced_namespaces(self, item: Item) -> list[str]:
        """Returns those namespaces of the item that cannot currently be read."""
        unsynced = self._cluster.cache.unsynced
        return [namespace for namespace in namespaces_of(item, self._policy) if namespace in unsynced]

    def _inputs(self, name: str, pods: Pods, *, with_census: bool) -> PlanInputs:
        item, cluster = self._item_of(name), self._cluster
        observed = synced_objects(cluster.cache, name) if item is None else cluster.cache.observed(name)
        fleet = FleetState(
            names_claimed_by_others=names_claimed_by_others(name, self._item_of),
            census=cluster.census.excluding(name) if with_census and cluster.census is not None else None,
        )
        return PlanInputs(name, item, replace(observed, pods=pods), fleet, self._now(), self._policy)


def _in_readable_namespaces(plan: Plan, unsynced: Mapping[str, str]) -> Plan:
    return replace(plan, steps=tuple(step for step in plan.steps if step.ref.namespace not in unsynced))


def _lacks_pods(plan: Plan) -> bool:
    return plan.report is not None and plan.report.ready < plan.report.desired


def _without_pods(plan: Plan, error: ClusterError) -> Plan:
    warning = Cause(Reason.PODS_UNKNOWN, f"the pods cannot be listed: {error.message}")
    requeue = soonest(plan.requeue_after, RequeueAfter(_PODS_RETRY_SECONDS, "list the pods again"))
    return replace(plan, warnings=(*plan.warnings, warning), requeue_after=requeue)
