import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.engine.workqueue.queue import Dispatcher, ItemBackoff, Priority, WorkQueue
from gco_stream.engine.workqueue.triggers import Trigger


def drain(queue: WorkQueue, now: float = 0.0) -> list[str]:
    taken = []
    while (one := queue.get(now)) is not None:
        taken.append(one.key)
        queue.done(one.key)
    return taken


def test_keys_are_taken_in_the_order_of_arrival() -> None:
    queue = WorkQueue()
    for name in "abc":
        queue.add(name, Priority.HIGH, 0, Trigger.STREAM)
    assert drain(queue) == ["a", "b", "c"]


def test_a_waiting_key_is_queued_once() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add("a", Priority.HIGH, 0, Trigger.STREAM)
    assert drain(queue) == ["a"]


def test_new_changes_go_before_the_keys_of_a_resync() -> None:
    queue = WorkQueue()
    queue.add("old", Priority.LOW, 0, Trigger.RESYNC)
    queue.add("new", Priority.HIGH, 1, Trigger.STREAM)
    assert drain(queue) == ["new", "old"]


def test_a_key_that_becomes_urgent_moves_up() -> None:
    queue = WorkQueue()
    queue.add("a", Priority.LOW, 0, Trigger.RESYNC)
    queue.add("b", Priority.LOW, 0, Trigger.RESYNC)
    queue.add("b", Priority.HIGH, 1, Trigger.STREAM)
    assert drain(queue) == ["b", "a"]


def test_a_stream_of_new_changes_does_not_starve_the_resync() -> None:
    queue = WorkQueue(high_in_a_row=4)
    queue.add("old", Priority.LOW, 0, Trigger.RESYNC)
    taken = []
    for number in range(10):
        queue.add(f"new-{number}", Priority.HIGH, 0, Trigger.STREAM)
        one = queue.get(0)
        assert one is not None
        taken.append(one.key)
        queue.done(one.key)
    assert taken.index("old") == 4


def test_a_key_in_flight_is_not_handed_out_again_until_it_is_done() -> None:
    queue = WorkQueue()
    queue.add("a", Priority.HIGH, 0, Trigger.STREAM)
    assert queue.get(0) is not None
    queue.add("a", Priority.HIGH, 1, Trigger.STREAM)
    queue.add("a", Priority.LOW, 2, Trigger.RESYNC)
    assert queue.get(2) is None
    queue.done("a")
    again = queue.get(3)
    assert again is not None
    assert (again.key, again.since) == ("a", 1)
    queue.done("a")
    assert queue.idle


def test_every_trigger_of_a_key_is_returned_with_it() -> None:
    queue = WorkQueue()
    queue.add("a", Priority.LOW, 0, Trigger.RESYNC)
    queue.add("a", Priority.HIGH, 1, Trigger.CLUSTER)
    queue.add_at("a", 2, Trigger.REQUEUE)
    work = queue.get(3)
    assert work is not None
    assert (work.priority, work.since, work.triggers) == (
        Priority.HIGH,
        1,
        (Trigger.RESYNC, Trigger.CLUSTER, Trigger.REQUEUE),
    )


def test_triggers_that_arrive_during_processing_are_returned_too() -> None:
    queue = WorkQueue()
    queue.add("a", Priority.HIGH, 0, Trigger.STREAM)
    queue.get(0)
    queue.add_at("a", 2, Trigger.REQUEUE)
    for trigger in (Trigger.CLUSTER, Trigger.CLUSTER, Trigger.STREAM):
        queue.add("a", Priority.HIGH, 1, trigger)
    queue.get(3)
    queue.done("a")
    work = queue.get(3)
    assert work is not None
    assert (work.since, work.triggers) == (1, (Trigger.CLUSTER, Trigger.STREAM, Trigger.REQUEUE))


def test_a_delayed_key_is_returned_when_it_is_due_and_not_before() -> None:
    queue = WorkQueue()
    queue.add_at("a", 10, Trigger.REQUEUE)
    assert queue.get(9.9) is None
    assert queue.next_due() == 10
    work = queue.get(10)
    assert work is not None
    assert work.triggers == (Trigger.REQUEUE,)


def test_the_earliest_of_several_delays_wins() -> None:
    queue = WorkQueue()
    queue.add_at("a", 10, Trigger.REQUEUE)
    queue.add_at("a", 5, Trigger.RETRY)
    queue.add_at("a", 7, Trigger.CONTESTED)
    work = queue.get(5)
    assert work is not None
    assert work.triggers == (Trigger.RETRY,)
    queue.done("a")
    assert queue.get(100) is None
    assert queue.next_due() is None


