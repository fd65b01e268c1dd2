"""The controller: its workers take keys from the queue, reconcile them, and requeue them if necessary."""

import asyncio
import uuid
from collections.abc import Callable, Iterable
from functools import partial

import structlog

from gco_stream.aws.errors import AWSError, Contended, ItemTooLarge
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.engine.reconcile.observers import Observers
from gco_stream.engine.reconcile.reconciler import Reconciler, ReconcileResult, Result
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Priority, WorkItem, WorkQueue
from gco_stream.engine.workqueue.retries import Backoffs, Retries
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.engine.workqueue.worker_pool import WorkerPool
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.api_metrics import RECONCILE_ID
from gco_stream.ops.queue_metrics import ResultLabel
from gco_stream.planning.types.decision import FleetLimit, RequeueAfter

_log = structlog.get_logger(__name__)

_URGENT = frozenset({Trigger.STREAM, Trigger.REPORT})
# If a key has only these triggers, it may have been queued by the watch event of one of our own writes.
_ECHO = frozenset({Trigger.CLUSTER, Trigger.REPORT})


class Controller:
    """Reconciles the keys of the queue. `clock`: the queue's clock, in seconds.

    `waiters_of` returns the endpoints to reconcile after this one, because they wait for its ingress path.
    """

    def __init__(
        self,
        queue: WorkQueue,
        reconciler: Reconciler,
        tokens: SyncTokens,
        backoffs: Backoffs,
        observers: Observers,
        clock: Callable[[], float],
        waiters_of: Callable[[str], Iterable[str]],
    ) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._tokens = tokens
        self._retries = Retries(backoffs.failing, self._wake)
        self._contested = backoffs.contested
        self._metrics = observers.metrics
        self._history = observers.history
        self._events = observers.events
        self._clock = clock
        self._waiters_of = waiters_of
        self._limited: dict[str, FleetLimit] = {}

    def count_limited(self, limit: FleetLimit) -> int:
        """Returns the number of endpoints whose last plan was held back by this fleet limit."""
        return sum(one is limit for one in self._limited.values())

    async def run(self, count: int) -> None:
        """Processes `count` keys at a time, and more while workers are blocked by slow requests.

        Returns when the queue is shut down and in-flight work is finished.
        """
        async with asyncio.TaskGroup() as group:
            WorkerPool(group, count, self._work)

    async def _work(self, pool: WorkerPool) -> None:
        while not pool.has_surplus and (work := await self._queue.get()) is not None:
            began = self._clock()
            self._metrics.queue.got(began - work.since)
            try:
                with pool.running():
                    await self._reconcile(work)
            finally:
                self._queue.done(work.key)
                self._metrics.queue.done(self._clock() - began)
            # A reconcile of an endpoint that is in sync never yields. Thousands in a row would block the event loop.
            await asyncio.sleep(0)

    async def _reconcile(self, work: WorkItem) -> None:
        name, started = work.key, self._clock()
        if wait := self._retries.server_wait(name, started):
            # The server asked to wait, and a change to the endpoint does not shorten that wait.
            trigger = Trigger.STREAM if Trigger.STREAM in work.triggers else work.triggers[0]
            self._queue.add_after(name, wait, trigger, work.records)
            return
        if Trigger.CLUSTER in work.triggers and _ECHO.issuperset(work.triggers) and self._tokens.is_in_sync(name):
            # This is the watch event of our own write: the last plan was made from the same objects. A key that was
            # also queued by REQUEUE is reconciled, because its plan may depend on the time.
            if Trigger.REPORT in work.triggers:
                self._report_later(work)
            return
        with structlog.contextvars.bound_contextvars(**_log_context(work)):
            await self._reconcile_now(work, started)

    async def _reconcile_now(self, work: WorkItem, started: float) -> None:
        """Reconciles the key, requeues it if necessary, and records the outcome."""
        name = work.key
        try:
            # During the backlog of a start, missing objects are more urgent than reports. Each report waits for its
            # own turn, unless a user is waiting for it.
            urgent = not _URGENT.isdisjoint(work.triggers) or not self._queue.low_priority_depth
            outcome = await self._reconciler.reconcile(
                name, objects_first=not urgent, on_applied=partial(self._history.record_applied, name)
            )
        except ItemTooLarge as error:
            # The objects are in sync; only the report does not fit. Only the item's author can fix that.
            message = f"the item is too large for this region's report: {error.message}; shorten the item"
            outcome = ReconcileResult(Result.FAILED, errors=(Cause(Reason.ITEM_TOO_LARGE, message),))
        except (AWSError, ClusterError) as error:
            # This includes NotLeading: the Lease is renewed before the retry, or this task is cancelled.
            wait = error.retry_after if isinstance(error, ClusterError) else None
            reason = Reason.TABLE_ERROR if isinstance(error, AWSError) else Reason.API_ERROR
            errors = (Cause(reason, str(error)),)
            # Other writers of an item affect no other endpoint.
            key = "" if isinstance(error, Contended) else type(error).__name__
            outcome = ReconcileResult(Result.FAILED, errors=errors, retry_after=wait, failure_key=key)
        except Exception as error:  # noqa: BLE001 - it is logged
            # A bug that one endpoint triggers must not stop the others (invariant I8 in docs/reliability.md).
            _log.exception("unexpected error in reconcile")
            message = f"{type(error).__name__}: {error}"
            outcome = ReconcileResult(Result.BROKEN, errors=(Cause(Reason.INTERNAL_ERROR, message),))
        self._requeue_or_forget(work, outcome)
        for waiter in self._waiters_of(name):
            self._queue.add(waiter, Priority.LOW, Trigger.INGRESS_PATH)
        self._history.record_reconcile(
            name,
            work.triggers,
            outcome,
            took=self._clock() - started,
            current=self._reconciler.is_current(name),
        )
        self._events.publish(name, outcome)
        self._record_metrics(work, outcome, started)

    def _requeue_or_forget(self, work: WorkItem, outcome: ReconcileResult) -> None:
        name, now = work.key, self._clock()
        self._queue.cancel_delay(name)
        if outcome.plan is not None and outcome.plan.limited_by is not None:
            self._limited[name] = outcome.plan.limited_by
        else:
            self._limited.pop(name, None)
        if outcome.contested:
            self._tokens.forget(name)
            self._queue.add_after(name, self._contested.failed(name), Trigger.CONTESTED, work.records)
            return
        self._contested.succeeded(name)
        if outcome.result in {Result.FAILED, Result.BROKEN}:
            self._tokens.forget(name)
            woken = Trigger.RECOVERED in work.triggers and Trigger.RETRY not in work.triggers
            wait = self._retries.failed(
                name, now, cause=outcome.failure_key, retry_after=outcome.retry_after, woken=woken
            )
            self._metrics.queue.retried()
            self._queue.add_after(name, wait, Trigger.RETRY, work.records)
            return
        self._retries.succeeded(name, now)
        if outcome.unreported:
            self._tokens.settle(name)
            self._report_later(work)
            return
        if outcome.result in {Result.IN_SYNC, Result.CHANGED}:
            self._tokens.settle(name)
        else:
            self._tokens.forget(name)
        if outcome.requeue_after is not None:
            self._requeue(name, outcome.requeue_after)

    def _report_later(self, work: WorkItem) -> None:
        self._queue.add(work.key, Priority.LOW, Trigger.REPORT, work.records)

    def on_cause_resolved(self, cause: str) -> None:
        """Wakes all keys that failed for this cause."""
        self._retries.cause_resolved(cause, self._clock())

    def _wake(self, name: str, wait: float) -> None:
        if wait:
            self._queue.add_after(name, wait, Trigger.RECOVERED)
        else:
            # There may be thousands of them, and a user's change goes first.
            self._queue.add(name, Priority.LOW, Trigger.RECOVERED)

    def _requeue(self, name: str, requeue: RequeueAfter) -> None:
        self._queue.add_after(name, requeue.after, Trigger.REQUEUE)

    def _record_metrics(self, work: WorkItem, outcome: ReconcileResult, started: float) -> None:
        ended = self._clock()
        metrics = self._metrics
        result = outcome.result
        metrics.reconciles.labels(result).inc()
        is_final, is_broken = result is Result.REJECTED, result is Result.BROKEN
        metrics.queue.reconciled(_result_label(outcome), ended - started, final=is_final, broken=is_broken)
        if outcome.steps and Trigger.STREAM in work.triggers:
            metrics.own_share_seconds.observe(ended - work.since)
        fields = {
            "result": str(result),
            "waited_ms": round((started - work.since) * 1000, 1),
            "took_ms": round((ended - started) * 1000, 1),
        }
        if outcome.steps:
            fields["steps"] = [str(step) for step in outcome.steps]
        if outcome.errors:
            _log.warning(
                "reconciled",
                errors=[str(error) for error in outcome.errors],
                reason=str(outcome.errors[0].reason),
                **fields,
            )
        elif outcome.steps or result is not Result.IN_SYNC:
            _log.info("reconciled", **fields)
        else:
            _log.debug("reconciled", **fields)


def _log_context(work: WorkItem) -> dict[str, object]:
    """Returns the fields that all log messages of a reconcile have in common.

    `records` links them to the log messages about stream records, and `reconcile` to those about API calls.
    """
    about = {RECONCILE_ID: uuid.uuid4().hex[:8], "endpoint": work.key, "trigger": ", ".join(work.triggers)}
    return about | ({"records": list(work.records)} if work.records else {})


def _result_label(outcome: ReconcileResult) -> ResultLabel:
    """Returns the result label that controller-runtime uses for this outcome."""
    if outcome.contested or outcome.result in {Result.FAILED, Result.BROKEN, Result.REJECTED}:
        return "error"
    if outcome.unreported:
        return "requeue"
    return "requeue_after" if outcome.requeue_after is not None else "success"
