"""Workers: when a report waits, when an echo is skipped, and what follows from each outcome."""

import asyncio

import pytest
import structlog

from gco_stream.aws.errors import Unreachable
from gco_stream.engine.reconcile.reconciler import ReconcileResult, Result
from gco_stream.engine.workqueue.queue import Priority
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.types.decision import RequeueAfter
from tests.engine.support.controllers import ControllerFixture

NO = (Cause(Reason.REJECTED, "no"),)


def startup_answer(name: str, objects_first: bool) -> ReconcileResult:
    return ReconcileResult(Result.CHANGED, unreported=objects_first)


async def test_during_a_startup_backlog_reports_wait_for_their_own_turn() -> None:
    bench = ControllerFixture(startup_answer, "a", "b", "c")
    for name in "abc":
        bench.queue.add(name, Priority.LOW, Trigger.FIRST_SCAN)
    await bench.drain()
    assert bench.calls == [(name, first) for first in (True, False) for name in "abc"]


async def test_a_users_change_is_reported_at_once_despite_a_backlog() -> None:
    bench = ControllerFixture(startup_answer, "a", "b", "c")
    for name in "ab":
        bench.queue.add(name, Priority.LOW, Trigger.FIRST_SCAN)
    bench.queue.add("c", Priority.HIGH, Trigger.STREAM)
    await bench.drain()
    assert bench.calls[0] == ("c", False)
    assert [name for name, _ in bench.calls].count("c") == 1


async def test_a_pending_report_is_neither_dropped_nor_hurried_by_a_watch_echo() -> None:
    def answer(name: str, objects_first: bool) -> ReconcileResult:
        # One echo of its own writes arrives while it is in flight, and a late one while its report is pending.
        if objects_first:
            bench.queue.add(name, Priority.HIGH, Trigger.CLUSTER)
            if name == "b":
                bench.queue.add("a", Priority.HIGH, Trigger.CLUSTER)
        return startup_answer(name, objects_first)

    bench = ControllerFixture(answer, "a", "b", "c")
    for name in "abc":
        bench.queue.add(name, Priority.LOW, Trigger.FIRST_SCAN)
    await bench.drain()
    assert bench.calls[:3] == [(name, True) for name in "abc"]
    assert sorted(bench.calls[3:]) == [(name, False) for name in "abc"]


async def test_a_cluster_change_is_reconciled_while_a_report_is_pending() -> None:
    def answer(name: str, objects_first: bool) -> ReconcileResult:
        if bench.calls == [("a", True), ("b", True)]:
            bench.desired.mark_stale("a")
            bench.queue.add("a", Priority.HIGH, Trigger.CLUSTER)
        return startup_answer(name, objects_first)

    bench = ControllerFixture(answer, "a", "b", "c")
    for name in "abc":
        bench.queue.add(name, Priority.LOW, Trigger.FIRST_SCAN)
    await bench.drain()
    assert bench.calls[:4] == [("a", True), ("b", True), ("a", False), ("c", True)]


async def test_an_echo_of_our_own_write_is_skipped_and_a_changed_item_is_not() -> None:
    bench = ControllerFixture(lambda _name, _first: ReconcileResult(Result.IN_SYNC), "a")
    async with bench.working():
        bench.queue.add("a", Priority.HIGH, Trigger.STREAM)
        await bench.idle()
        bench.queue.add("a", Priority.HIGH, Trigger.CLUSTER)
        await bench.idle()
        assert len(bench.calls) == 1
        bench.desired.mark_stale("a")
        bench.queue.add("a", Priority.HIGH, Trigger.CLUSTER)
        await bench.idle()
        assert len(bench.calls) == 2


async def test_a_requeue_is_scheduled_for_its_due_time() -> None:
    bench = ControllerFixture(
        lambda _name, _first: ReconcileResult(Result.IN_SYNC, requeue_after=RequeueAfter(30, "drain")), "a"
    )
    bench.queue.add("a", Priority.HIGH, Trigger.STREAM)
    await bench.drain()
    due = bench.queue.next_due()
    assert due is not None
    assert due - asyncio.get_running_loop().time() == pytest.approx(30, abs=5)


