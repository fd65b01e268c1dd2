"""Reconciles one endpoint: reads the item, observes the live objects, plans, executes the plan and reports.

Reconciles are level-triggered: the trigger makes no difference. After a plan is executed, a new one is made from the
responses, until nothing is left to do, so the report describes the live objects.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gco_stream.aws.table_errors import Fenced, ItemNotFound
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.reconcile.executor import PlanExecutor, StepFailure
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint, InvalidItem
from gco_stream.model.objects import ObjectRef, PodHealth
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.planner import plan_after_failures, plan_endpoint
from gco_stream.planning.policies import contested
from gco_stream.planning.types.plan import (
    Apply,
    Delete,
    MissingInput,
    Part,
    Plan,
    Replace,
    RequeueAfter,
    Step,
    TableChange,
    soonest,
)
from gco_stream.planning.types.policy import FleetState, Policy
from gco_stream.table.endpoints import EndpointTable

_MAX_ROUNDS = 12
_APPLIES_BEFORE_CONTESTED = 3
_FAILURES_BEFORE_REPORT = 3
_PODS_RETRY_SECONDS = 15.0

Pods = tuple[PodHealth, ...] | None
PodsOf = Callable[[str, str], Awaitable[tuple[PodHealth, ...]]]


class Epoch(Protocol):
    """Orders the writes of a leader after those of its predecessor."""

    @property
    def epoch(self) -> int:
        """This leader's epoch, in microseconds."""

    async def raise_epoch(self, above: int) -> int:
        """Returns a new epoch above `above`, the higher one that was found in the table."""


class Result(StrEnum):
    """How a reconcile ended. FAILED is retried, REJECTED is final until something changes, BROKEN is a bug."""

    IN_SYNC = "in_sync"
    CHANGED = "changed"
    GONE = "gone"
    FAILED = "failed"
    REJECTED = "rejected"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """How a reconcile ended.

    `retry_after`: seconds that the server asked to wait. `contested`: another field manager keeps changing the object.
    `unreported`: the report is not in the table yet. `failure_key`: shared by all endpoints that fail for the same
    cause, "" if the cause affects only this endpoint.
    """

    result: Result
    steps: tuple[Step, ...] = ()
    requeue_after: RequeueAfter | None = None
    errors: tuple[Cause, ...] = ()
    retry_after: float | None = None
    contested: bool = False
    unreported: bool = False
    plan: Plan | None = None
    failure_key: str = ""


def unreadable_namespace(namespace: str) -> str:
    """Returns the failure key of endpoints whose objects are in a namespace that cannot be read."""
    return f"namespace {namespace}"


def unsynced_reason(item: Endpoint | InvalidItem, unsynced: Mapping[str, str], policy: Policy) -> str:
    """Returns why an endpoint's live objects are unknown, "" if they are known. `unsynced`: reasons by namespace."""
    if not unsynced:
        return ""
    return "; ".join(f"namespace {name}: {unsynced[name]}" for name in namespaces_of(item, policy) if name in unsynced)


def namespaces_of(item: Endpoint | InvalidItem, policy: Policy) -> tuple[str, ...]:
    """Returns the namespaces that may have objects of an item; none for an invalid item, which is left unchanged."""
    if isinstance(item, InvalidItem):
        return ()
    return policy.namespaces if item.is_deleted else (item.namespace or policy.namespace,)


def names_claimed_by_others(name: str, item_of: Callable[[str], Endpoint | InvalidItem | None]) -> frozenset[str]:
    """Returns the names of an endpoint's objects that another item claims: the canary's name if there is an item with
    that name, and its own name if that is the name of another endpoint's canary.
    """
    canary, base = names.canary_name(name), name.removesuffix(names.CANARY_SUFFIX)
    claimed = {canary} if item_of(canary) is not None else set()
    other = item_of(base) if base != name else None
    if isinstance(other, Endpoint) and other.spec is not None and other.spec.canary is not None:
        claimed.add(name)
    return frozenset(claimed)


