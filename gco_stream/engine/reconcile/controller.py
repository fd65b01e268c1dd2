"""The workers: each takes a name, has it reconciled, and says when it is to be looked at again."""

import asyncio
import uuid
from collections.abc import Callable
from functools import partial

import structlog

from gco_stream.aws.table_errors import TableError
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.engine.reconcile.reconciler import Outcome, Reconciler, Result
from gco_stream.engine.state.history import Journal
from gco_stream.engine.state.item_cache import DesiredState
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Backoff, Band, Dispatcher, Taken
from gco_stream.engine.workqueue.retries import Retries
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.engine.workqueue.worker_pool import Staff
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.api_metrics import RECONCILE_ID
from gco_stream.ops.metrics import Metrics
from gco_stream.ops.queue_metrics import Ended
from gco_stream.planning.types.plan import HeldBack, LookAgain

_log = structlog.get_logger()

_URGENT = frozenset({Trigger.STREAM, Trigger.REPORT})
# An echo makes a report that waits for its turn no more urgent.
_ECHO = frozenset({Trigger.CLUSTER, Trigger.REPORT})


class Workers:
    """Runs the reconciler on the queue's names. `clock` gives the queue's seconds; `tell` is told of every outcome."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        reconciler: Reconciler,
        desired: DesiredState,
        tokens: SyncTokens,
        backoff: Backoff,
        contested: Backoff,
        metrics: Metrics,
        clock: Callable[[], float],
        tell: Callable[[str, Outcome], None],
        journal: Journal,
    ) -> None:
        self._journal = journal
        self._tell_people = tell
        self._dispatcher = dispatcher
        self._reconciler = reconciler
        self._desired = desired
        self._tokens = tokens
        self._retries = Retries(backoff, self._wake)
        self._contested = contested
        self._metrics = metrics
        self._clock = clock
        self._held_back: dict[str, HeldBack] = {}

    def held_back(self, limit: HeldBack) -> int:
        """How many endpoints' last plans a limit on the fleet has held back."""
        return sum(one is limit for one in self._held_back.values())

    async def run(self, count: int) -> None:
        """Works on so many names at once, and on more while a server keeps some of them waiting.

        Returns when the dispatcher is closed and the work in hand is finished.
        """
        async with asyncio.TaskGroup() as group:
            Staff(group, count, self._work)

    async def _work(self, staff: Staff) -> None:
        while not staff.is_too_many and (taken := await self._dispatcher.take()) is not None:
            began = self._clock()
            self._metrics.queue.taken(began - taken.since)
            try:
                with staff.at_work():
                    await self._reconcile(taken)
            finally:
                self._dispatcher.done(taken.name)
                self._metrics.queue.done(self._clock() - began)
            # One that is in sync waits for nothing, and thousands of them in a row would hold the loop.
            await asyncio.sleep(0)

    async def _reconcile(self, taken: Taken) -> None:
        name, started = taken.name, self._clock()
        if rest := self._retries.rest(name, started):
            # The server has asked to be left alone for so long: news of the endpoint makes no difference.
            trigger = Trigger.STREAM if Trigger.STREAM in taken.triggers else taken.triggers[0]
            self._dispatcher.add_after(name, rest, trigger, taken.records)
            return
        if Trigger.CLUSTER in taken.triggers and _ECHO.issuperset(taken.triggers) and self._tokens.is_in_sync(name):
            # The watch's echo of our own write: the last plan was made on the very objects that it tells of. A time
            # to look again that came with it is no echo, though nothing but the time has changed.
            if Trigger.REPORT in taken.triggers:
                self._report_later(taken)
            return
        with structlog.contextvars.bound_contextvars(**_about(taken)):
            await self._reconcile_now(taken, started)

    async def _reconcile_now(self, taken: Taken, started: float) -> None:
        """Every line that is logged in here, by whomever, bears the reconcile's id."""
        name = taken.name
        try:
            # While a start has a backlog, objects that are missing are more urgent than reports: each report waits
            # for its own turn, unless a user is waiting for it.
            urgent = not _URGENT.isdisjoint(taken.triggers) or not self._dispatcher.queue.backlog
            outcome = await self._reconciler.reconcile(
                name, objects_first=not urgent, on_applied=partial(self._journal.applied, name)
            )
        except (TableError, ClusterError) as error:
            # NotLeading among them: the lease is renewed before the retry, or this task is cancelled.
            wait = error.retry_after if isinstance(error, ClusterError) else None
            reason = Reason.TABLE_ERROR if isinstance(error, TableError) else Reason.API_ERROR
            errors = (Cause(reason, str(error)),)
            outcome = Outcome(Result.FAILED, errors=errors, retry_after=wait, failure_key=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - it is logged
            # A fault of ours in one endpoint must not end the work on all others (I8); it is logged with its place.
            _log.exception("reconcile broke off")
            message = f"{type(error).__name__}: {error}"
            outcome = Outcome(Result.BROKEN, errors=(Cause(Reason.INTERNAL_ERROR, message),))
        self._settle(taken, outcome)
        self._journal.reconciled(
            name,
            taken.triggers,
            outcome,
            took=self._clock() - started,
            current=self._desired.stale_mark(name) is None,
        )
        self._tell_people(name, outcome)
        self._tell(taken, outcome, started)

    def _settle(self, taken: Taken, outcome: Outcome) -> None:
        name, now = taken.name, self._clock()
        self._dispatcher.queue.forget_delay(name)
        if outcome.made is not None and outcome.made.held_back is not None:
            self._held_back[name] = outcome.made.held_back
        else:
            self._held_back.pop(name, None)
        if outcome.contested:
            self._tokens.forget(name)
            self._dispatcher.add_after(name, self._contested.failed(name), Trigger.CONTESTED, taken.records)
            return
        self._contested.succeeded(name)
        if outcome.result in {Result.FAILED, Result.BROKEN}:
            self._tokens.forget(name)
            woken = Trigger.RECOVERED in taken.triggers and Trigger.RETRY not in taken.triggers
            wait = self._retries.failed(
                name, now, cause=outcome.failure_key, retry_after=outcome.retry_after, woken=woken
            )
            self._metrics.queue.retried()
            self._dispatcher.add_after(name, wait, Trigger.RETRY, taken.records)
            return
        self._retries.succeeded(name, now)
        if outcome.unreported:
            self._tokens.settle(name)
            self._report_later(taken)
            return
        if outcome.result in {Result.IN_SYNC, Result.CHANGED}:
            self._tokens.settle(name)
        else:
            self._tokens.forget(name)
        if outcome.look_again is not None:
            self._look_again(name, outcome.look_again)

    def _report_later(self, taken: Taken) -> None:
        self._dispatcher.add(taken.name, Band.RESYNC, Trigger.REPORT, taken.records)

    def is_over(self, cause: str) -> None:
        """What names failed of is gone: they are tried at once."""
        self._retries.over(cause, self._clock())

    def _wake(self, name: str, wait: float) -> None:
        if wait:
            self._dispatcher.add_after(name, wait, Trigger.RECOVERED)
        else:
            # There may be thousands of them: a user's change goes first.
            self._dispatcher.add(name, Band.RESYNC, Trigger.RECOVERED)

    def _look_again(self, name: str, look_again: LookAgain) -> None:
        self._dispatcher.add_after(name, look_again.after, Trigger.REQUEUE)

    def _tell(self, taken: Taken, outcome: Outcome, started: float) -> None:
        ended = self._clock()
        metrics = self._metrics
        result = outcome.result
        metrics.reconciles.labels(result).inc()
        is_final, is_broken = result is Result.REJECTED, result is Result.BROKEN
        metrics.queue.reconciled(_ended(outcome), ended - started, final=is_final, broken=is_broken)
        if outcome.steps and Trigger.STREAM in taken.triggers:
            metrics.own_share_seconds.observe(ended - taken.since)
        fields = {
            "result": str(result),
            "waited_ms": round((started - taken.since) * 1000, 1),
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


def _about(taken: Taken) -> dict[str, object]:
    """What each line that is logged during a reconcile bears; `records` leads to the stream's lines, `reconcile` on."""
    about = {RECONCILE_ID: uuid.uuid4().hex[:8], "endpoint": taken.name, "trigger": ", ".join(taken.triggers)}
    return about | ({"records": list(taken.records)} if taken.records else {})


def _ended(outcome: Outcome) -> Ended:
    """The outcome in controller-runtime's words."""
    if outcome.contested or outcome.result in {Result.FAILED, Result.BROKEN, Result.REJECTED}:
        return "error"
    if outcome.unreported:
        return "requeue"
    return "requeue_after" if outcome.look_again is not None else "success"
