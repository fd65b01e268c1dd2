"""What workers do around a reconcile: when a report waits, when an echo is nothing, what follows from each outcome."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import structlog

from gco_stream.aws.table_errors import TableUnreachable
from gco_stream.engine.reconcile.controller import Controller
from gco_stream.engine.reconcile.reconciler import ReconcileResult, Result
from gco_stream.engine.state.history import ReconcileHistory
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Dispatcher, ItemBackoff, Priority, WorkQueue
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.model import wire
from gco_stream.model.reasons import Cause, Reason
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.types.plan import RequeueAfter
from tests.support.items import REGION, item

Answer = Callable[[str, bool], ReconcileResult]
NO = (Cause(Reason.REJECTED, "no"),)


class Versions:
    """What a cache tells of an endpoint's objects."""

    def token(self, name: str) -> tuple[str, ...]:
        return (name,)


class ControllerFixture:
    """Workers whose reconciler answers as a test says."""

    def __init__(self, answer: Answer, *names: str) -> None:
        self.answer = answer
        self.calls: list[tuple[str, bool]] = []
        clock = asyncio.get_running_loop().time
        self.dispatcher = Dispatcher(WorkQueue(), clock)
        self.desired = ItemCache(REGION)
        for name in names:
            self.desired.put(wire.encode(item(name)))
        self.tokens = SyncTokens(self.desired, Versions())  # type: ignore[arg-type]
        self.backoff = ItemBackoff(base=1, cap=1, rng=random.Random(0))
        self.metrics = Metrics()
        self.workers = Controller(
            dispatcher=self.dispatcher,
            reconciler=self,  # type: ignore[arg-type]
            items=self.desired,
            tokens=self.tokens,
            backoff=self.backoff,
            contested=ItemBackoff(base=60, cap=60, rng=random.Random(0)),
            metrics=self.metrics,
            clock=clock,
            publish=lambda _name, _outcome: None,
            history=ReconcileHistory(),
        )

    async def reconcile(
        self, name: str, *, objects_first: bool = False, on_applied: Callable[[], None] = lambda: None
    ) -> ReconcileResult:
        self.calls.append((name, objects_first))
        return self.answer(name, objects_first)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """One worker, ended when all is done that the block left."""
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(self.workers.run(1))
            yield
            await self.idle()
            self.dispatcher.shut_down()

    async def idle(self) -> None:
        """Until nothing waits to be done now."""
        while not self.dispatcher.queue.idle:  # noqa: ASYNC110 - the queue is a value and tells nobody
            await asyncio.sleep(0)

    async def drain(self) -> None:
        async with self.working():
            pass


def as_a_start_does(name: str, objects_first: bool) -> ReconcileResult:
    return ReconcileResult(Result.CHANGED, unreported=objects_first)


async def test_while_a_start_has_a_backlog_reports_wait_for_a_turn_of_their_own() -> None:
    bench = ControllerFixture(as_a_start_does, "a", "b", "c")
    for name in "abc":
        bench.dispatcher.add(name, Priority.LOW, Trigger.FIRST_SCAN)
    await bench.drain()
    assert bench.calls == [(name, first) for first in (True, False) for name in "abc"]


async def test_a_users_change_is_reported_at_once_whatever_waits() -> None:
    bench = ControllerFixture(as_a_start_does, "a", "b", "c")
    for name in "ab":
        bench.dispatcher.add(name, Priority.LOW, Trigger.FIRST_SCAN)
    bench.dispatcher.add("c", Priority.HIGH, Trigger.STREAM)
    await bench.drain()
    assert bench.calls[0] == ("c", False)
    assert [name for name, _ in bench.calls].count("c") == 1


async def test_a_report_that_waits_is_neither_lost_to_an_echo_of_the_watch_nor_hurried_by_it() -> None:
    def answer(name: str, objects_first: bool) -> ReconcileResult:
        # The echo of its own writes comes while it is worked on, and a late one when it waits for its turn again.
        if objects_first:
            bench.dispatcher.add(name, Priority.HIGH, Trigger.CLUSTER)
            if name == "b":
                bench.dispatcher.add("a", Priority.HIGH, Trigger.CLUSTER)
        return as_a_start_does(name, objects_first)

    bench = ControllerFixture(answer, "a", "b", "c")
    for name in "abc":
        bench.dispatcher.add(name, Priority.LOW, Trigger.FIRST_SCAN)
    await bench.drain()
    assert bench.calls[:3] == [(name, True) for name in "abc"]
    assert sorted(bench.calls[3:]) == [(name, False) for name in "abc"]


async def test_news_of_the_cluster_is_looked_at_though_a_report_waits() -> None:
    def answer(name: str, objects_first: bool) -> ReconcileResult:
        if bench.calls == [("a", True), ("b", True)]:
            bench.desired.mark_stale("a")
            bench.dispatcher.add("a", Priority.HIGH, Trigger.CLUSTER)
        return as_a_start_does(name, objects_first)

    bench = ControllerFixture(answer, "a", "b", "c")
    for name in "abc":
        bench.dispatcher.add(name, Priority.LOW, Trigger.FIRST_SCAN)
    await bench.drain()
    assert bench.calls[:4] == [("a", True), ("b", True), ("a", False), ("c", True)]


async def test_an_echo_of_our_own_write_plans_nothing_and_a_changed_item_does() -> None:
    bench = ControllerFixture(lambda _name, _first: ReconcileResult(Result.IN_SYNC), "a")
    async with bench.working():
        bench.dispatcher.add("a", Priority.HIGH, Trigger.STREAM)
        await bench.idle()
        bench.dispatcher.add("a", Priority.HIGH, Trigger.CLUSTER)
        await bench.idle()
        assert len(bench.calls) == 1
        bench.desired.mark_stale("a")
        bench.dispatcher.add("a", Priority.HIGH, Trigger.CLUSTER)
        await bench.idle()
        assert len(bench.calls) == 2


