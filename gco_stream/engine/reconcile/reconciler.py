"""Reconciles one endpoint: reads the item, observes the live objects, plans, executes the plan and reports.

Reconciles are level-triggered: their outcome does not depend on the trigger. After each executed plan, a new one is
made from the API server's responses until nothing is left to do, so the report describes the live objects.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.reconcile.endpoint_planner import EndpointPlanner, Planned, Pods
from gco_stream.engine.reconcile.executor import PlanExecutor, StepFailure
from gco_stream.engine.reconcile.status_writer import StatusWriter
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.model.objects import ObjectRef
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.planner import plan_after_failures
from gco_stream.planning.policies import contested
from gco_stream.planning.types.decision import RequeueAfter, soonest
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.steps import Apply, Part, Replace, Step

_MAX_ROUNDS = 12
_APPLIES_BEFORE_CONTESTED = 3
_FAILURES_BEFORE_REPORT = 3


class Result(StrEnum):
    """The result of a reconcile.

    FAILED is retried with back-off. REJECTED means that the API server rejected every step that failed; the same steps
    are retried rarely or never. BROKEN is a bug in the controller; it is retried like FAILED.
    """

    IN_SYNC = "in_sync"
    CHANGED = "changed"
    GONE = "gone"
    FAILED = "failed"
    REJECTED = "rejected"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The outcome of a reconcile. `steps`: the executed steps. `plan`: the last plan, None if there was none.

    `retry_after`: seconds that the server asked to wait. `contested`: another field manager keeps changing an object.
    `unreported`: the report is not in the table yet. `failure_key`: key shared by all endpoints that fail for the same
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


@dataclass(slots=True)
class _Run:
    """The state of one reconcile across its rounds.

    `applies`: how many times each object was applied or replaced. `confirmed`: the item has been marked stale, so it is
    read again before a removal.
    """

    name: str
    objects_first: bool
    on_applied: Callable[[], None]
    done: list[Step] = field(default_factory=list)
    applies: Counter[ObjectRef] = field(default_factory=Counter)
    pods: Pods = None
    confirmed: bool = False

    def finished(self, plan: Plan, *, unreported: bool = False) -> ReconcileResult:
        """Returns the outcome if nothing is left to do or, with `unreported`, nothing except the report."""
        result = Result.CHANGED if self.done or unreported else Result.IN_SYNC
        return ReconcileResult(result, tuple(self.done), plan.requeue_after, plan=plan, unreported=unreported)

    def failed(self, *errors: Cause, plan: Plan | None = None, key: str = "") -> ReconcileResult:
        """Returns the outcome of a failure that is retried."""
        return ReconcileResult(Result.FAILED, tuple(self.done), errors=errors, plan=plan, failure_key=key)


class Reconciler:
    """Reconciles endpoints by name. The work queue never runs two reconciles of the same name at once.

    `failures_of` returns the number of consecutive failures of a name.
    """

    def __init__(
        self,
        items: ItemCache,
        planner: EndpointPlanner,
        executor: PlanExecutor,
        writer: StatusWriter,
        guard: Guard,
        *,
        failures_of: Callable[[str], int],
    ) -> None:
        self._items = items
        self._planner = planner
        self._executor = executor
        self._writer = writer
        self._guard = guard
        self._failures_of = failures_of

    async def reconcile(
        self, name: str, *, objects_first: bool = False, on_applied: Callable[[], None] = lambda: None
    ) -> ReconcileResult:
        """Brings one endpoint to its desired state. Raises AWSError, and NotLeading if this process may not act.

        `objects_first`: leave the report for a later reconcile, because other endpoints are waiting for their objects.
        `on_applied` is called each time a plan made from the newest known item has been executed.
        """
        run = _Run(name, objects_first, on_applied)
        for _ in range(_MAX_ROUNDS):
            await self._writer.read_if_stale(name)
            planned = await self._planner.plan(name, run.pods)
            self._planner.record(planned)
            item, plan, run.pods = planned.inputs.item, planned.plan, planned.inputs.observed.pods
            if item is not None and planned.unknown and not plan.steps:
                return await self._fail_unsynced(run, item, planned)
            ended: ReconcileResult | None = None
            if item is not None and plan.report_first:
                await self._report(item, plan)
            elif plan.steps:
                ended = await self._execute(run, planned)
            elif item is None:
                ended = await self._finish_orphan(run, plan)
            elif plan.write_report and objects_first:
                ended = run.finished(plan, unreported=True)
            elif plan.write_report:
                await self._report(item, plan)
            elif plan.table_change is None or not await self._writer.change_table(name, plan.table_change):
                ended = run.finished(plan)
            if ended is not None:
                return ended
        return run.failed(Cause(Reason.NOT_CONVERGING, "the item or its objects change faster than they can be read"))

    def is_current(self, name: str) -> bool:
        """Returns whether the cached item is the newest known version."""
        return self._items.stale_mark(name) is None

    async def _report(self, item: Endpoint | InvalidItem, plan: Plan) -> None:
        if plan.report is not None:
            await self._writer.write(item, plan.report)

    async def _execute(self, run: _Run, planned: Planned) -> ReconcileResult | None:
        """Executes the steps if the guard permits them, and otherwise prepares the removal.

        Returns None if the endpoint must be planned again.
        """
        plan = planned.plan
        if not self._guard.permits(plan) or (planned.inputs.item is None and not run.confirmed):
            await self._reserve_deletion(run, plan)
            return None
        result = await self._executor.execute(plan)
        run.done += result.done
        run.applies.update(step.ref for step in result.done if isinstance(step, Apply | Replace))
        if failures := [failure for failure in result.failures if not failure.stale]:
            return await self._fail_steps(run, planned, failures)
        if self.is_current(run.name):
            run.on_applied()
        if contested_refs := [ref for ref, count in run.applies.items() if count >= _APPLIES_BEFORE_CONTESTED]:
            return await self._fail_contested(run, contested_refs)
        return None

    async def _reserve_deletion(self, run: _Run, plan: Plan) -> None:
        """Reserves deletion budget if the removal needs it, then forces a re-read of the item."""
        if not self._guard.permits(plan):
            await self._guard.reserve(plan)
        # Scans and stream records may be outdated; only a consistent read is proof.
        self._items.mark_stale(run.name)
        run.confirmed = True

    async def _finish_orphan(self, run: _Run, plan: Plan) -> ReconcileResult:
        # A wiped table leaves thousands of orphans, and nothing else on this path yields to the event loop.
        await asyncio.sleep(0)
        self._executor.forget(run.name)
        result = Result.GONE if plan.limited_by is None else Result.IN_SYNC
        return ReconcileResult(result, tuple(run.done), plan.requeue_after, plan=plan)

    async def _fail_unsynced(self, run: _Run, item: Endpoint | InvalidItem, planned: Planned) -> ReconcileResult:
        error = Cause(Reason.NAMESPACE_UNREADABLE, planned.unknown)
        if planned.inputs.policy.region in item.target_regions:
            await self._report_errors(planned, {Part.MAIN: error})
        unsynced = self._planner.unsynced_namespaces(item)
        return run.failed(error, plan=planned.plan, key=unreadable_namespace(unsynced[0]) if unsynced else "")

    async def _fail_steps(self, run: _Run, planned: Planned, failures: list[StepFailure]) -> ReconcileResult:
        final = all(failure.final for failure in failures)
        # A temporary error is reported only if it persists. Otherwise, an overloaded API server would cause a storm of
        # table writes.
        if final or self._failures_of(run.name) + 1 >= _FAILURES_BEFORE_REPORT:
            await self._report_errors(planned, {failure.step.part: failure.cause for failure in failures})
        waits = [failure.error.retry_after for failure in failures if failure.error.retry_after is not None]
        return ReconcileResult(
            Result.REJECTED if final else Result.FAILED,
            tuple(run.done),
            requeue_after=soonest(planned.plan.requeue_after, *(failure.requeue_after for failure in failures)),
            errors=tuple(failure.cause for failure in failures),
            retry_after=max(waits, default=None),
            plan=planned.plan,
            failure_key=failures[0].key,
        )

    async def _fail_contested(self, run: _Run, contested_refs: list[ObjectRef]) -> ReconcileResult:
        """Annotates the objects that another field manager keeps changing, so later plans leave them unchanged."""
        planned = self._planner.plan_now(run.name)
        plan, inputs = planned.plan, planned.inputs
        if inputs.item is None:
            return ReconcileResult(Result.GONE, tuple(run.done))
        live = inputs.observed.objects
        annotations = contested.annotate_all_contested(plan.steps, contested_refs, live, inputs.now)
        if annotations:
            run.done += (await self._executor.execute(replace(plan, steps=annotations))).done
            planned = self._planner.plan_now(run.name)
        still_contested = [step for step in planned.plan.steps if step.ref in contested_refs]
        if not any(isinstance(step, Apply | Replace) for step in still_contested):
            requeue = RequeueAfter(0, "apply the uncontested objects")
            return ReconcileResult(Result.CHANGED, tuple(run.done), requeue_after=requeue)
        reasons = "; ".join(step.reason for step in still_contested)
        message = f"another field manager keeps changing {', '.join(map(str, contested_refs))}: {reasons}"
        error = Cause(Reason.CONTESTED, message)
        await self._report_errors(planned, {Part.MAIN: error})
        return replace(run.failed(error, plan=planned.plan), contested=True)

    async def _report_errors(self, planned: Planned, causes: dict[Part, Cause]) -> None:
        """Reports the causes, then makes the change to the table that the report allows, if any."""
        name = planned.inputs.name
        if (item := self._items.get(name)) is None:
            return
        plan = plan_after_failures(planned.plan, replace(planned.inputs, item=item), causes)
        if plan.write_report:
            await self._report(item, plan)
            if (item := self._items.get(name)) is None:
                return
            plan = plan_after_failures(planned.plan, replace(planned.inputs, item=item), causes)
        if plan.table_change is not None:
            await self._writer.change_table(name, plan.table_change)