def _done(steps: Sequence[Step]) -> Result:
    return Result.CHANGED if steps else Result.IN_SYNC


class Reconciler:
    """Reconciles endpoints by name. The work queue never runs two reconciles of the same name at once.

    `now`: wall clock with a time zone. `failures_of` returns the number of consecutive failures of a name. `on_write`
    gets the kind of each write to the table: status, promotion or purge.
    """

    def __init__(
        self,
        *,
        items: ItemCache,
        table: EndpointTable,
        cache: ClusterCache,
        executor: PlanExecutor,
        policy: Policy,
        guard: Guard,
        census: FleetCensus,
        pods_of: PodsOf,
        epoch: Epoch,
        now: Callable[[], datetime],
        failures_of: Callable[[str], int],
        on_write: Callable[[str], None],
    ) -> None:
        self._items = items
        self._table = table
        self._cache = cache
        self._executor = executor
        self._policy = policy
        self._guard = guard
        self._census = census
        self._pods_of = pods_of
        self._epoch = epoch
        self._now = now
        self._failures_of = failures_of
        self._on_write = on_write

    async def reconcile(
        self, name: str, *, objects_first: bool = False, on_applied: Callable[[], None] = lambda: None
    ) -> ReconcileResult:
        """Brings one endpoint to its desired state. Raises TableError, and NotLeading if this process may not act.

        `objects_first`: other endpoints wait for their objects, so the report is left for a later turn. `on_applied` is
        called each time a plan made from the newest known item has been executed.
        """
        done: list[Step] = []
        applies: Counter[ObjectRef] = Counter()
        pods: Pods = None
        confirmed = False
        for _ in range(_MAX_ROUNDS):
            await self.read_if_stale(name)
            item = self._items.get(name)
            plan, pods, unknown = await self._plan_from_cluster(name, item, pods)
            if item is not None and unknown and not plan.steps:
                return await self._fail_unsynced(name, item, unknown, done)
            if item is not None and plan.report_first:
                await self._report(name, item, plan)
            elif plan.steps:
                if not self._guard.permits(plan) or (item is None and not confirmed):
                    confirmed = await self._reserve_deletion(name, plan)
                    continue
                result = await self._executor.execute(plan)
                done += result.done
                applies.update(step.ref for step in result.done if isinstance(step, Apply | Replace))
                failures = [failure for failure in result.failures if not failure.stale]
                if failures:
                    return await self._failed(name, plan, failures, done)
                if self._items.stale_mark(name) is None:
                    on_applied()
                if contested_refs := [ref for ref, count in applies.items() if count >= _APPLIES_BEFORE_CONTESTED]:
                    return await self._contested(name, contested_refs, done)
            elif item is None:
                return await self._finish_orphan(name, plan, done)
            elif plan.write_report and objects_first:
                return ReconcileResult(Result.CHANGED, tuple(done), plan.requeue_after, plan=plan, unreported=True)
            elif plan.write_report:
                await self._report(name, item, plan)
            elif plan.table_change is not None:
                if not await self._apply_table_change(name, plan.table_change):
                    return ReconcileResult(_done(done), tuple(done), plan=plan)
            else:
                return ReconcileResult(_done(done), tuple(done), plan.requeue_after, plan=plan)
        error = Cause(Reason.NOT_CONVERGING, "the item or its objects change faster than they can be read")
        return ReconcileResult(Result.FAILED, tuple(done), errors=(error,))

    async def _plan_from_cluster(
        self, name: str, item: Endpoint | InvalidItem | None, pods: Pods
    ) -> tuple[Plan, Pods, str]:
        """Returns the plan, the pods if they were listed, and why some live objects are unknown."""
        if item is None:
            return self._guard.decide_orphan(name), pods, ""
        self._guard.orphans.item_seen(name)
        unsynced = self._cache.unsynced
        unknown = unsynced_reason(item, unsynced, self._policy)
        if unknown and not (isinstance(item, Endpoint) and item.is_deleted):
            return replace(self._plan(name, item), steps=()), pods, unknown
        plan, pods = await self._plan_with_inputs(name, item, pods)
        # A deleted endpoint's objects are deleted in every namespace that can be read. It is reported as deleted only
        # once all namespaces can be read.
        return (
            replace(plan, steps=tuple(step for step in plan.steps if step.ref.namespace not in unsynced)),
            pods,
            unknown,
        )

    async def read_if_stale(self, name: str) -> None:
        """Reads the item if the cached one is marked stale. Raises TableError."""
        mark = self._items.stale_mark(name)
        if mark is None:
            return
        item = await self._table.get(name)
        if item is None:
            self._items.remove(name)
        else:
            self._items.put(item)
        self._items.clear_stale(name, mark)

    async def _reserve_deletion(self, name: str, plan: Plan) -> bool:
        """Reserves deletion budget if the removal needs it, then forces a re-read of the item."""
        if not self._guard.permits(plan):
            await self._guard.reserve(plan)
        # Scans and stream records may be outdated; only a consistent read is proof.
        self._items.mark_stale(name)
        return True

    async def _finish_orphan(self, name: str, plan: Plan, done: list[Step]) -> ReconcileResult:
        # A wiped table leaves thousands of orphans, and nothing else on this path yields to the event loop.
        await asyncio.sleep(0)
        self._executor.forget(name)
        result = Result.GONE if plan.limited_by is None else Result.IN_SYNC
        return ReconcileResult(result, tuple(done), plan.requeue_after, plan=plan)

    async def _fail_unsynced(
        self, name: str, item: Endpoint | InvalidItem, unknown: str, done: list[Step]
    ) -> ReconcileResult:
        plan = replace(self._plan(name, item), steps=())
        error = Cause(Reason.NAMESPACE_UNREADABLE, unknown)
        if self._policy.region in item.target_regions and plan.report is not None:
            await self._report_errors(name, plan, {Part.MAIN: error})
        unsynced = [namespace for namespace in namespaces_of(item, self._policy) if namespace in self._cache.unsynced]
        key = unreadable_namespace(unsynced[0]) if unsynced else ""
        return ReconcileResult(Result.FAILED, tuple(done), errors=(error,), plan=plan, failure_key=key)

    async def _plan_with_inputs(self, name: str, item: Endpoint | InvalidItem, pods: Pods) -> tuple[Plan, Pods]:
        """Returns the plan, made with the data that it needs, and the pods if they were listed."""
        plan = self._plan(name, item, pods)
        if not plan.missing_inputs:
            return plan, pods
        counted = MissingInput.CENSUS in plan.missing_inputs
        if counted:
            await self._census.refresh()
        if MissingInput.PODS in plan.missing_inputs and isinstance(item, Endpoint):
            try:
                pods = await self._pods_of(item.namespace or self._policy.namespace, name)
            except ClusterError as error:
                warning = Cause(Reason.PODS_UNKNOWN, f"the pods cannot be listed: {error.message}")
                requeue = soonest(plan.requeue_after, RequeueAfter(_PODS_RETRY_SECONDS, "list the pods again"))
                return replace(plan, warnings=(*plan.warnings, warning), requeue_after=requeue), None
        return self._plan(name, item, pods, counted=counted), pods

    def _plan(self, name: str, item: Endpoint | InvalidItem, pods: Pods = None, *, counted: bool = False) -> Plan:
        fleet = FleetState(
            names_claimed_by_others=names_claimed_by_others(name, self._items.get),
            census=self._census.beside(name) if counted else None,
        )
        observed = replace(self._cache.observed(name), pods=pods)
        plan = self._guard.decide(
            name, fleet, lambda fleet: plan_endpoint(item, observed, fleet, self._now(), self._policy)
        )
        if any(isinstance(step, Delete) and step.withdraws for step in plan.steps):
            self._census.record_withdrawal(name)
        return plan

    async def _report(self, name: str, item: Endpoint | InvalidItem, plan: Plan) -> None:
        report = plan.report
        if report is None:
            return
        status: dict[str, object] = {
            "state": str(report.state),
            "replicas_ready": report.ready,
            "replicas_desired": report.desired,
            "last_sync": self._now().isoformat(),
            "epoch": self._epoch.epoch,
            "intent": item.intent,
        }
        if report.error:
            status["error"] = report.error
            status["reason"] = str(report.reason)
        try:
            image = await self._table.write_status(name, self._policy.region, status, self._epoch.epoch)
        except ItemNotFound:
            self._items.mark_stale(name)
        except Fenced as superseded:
            await self._epoch.raise_epoch(superseded.stored_epoch)
        else:
            self._on_write("status")
            self._items.put(image)

    async def _apply_table_change(self, name: str, change: TableChange) -> bool:
        """Completes the rollout or purges the item. Returns False if the item is no longer cached.

        If a user's write came first, the item is read again.
        """
        last_read = self._items.wire(name)
        if last_read is None:
            return False
        if change is TableChange.PURGE:
            if await self._table.purge(last_read):
                self._on_write("purge")
            self._items.mark_stale(name)
            return True
        image = await self._table.promote(last_read)
        if image is None:
            self._items.mark_stale(name)
        else:
            self._on_write("promotion")
            self._items.put(image)
        return True

    async def _failed(self, name: str, plan: Plan, failures: list[StepFailure], done: list[Step]) -> ReconcileResult:
        final = all(failure.final for failure in failures)
        # A temporary error is reported only if it persists, so that an overloaded API server does not cause a storm of
        # table writes.
        if final or self._failures_of(name) + 1 >= _FAILURES_BEFORE_REPORT:
            await self._report_errors(name, plan, {failure.step.part: failure.cause for failure in failures})
        waits = [failure.error.retry_after for failure in failures if failure.error.retry_after is not None]
        return ReconcileResult(
            Result.REJECTED if final else Result.FAILED,
            tuple(done),
            requeue_after=soonest(
                plan.requeue_after,
                *(failure.requeue_after for failure in failures if failure.requeue_after is not None),
            ),
            errors=tuple(failure.cause for failure in failures),
            retry_after=max(waits, default=None),
            plan=plan,
            failure_key=failures[0].key,
        )

    async def _contested(self, name: str, contested_refs: list[ObjectRef], done: list[Step]) -> ReconcileResult:
        item = self._items.get(name)
        if item is None:
            return ReconcileResult(Result.GONE, tuple(done))
        plan = self._plan(name, item)
        annotations = contested.annotate_all_contested(
            plan.steps, contested_refs, self._cache.observed(name).objects, self._now()
        )
        if annotations:
            # Later plans leave the annotated objects unchanged.
            done += (await self._executor.execute(replace(plan, steps=annotations))).done
            plan = self._plan(name, item)
        if not any(step.ref in contested_refs for step in plan.steps if isinstance(step, Apply | Replace)):
            return ReconcileResult(
                Result.CHANGED, tuple(done), requeue_after=RequeueAfter(0, "apply the uncontested objects")
            )
        reasons = "; ".join(step.reason for step in plan.steps if step.ref in contested_refs)
        message = f"another field manager keeps changing {', '.join(map(str, contested_refs))}: {reasons}"
        error = Cause(Reason.CONTESTED, message)
        await self._report_errors(name, plan, {Part.MAIN: error})
        return ReconcileResult(Result.FAILED, tuple(done), errors=(error,), contested=True, plan=plan)

    async def _report_errors(self, name: str, plan: Plan, causes: dict[Part, Cause]) -> None:
        item = self._items.get(name)
        if item is None:
            return
        failed_plan = plan_after_failures(plan, item, causes, self._now(), self._policy)
        if failed_plan.write_report:
            await self._report(name, item, failed_plan)