def test_a_dropped_delay_never_fires() -> None:
    queue = WorkQueue()
    queue.add_at("a", 5, Trigger.RETRY)
    queue.cancel_delay("a")
    assert queue.get(100) is None


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
    queue, now, owed, working = WorkQueue(), 0.0, set[str](), list[str]()
    for kind, first, second in steps:
        now += 1
        if kind == "add":
            queue.add(str(first), second, now, Trigger.STREAM)
            owed.add(str(first))
        elif kind == "delay":
            queue.add_at(str(first), now + second, Trigger.REQUEUE)
            owed.add(str(first))
        elif kind == "take":
            work = queue.get(now)
            if work is not None:
                assert work.key not in working
                working.append(work.key)
        elif working:
            queue.done(working.pop(first % len(working)))
    seen = set(working)
    for name in working:
        queue.done(name)
    seen |= set(drain(queue, now + 100))
    assert queue.idle
    assert queue.delayed == 0
    assert seen <= owed


@given(operations)
def test_an_added_key_is_always_handed_out_afterwards(steps: list[tuple[str, Any, Any]]) -> None:
    queue, now, owed, working = WorkQueue(), 0.0, set[str](), list[str]()
    for kind, first, second in steps:
        now += 1
        if kind == "add":
            queue.add(str(first), second, now, Trigger.STREAM)
            owed.add(str(first))
        elif kind == "take" and (work := queue.get(now)) is not None:
            owed.discard(work.key)
            working.append(work.key)
        elif kind == "done" and working:
            queue.done(working.pop(first % len(working)))
    for name in working:
        queue.done(name)
    assert owed <= set(drain(queue, now))


def test_backoff_doubles_is_capped_and_is_reset_by_a_success() -> None:
    backoff = ItemBackoff(base=1, cap=8, rng=random.Random(1))
    waits = [backoff.failed("a") for _ in range(6)]
    for wait, longest in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert longest / 2 <= wait <= longest
    assert backoff.failures("a") == 6
    backoff.succeeded("a")
    assert backoff.failed("a") <= 1


async def test_a_waiting_worker_is_woken_by_a_key() -> None:
    dispatcher = Dispatcher(WorkQueue(), asyncio.get_running_loop().time)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(dispatcher.get())
        await asyncio.sleep(0)
        dispatcher.add("a", Priority.HIGH, Trigger.STREAM)
    work = waiting.result()
    assert work is not None
    assert work.key == "a"


async def test_every_waiting_worker_gets_its_own_key() -> None:
    dispatcher = Dispatcher(WorkQueue(), asyncio.get_running_loop().time)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = [group.create_task(dispatcher.get()) for _ in range(4)]
        await asyncio.sleep(0)
        for name in "abcd":
            dispatcher.add(name, Priority.HIGH, Trigger.STREAM)
    assert {work.key for task in waiting if (work := task.result())} == set("abcd")


@pytest.mark.looptime
async def test_a_waiting_worker_is_woken_when_a_delay_ends() -> None:
    loop = asyncio.get_running_loop()
    dispatcher = Dispatcher(WorkQueue(), loop.time)
    dispatcher.add_after("a", 30, Trigger.REQUEUE)
    started = loop.time()
    assert await dispatcher.get() is not None
    assert loop.time() - started == pytest.approx(30)


async def test_closing_releases_every_waiting_worker() -> None:
    dispatcher = Dispatcher(WorkQueue(), asyncio.get_running_loop().time)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = [group.create_task(dispatcher.get()) for _ in range(3)]
        await asyncio.sleep(0)
        dispatcher.shut_down()
    assert [task.result() for task in waiting] == [None] * 3


def test_the_newest_records_of_a_key_are_kept_wherever_it_waits() -> None:
    queue = WorkQueue()
    queue.add("a", Priority.LOW, 0, Trigger.RESYNC)
    for number in range(4):
        queue.add("a", Priority.HIGH, 1, Trigger.STREAM, (str(number),))
    work = queue.get(1)
    assert work is not None
    assert work.records == ("0", "1", "2", "3")
    for number in range(4, 9):
        queue.add("a", Priority.HIGH, 2, Trigger.STREAM, (str(number),))
    queue.add("a", Priority.HIGH, 2, Trigger.CLUSTER)
    queue.done("a")
    again = queue.get(3)
    assert again is not None
    assert again.records == ("4", "5", "6", "7", "8")
    queue.done("a")
    queue.add_at("a", 5, Trigger.RETRY, again.records[-1:])
    later = queue.get(5)
    assert later is not None
    assert later.records == ("8",)
