"""Planning of an endpoint from its current inputs: item, live objects, pods and fleet-wide limits.

The reconciler, the status page and the administrative commands use it. The pods require a request, and the census a
count of the whole fleet. They are therefore fetched only if a first plan lacks them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from gco_stream.cluster.api.errors import ClusterError
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.deletion.orphan_tracker import synced_objects
from gco_stream.engine.reconcile.path_owner import Item, ItemOf, PathOwners
from gco_stream.engine.state.ingress_paths import IngressPaths
from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.model.objects import Kind, ObjectRef, PodHealth
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.policies import ingress_paths
from gco_stream.planning.types.decision import MissingInput, RequeueAfter, soonest
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import Census, FleetState, Policy
from gco_stream.planning.types.steps import Delete

_PODS_RETRY_SECONDS = 15.0

Pods = tuple[PodHealth, ...] | None
PodsOf = Callable[[str, str], Awaitable[Pods]]


def unsynced_reason(item: Item, unsynced: Mapping[str, str], policy: Policy) -> str:
    """Returns why an endpoint's live objects are unknown, or "" if they are known. `unsynced`: reasons by namespace."""
    if not unsynced:
        return ""
    return "; ".join(f"namespace {name}: {unsynced[name]}" for name in namespaces_of(item, policy) if name in unsynced)


def namespaces_of(item: Item, policy: Policy) -> tuple[str, ...]:
    """Returns the namespaces that may contain the objects of an item.

    The tuple is empty for an invalid item, because its objects are left unchanged.
    """
    if isinstance(item, InvalidItem):
        return ()
    return policy.namespaces if item.is_deleted else (item.namespace or policy.namespace,)


def names_claimed_by_others(name: str, item_of: ItemOf) -> frozenset[str]:
    """Returns the names of an endpoint's objects that another item claims as well.

    These are the name of its canary if there is an item with that name, and its own name if it is the name of another
    endpoint's canary.
    """
    canary, base = names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)
    claimed = {canary} if item_of(canary) is not None else set()
    other = item_of(base) if base != name else None
    if isinstance(other, Endpoint) and other.spec is not None and other.has_canary:
        claimed.add(name)
    return frozenset(claimed)


class CensusTaker(Protocol):
    """The source of the fleet census; see gco_stream.engine.state.fleet_census."""

    async def refresh(self) -> None:
        """Counts the endpoints, unless the last count is less than 15 seconds old."""

    def excluding(self, name: str) -> Census:
        """Returns the last count without this endpoint."""

    def record_withdrawal(self, name: str) -> None:
        """Records that the endpoint's Ingress is about to be withdrawn."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The parts of the cluster that planning reads.

    `pods_of`: lists the pods with an `app` label in a namespace; raises ClusterError. `census`: None if it is not
    available; plans that depend on it then have it in `missing_inputs`.
    """

    cache: ClusterCache
    pods_of: PodsOf
    census: CensusTaker | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and its inputs. `unknown`: why some live objects are unknown and left unchanged; "" if there are none."""

    plan: Plan
    inputs: PlanInputs
    unknown: str = ""


class EndpointPlanner:
    """Plans endpoints by name from the current state of table and cluster.

    `item_of` returns an item by name, None if there is none. `paths`: the ingress paths of all items. `now`: wall clock
    with a time zone. Without a `guard`, removals that no item requests are planned without limits and without evidence.
    """

    def __init__(
        self,
        item_of: ItemOf,
        paths: IngressPaths,
        cluster: ClusterView,
        policy: Policy,
        now: Callable[[], datetime],
        guard: Guard | None,
    ) -> None:
        self._item_of = item_of
        self._paths = paths
        self._cluster = cluster
        self._policy = policy
        self._now = now
        self._guard = guard

    async def plan(self, name: str, pods: Pods = None, *, explain_pods: bool = False) -> Planned:
        """Returns the plan of an endpoint, after fetching the inputs that a first plan lacks.

        `pods`: the pods if they were already listed. `explain_pods`: also list them if replicas are not ready, to show
        the reasons.
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
        """Returns the plan of an endpoint from inputs that require no calls.

        If the endpoint's namespace cannot be read, the plan has no steps. The plan of a deleted endpoint has steps only
        for objects in namespaces that can be read. In both cases, `unknown` contains the reason. `with_census`: use the
        last census.
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
        """Records the plan's use of fleet-wide limits, and the endpoint whose ingress path it waits for.

        Call it before the next await and before executing the plan.
        """
        self._paths.set_owner(planned.inputs.name, planned.inputs.fleet.ingress_path_owner)
        if self._guard is not None:
            self._guard.record(planned.plan, has_item=planned.inputs.item is not None)
        withdraws = any(isinstance(step, Delete) and step.withdraws for step in planned.plan.steps)
        if withdraws and self._cluster.census is not None:
            self._cluster.census.record_withdrawal(planned.plan.endpoint)

    def unsynced_namespaces(self, item: Item) -> list[str]:
        """Returns the namespaces of the item that currently cannot be read."""
        unsynced = self._cluster.cache.unsynced
        return [namespace for namespace in namespaces_of(item, self._policy) if namespace in unsynced]

    def _inputs(self, name: str, pods: Pods, *, with_census: bool) -> PlanInputs:
        item, cluster = self._item_of(name), self._cluster
        observed = synced_objects(cluster.cache, name) if item is None else cluster.cache.observed(name)
        owners = PathOwners(self._policy.region, self._item_of, self._paths, self._serves_path)
        fleet = FleetState(
            names_claimed_by_others=names_claimed_by_others(name, self._item_of),
            ingress_path_owner=owners.owner_of(name),
            census=cluster.census.excluding(name) if with_census and cluster.census is not None else None,
        )
        return PlanInputs(name, item, replace(observed, pods=pods), fleet, self._now(), self._policy)

    def _serves_path(self, name: str, path: str) -> bool:
        """Returns whether a live Ingress of the endpoint has a path that overlaps this one."""
        refs = (ObjectRef(Kind.INGRESS, one, names.ingress_name(name)) for one in self._policy.namespaces)
        return any(ingress_paths.serves(self._cluster.cache.get(ref), path) for ref in refs)


def _in_readable_namespaces(plan: Plan, unsynced: Mapping[str, str]) -> Plan:
    return replace(plan, steps=tuple(step for step in plan.steps if step.ref.namespace not in unsynced))


def _lacks_pods(plan: Plan) -> bool:
    return plan.report is not None and plan.report.ready < plan.report.desired


def _without_pods(plan: Plan, error: ClusterError) -> Plan:
    warning = Cause(Reason.PODS_UNKNOWN, f"the pods cannot be listed: {error.message}")
    requeue = soonest(plan.requeue_after, RequeueAfter(_PODS_RETRY_SECONDS, "list the pods again"))
    return replace(plan, warnings=(*plan.warnings, warning), requeue_after=requeue)
