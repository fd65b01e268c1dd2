import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.engine.workqueue.queue import Priority, WorkQueue
from gco_stream.engine.workqueue.retries import ItemBackoff
from gco_stream.engine.workqueue.triggers import Trigger


class QueueFixture(WorkQueue):
    """A queue whose clock is set by `at`, which returns the queue."""

    def __init__(self, **options: int) -> None:
        self.now = 0.0
        super().__init__(lambda: self.now, **options)

    def at(self, now: float) -> "QueueFixture":
        self.now = now
        return self


def drain(queue: WorkQueue) -> list[str]:
    taken = []
    while (one := queue.get_nowait()) is not None:
        taken.append(one.key)
        queue.done(one.key)
    return taken


def test_keys_are_taken_in_the_order_of_arrival() -> None:
    queue = QueueFixture()
    for name in "abc":
        queue.add(name, Priority.HIGH, Trigger.STREAM)
    assert drain(queue) == ["a", "b", "c"]


def test_a_waiting_key_is_queued_once() -> None:
    queue = QueueFixture()
    for _ in range(3):
        queue.add("a", Priority.HIGH, Trigger.STREAM)
    assert drain(queue) == ["a"]


def test_new_changes_go_before_the_keys_of_a_resync() -> None:
    queue = QueueFixture()
    queue.add("old", Priority.LOW, Trigger.RESYNC)
    queue.at(1).add("new", Priority.HIGH, Trigger.STREAM)
    assert drain(queue) == ["new", "old"]


def test_a_key_that_becomes_urgent_moves_up() -> None:
    queue = QueueFixture()
    queue.add("a", Priority.LOW, Trigger.RESYNC)
    queue.add("b", Priority.LOW, Trigger.RESYNC)
    queue.at(1).add("b", Priority.HIGH, Trigger.STREAM)
    assert drain(queue) == ["b", "a"]


def test_a_stream_of_new_changes_does_not_starve_the_resync() -> None:
    queue = QueueFixture(high_in_a_row=4)
    queue.add("old", Priority.LOW, Trigger.RESYNC)
    taken = []
    for number in range(10):
        queue.add(f"new-{number}", Priority.HIGH, Trigger.STREAM)
        one = queue.get_nowait()
        assert one is not None
        taken.append(one.key)
        queue.done(one.key)
    assert taken.index("old") == 4


def test_a_key_in_flight_is_not_handed_out_again_until_it_is_done() -> None:
    queue = QueueFixture()
    queue.add("a", Priority.HIGH, Trigger.STREAM)
    assert queue.get_nowait() is not None
    queue.at(1).add("a", Priority.HIGH, Trigger.STREAM)
    queue.at(2).add("a", Priority.LOW, Trigger.RESYNC)
    assert queue.at(2).get_nowait() is None
    queue.done("a")
    again = queue.at(3).get_nowait()
    assert again is not None
    assert (again.key, again.since) == ("a", 1)
    queue.done("a")
    assert queue.idle


def test_every_trigger_of_a_key_is_returned_with_it() -> None:
    queue = QueueFixture()
    queue.add("a", Priority.LOW, Trigger.RESYNC)
    queue.at(1).add("a", Priority.HIGH, Trigger.CLUSTER)
    queue.add_after("a", 1, Trigger.REQUEUE)
    work = queue.at(3).get_nowait()
    assert work is not None
    assert (work.priority, work.since, work.triggers) == (
        Priority.HIGH,
        1,
        (Trigger.RESYNC, Trigger.CLUSTER, Trigger.REQUEUE),
    )


def test_triggers_that_arrive_during_processing_are_returned_too() -> None:
    queue = QueueFixture()
    queue.add("a", Priority.HIGH, Trigger.STREAM)
    queue.get_nowait()
    queue.add_after("a", 2, Trigger.REQUEUE)
    for trigger in (Trigger.CLUSTER, Trigger.CLUSTER, Trigger.STREAM):
        queue.at(1).add("a", Priority.HIGH, trigger)
    queue.at(3).get_nowait()
    queue.done("a")
    work = queue.at(3).get_nowait()
    assert work is not None
    assert (work.since, work.triggers) == (1, (Trigger.CLUSTER, Trigger.STREAM, Trigger.REQUEUE))


def test_a_delayed_key_is_returned_when_it_is_due_and_not_before() -> None:
    queue = QueueFixture()
    queue.add_after("a", 10, Trigger.REQUEUE)
    assert queue.at(9.9).get_nowait() is None
    assert queue.next_due() == 10
    work = queue.at(10).get_nowait()
    assert work is not None
    assert work.triggers == (Trigger.REQUEUE,)


def test_the_earliest_of_several_delays_wins() -> None:
    queue = QueueFixture()
    queue.add_after("a", 10, Trigger.REQUEUE)
    queue.add_after("a", 5, Trigger.RETRY)
    queue.add_after("a", 7, Trigger.CONTESTED)
    work = queue.at(5).get_nowait()
    assert work is not None
    assert work.triggers == (Trigger.RETRY,)
    queue.done("a")
    assert queue.at(100).get_nowait() is None
    assert queue.next_due() is None


