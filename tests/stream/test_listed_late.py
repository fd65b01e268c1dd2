"""Shards that a list shows after their children: how far the order of records goes."""

import asyncio

import looptime
import pytest

from tests.stream.schedules import Action, Delete, Fail, Merge, Schedule, Show, Split, Step, TurnOn
from tests.stream.scripted.faults import Hang
from tests.stream.test_random_schedules import live


def run(*steps: tuple[float, Action]) -> None:
    """Let this happen, each after so many seconds and with writes; the promises of random schedules have to hold."""
    schedule = Schedule(2, 0.2, False, 0, tuple(Step(after, action, (0, 1, 2)) for after, action in steps))
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=2)) as runner:
        runner.run(live(schedule))


@pytest.mark.looptime(noop_cycles=2)
@pytest.mark.parametrize("shows", [True, False], ids=["a list shows it in time", "no list shows it in time"])
async def test_a_shard_that_is_listed_later_than_its_child_is_read_whole_all_the_same_but_after_it(
    streams, heard, shows
):
    async with heard.running():
        streams.stream.split("s1", "a", listed=shows)
        streams.record("first", "a")
        streams.stream.split("a", "b")
        streams.record("second", "b")
        await heard.until(lambda: "second" in heard.names, 2)
        streams.shards["a"].listed = True
        await heard.until(lambda: len(heard.names) == 2, 31)
    assert heard.names == (["first", "second"] if shows else ["second", "first"])
    assert heard.gaps == 0
    assert heard.mode == "stream"


# The first is one that a random schedule found, when the order was promised for any list.
@pytest.mark.parametrize(
    "actions",
    [
        (Merge(0, seen=False), Delete(0), Split(0, 1, seen=True)),
        (Split(0, 1, seen=False), Delete(0), Split(0, 2, seen=True)),
        (Split(0, 2, seen=False), Delete(0), Split(1, 1, seen=True)),
    ],
    ids=str,
)
def test_what_is_listed_after_its_child_breaks_no_promise(actions):
    run(*((0.0, action) for action in actions), (5.0, Show()))


@pytest.mark.parametrize("children", [1, 2])
def test_what_is_listed_while_its_parent_cannot_be_read_breaks_no_promise(children):
    run((25.0, Fail("GetRecords", Hang(), 4, "p")), (0.0, Split(0, children, seen=True)), (10.0, Show()))


@pytest.mark.parametrize("seen", [True, False])
def test_what_is_closed_between_the_lookup_and_the_list_of_a_new_stream_is_history_and_breaks_no_promise(seen):
    # The former shards end, the table is asked, and the new stream's shard closes before they are listed.
    run((0.3, TurnOn(2, same=False)), (0.2, Split(0, 1, seen=seen)), (5.0, Show()))