@pytest.mark.parametrize("meanwhile", [True, False])
async def test_a_requeue_is_not_lost_to_an_echo_that_came_before_it(meanwhile: bool) -> None:
    def answer(name: str, _first: bool) -> ReconcileResult:
        if len(bench.calls) > 1:
            return ReconcileResult(Result.IN_SYNC)
        if meanwhile:
            bench.queue.add(name, Priority.HIGH, Trigger.CLUSTER)
        return ReconcileResult(Result.CHANGED, requeue_after=RequeueAfter(0, "the rest goes on"))

    bench = ControllerFixture(answer, "a")
    async with bench.working():
        bench.queue.add("a", Priority.HIGH, Trigger.STREAM)
        await bench.idle()
        if not meanwhile:
            bench.queue.add("a", Priority.HIGH, Trigger.CLUSTER)
    assert bench.calls == [("a", False)] * 2


@pytest.mark.parametrize("fault", [Unreachable("away", "Timeout"), RuntimeError("a bug")])
async def test_a_failure_of_one_endpoint_is_retried_and_blocks_no_other(fault: Exception) -> None:
    def answer(name: str, _first: bool) -> ReconcileResult:
        if name == "bad":
            raise fault
        return ReconcileResult(Result.IN_SYNC)

    bench = ControllerFixture(answer, "bad", "good")
    for name in ("bad", "good"):
        bench.queue.add(name, Priority.HIGH, Trigger.STREAM)
    await bench.drain()
    assert [name for name, _ in bench.calls] == ["bad", "good"]
    assert bench.queue.is_delayed("bad")
    assert not bench.queue.is_delayed("good")
    assert bench.backoff.failures("bad") == 1


async def test_one_success_retries_all_keys_with_the_same_cause_at_once() -> None:
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
            bench.queue.add(name, Priority.HIGH, Trigger.STREAM)
        await bench.idle()
        away.clear()
        bench.queue.add("b", Priority.HIGH, Trigger.STREAM)
        await bench.idle()
        assert sorted(name for name, _ in bench.calls) == ["a", "a", "b", "b", "c", "c"]


async def test_events_do_not_shorten_the_wait_that_the_server_requested() -> None:
    bench = ControllerFixture(lambda _name, _first: ReconcileResult(Result.FAILED, errors=NO, retry_after=30), "a")
    async with bench.working():
        for trigger in (Trigger.STREAM, Trigger.CLUSTER, Trigger.STREAM):
            bench.queue.add("a", Priority.HIGH, trigger)
            await bench.idle()
        assert len(bench.calls) == 1
        due = bench.queue.next_due()
        assert due is not None
        assert due - asyncio.get_running_loop().time() > 20


async def test_a_contested_endpoint_is_retried_only_after_a_long_delay() -> None:
    bench = ControllerFixture(lambda _name, _first: ReconcileResult(Result.FAILED, errors=NO, contested=True), "a")
    bench.queue.add("a", Priority.HIGH, Trigger.STREAM)
    await bench.drain()
    due = bench.queue.next_due()
    assert due is not None
    assert due - asyncio.get_running_loop().time() > 20


async def test_every_message_of_a_reconcile_has_its_id_and_its_stream_records() -> None:
    def answer(_name: str, _objects_first: bool) -> ReconcileResult:
        bench.metrics.api_calls.kubernetes("api", "PATCH", "/api/v1/x", 200, 0.01)
        return ReconcileResult(Result.FAILED, errors=NO) if len(bench.calls) == 1 else ReconcileResult(Result.CHANGED)

    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        bench = ControllerFixture(answer, "a")
        bench.queue.add("a", Priority.HIGH, Trigger.STREAM, ("7", "8"))
        async with bench.working():
            while len(bench.calls) < 2:  # noqa: ASYNC110 - a retry is due after a delay
                await asyncio.sleep(0.01)
        bench.metrics.api_calls.kubernetes("api", "GET", "/api/v1/watch", 200, 0.01)
    assert [line["event"] for line in lines] == ["api call", "reconciled"] * 2
    assert [line["records"] for line in lines] == [["7", "8"]] * 4
    first, second = lines[0]["reconcile"], lines[2]["reconcile"]
    assert [line["reconcile"] for line in lines] == [first, first, second, second]
    assert first != second
    assert lines[2]["trigger"] == "retry"


async def test_endpoints_that_wait_for_an_ingress_path_are_reconciled_after_its_owner() -> None:
    bench = ControllerFixture(lambda _name, _first: ReconcileResult(Result.IN_SYNC), "a", "b", "c")
    for name in "bc":
        bench.tokens.settle(name)
    bench.desired.paths.set_owner("b", "a")
    bench.queue.add("a", Priority.LOW, Trigger.RESYNC)
    await bench.drain()
    assert [name for name, _ in bench.calls] == ["a", "b"]