def test_a_dropped_delay_never_fires() -> None:
    queue = QueueFixture()
    queue.add_after("a", 5, Trigger.RETRY)
    queue.cancel_delay("a")
    assert queue.at(100).get_nowait() is None


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abcd"), st.sampled_from(list(Priority))),
        st.tuples(st.just("delay"), st.sampled_from("abcd"), st.integers(1, 5)),
        st.tuples(st.just("take"), st.none(), st.none()),
        st.tuples(st.just("done"), st.integers(0, 3), st.none()),
    ),
    max_size=60,
)


@given(operations)
def test_no_key_is_lost_duplicated_or_processed_twice_at_once(steps: list[tuple[str, Any, Any]]) -> None:
    queue, now, owed, working = QueueFixture(), 0.0, set[str](), list[str]()
    for kind, first, second in steps:
        now += 1
        if kind == "add":
            queue.at(now).add(str(first), second, Trigger.STREAM)
            owed.add(str(first))
        elif kind == "delay":
            queue.at(now).add_after(str(first), second, Trigger.REQUEUE)
            owed.add(str(first))
        elif kind == "take":
            work = queue.at(now).get_nowait()
            if work is not None:
                assert work.key not in working
                working.append(work.key)
        elif working:
            queue.done(working.pop(first % len(working)))
    seen = set(working)
    for name in working:
        queue.done(name)
    seen |= set(drain(queue.at(now + 100)))
    assert queue.idle
    assert queue.delayed == 0
    assert seen <= owed


@given(operations)
def test_an_added_key_is_always_handed_out_afterwards(steps: list[tuple[str, Any, Any]]) -> None:
    queue, now, owed, working = QueueFixture(), 0.0, set[str](), list[str]()
    for kind, first, second in steps:
        now += 1
        if kind == "add":
            queue.at(now).add(str(first), second, Trigger.STREAM)
            owed.add(str(first))
        elif kind == "take" and (work := queue.at(now).get_nowait()) is not None:
            owed.discard(work.key)
            working.append(work.key)
        elif kind == "done" and working:
            queue.done(working.pop(first % len(working)))
    for name in working:
        queue.done(name)
    assert owed <= set(drain(queue))


def test_backoff_doubles_is_capped_and_is_reset_by_a_success() -> None:
    backoff = ItemBackoff(base=1, cap=8, rng=random.Random(1))
    waits = [backoff.failed("a") for _ in range(6)]
    for wait, longest in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert longest / 2 <= wait <= longest
    assert backoff.failures("a") == 6
    backoff.succeeded("a")
    assert backoff.failed("a") <= 1


async def test_a_waiting_worker_is_woken_by_a_key() -> None:
    queue = WorkQueue(asyncio.get_running_loop().time)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a", Priority.HIGH, Trigger.STREAM)
    work = waiting.result()
    assert work is not None
    assert work.key == "a"


async def test_every_waiting_worker_gets_its_own_key() -> None:
    queue = WorkQueue(asyncio.get_running_loop().time)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = [group.create_task(queue.get()) for _ in range(4)]
        await asyncio.sleep(0)
        for name in "abcd":
            queue.add(name, Priority.HIGH, Trigger.STREAM)
    assert {work.key for task in waiting if (work := task.result())} == set("abcd")


@pytest.mark.looptime
async def test_a_waiting_worker_is_woken_when_a_delay_ends() -> None:
    loop = asyncio.get_running_loop()
    queue = WorkQueue(loop.time)
    queue.add_after("a", 30, Trigger.REQUEUE)
    started = loop.time()
    assert await queue.get() is not None
    assert loop.time() - started == pytest.approx(30)


async def test_closing_releases_every_waiting_worker() -> None:
    queue = WorkQueue(asyncio.get_running_loop().time)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = [group.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        queue.shut_down()
    assert [task.result() for task in waiting] == [None] * 3


def test_the_newest_records_of_a_key_are_kept_wherever_it_waits() -> None:
    queue = QueueFixture()
    queue.add("a", Priority.LOW, Trigger.RESYNC)
    for number in range(4):
        queue.at(1).add("a", Priority.HIGH, Trigger.STREAM, (str(number),))
    work = queue.at(1).get_nowait()
    assert work is not None
    assert work.records == ("0", "1", "2", "3")
    for number in range(4, 9):
        queue.at(2).add("a", Priority.HIGH, Trigger.STREAM, (str(number),))
    queue.at(2).add("a", Priority.HIGH, Trigger.CLUSTER)
    queue.done("a")
    again = queue.at(3).get_nowait()
    assert again is not None
    assert again.records == ("4", "5", "6", "7", "8")
    queue.done("a")
    queue.add_after("a", 2, Trigger.RETRY, again.records[-1:])
    later = queue.at(5).get_nowait()
    assert later is not None
    assert later.records == ("8",)