async def test_what_must_be_looked_at_again_is_when_it_is_due() -> None:
    bench = ControllerFixture(
        lambda _name, _first: ReconcileResult(Result.IN_SYNC, requeue_after=RequeueAfter(30, "drain")), "a"
    )
    bench.dispatcher.add("a", Priority.HIGH, Trigger.STREAM)
    await bench.drain()
    due = bench.dispatcher.queue.next_due()
    assert due is not None
    assert due - asyncio.get_running_loop().time() == pytest.approx(30, abs=5)


@pytest.mark.parametrize("meanwhile", [True, False])
async def test_a_time_to_look_again_is_not_lost_to_an_echo_that_came_before_it(meanwhile: bool) -> None:
    def answer(name: str, _first: bool) -> ReconcileResult:
        if len(bench.calls) > 1:
            return ReconcileResult(Result.IN_SYNC)
        if meanwhile:
            bench.dispatcher.add(name, Priority.HIGH, Trigger.CLUSTER)
        return ReconcileResult(Result.CHANGED, requeue_after=RequeueAfter(0, "the rest goes on"))

    bench = ControllerFixture(answer, "a")
    async with bench.working():
        bench.dispatcher.add("a", Priority.HIGH, Trigger.STREAM)
        await bench.idle()
        if not meanwhile:
            bench.dispatcher.add("a", Priority.HIGH, Trigger.CLUSTER)
    assert bench.calls == [("a", False)] * 2


@pytest.mark.parametrize("fault", [TableUnreachable("away", "Timeout"), RuntimeError("a bug")])
async def test_a_failure_of_one_endpoint_is_retried_and_holds_up_no_other(fault: Exception) -> None:
    def answer(name: str, _first: bool) -> ReconcileResult:
        if name == "bad":
            raise fault
        return ReconcileResult(Result.IN_SYNC)

    bench = ControllerFixture(answer, "bad", "good")
    for name in ("bad", "good"):
        bench.dispatcher.add(name, Priority.HIGH, Trigger.STREAM)
    await bench.drain()
    assert [name for name, _ in bench.calls] == ["bad", "good"]
    assert bench.dispatcher.queue.is_delayed("bad")
    assert not bench.dispatcher.queue.is_delayed("good")
    assert bench.backoff.failures("bad") == 1


async def test_when_one_is_through_all_that_failed_of_the_same_are_tried_at_once() -> None:
    away = {"a", "b", "c"}

    def answer(name: str, _first: bool) -> ReconcileResult:
        return (
            ReconcileResult(Result.FAILED, errors=NO, failure_key="webhook")
            if name in away
            else ReconcileResult(Result.CHANGED)
        )

    bench = ControllerFixture(answer, "a", "b", "c")
    async with bench.working():
        for name in "abc":
            bench.dispatcher.add(name, Priority.HIGH, Trigger.STREAM)
        await bench.idle()
        away.clear()
        bench.dispatcher.add("b", Priority.HIGH, Trigger.STREAM)
        await bench.idle()
        assert sorted(name for name, _ in bench.calls) == ["a", "a", "b", "b", "c", "c"]


async def test_what_the_server_asked_to_wait_holds_whatever_is_heard_of_the_endpoint() -> None:
    bench = ControllerFixture(lambda _name, _first: ReconcileResult(Result.FAILED, errors=NO, retry_after=30), "a")
    async with bench.working():
        for trigger in (Trigger.STREAM, Trigger.CLUSTER, Trigger.STREAM):
            bench.dispatcher.add("a", Priority.HIGH, trigger)
            await bench.idle()
        assert len(bench.calls) == 1
        due = bench.dispatcher.queue.next_due()
        assert due is not None
        assert due - asyncio.get_running_loop().time() > 20


async def test_what_is_fought_over_is_left_alone_for_long() -> None:
    bench = ControllerFixture(lambda _name, _first: ReconcileResult(Result.FAILED, errors=NO, contested=True), "a")
    bench.dispatcher.add("a", Priority.HIGH, Trigger.STREAM)
    await bench.drain()
    due = bench.dispatcher.queue.next_due()
    assert due is not None
    assert due - asyncio.get_running_loop().time() > 20


async def test_every_line_of_a_reconcile_bears_its_id_and_the_records_that_it_is_about() -> None:
    def answer(_name: str, _objects_first: bool) -> ReconcileResult:
        bench.metrics.api_calls.kubernetes("api", "PATCH", "/api/v1/x", 200, 0.01)
        return ReconcileResult(Result.FAILED, errors=NO) if len(bench.calls) == 1 else ReconcileResult(Result.CHANGED)

    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        bench = ControllerFixture(answer, "a")
        bench.dispatcher.add("a", Priority.HIGH, Trigger.STREAM, ("7", "8"))
        async with bench.working():
            while len(bench.calls) < 2:  # noqa: ASYNC110 - a retry is a matter of time
                await asyncio.sleep(0.01)
        bench.metrics.api_calls.kubernetes("api", "GET", "/api/v1/watch", 200, 0.01)
    assert [line["event"] for line in lines] == ["api call", "reconciled"] * 2
    assert [line["records"] for line in lines] == [["7", "8"]] * 4
    first, second = lines[0]["reconcile"], lines[2]["reconcile"]
    assert [line["reconcile"] for line in lines] == [first, first, second, second]
    assert first != second
    assert lines[2]["trigger"] == "retry"
