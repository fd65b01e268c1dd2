"""Shards that are listed after their children, and what this does to the order of records."""

import asyncio

import looptime
import pytest

from tests.stream.scripted.faults import Hang
from tests.stream.support.lives import live
from tests.stream.support.schedules import Action, Delete, Fail, Merge, Schedule, Show, Split, Step, TurnOn


def run(*steps: tuple[float, Action]) -> None:
    """Runs these actions, each after a delay in seconds and followed by writes, and checks the guarantees."""
    schedule = Schedule(2, 0.2, False, 0, tuple(Step(after, action, (0, 1, 2)) for after, action in steps))
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=2)) as runner:
        runner.run(live(schedule))


@pytest.mark.looptime(noop_cycles=2)
@pytest.mark.parametrize("shows", [True, False], ids=["a list shows it in time", "no list shows it in time"])
async def test_a_shard_listed_after_its_child_is_read_whole_but_later(streams, heard, shows):
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


# The first case was found by a random schedule when the order was still guaranteed for any list.
@pytest.mark.parametrize(
    "actions",
    [
        (Merge(0, seen=False), Delete(0), Split(0, 1, seen=True)),
        (Split(0, 1, seen=False), Delete(0), Split(0, 2, seen=True)),
        (Split(0, 2, seen=False), Delete(0), Split(1, 1, seen=True)),
    ],
    ids=str,
)
def test_guarantees_hold_if_a_shard_is_listed_after_its_child(actions):
    run(*((0.0, action) for action in actions), (5.0, Show()))


@pytest.mark.parametrize("children", [1, 2])
def test_guarantees_hold_if_a_shard_is_listed_while_its_parent_is_unreadable(children):
    run((25.0, Fail("GetRecords", Hang(), 4, "p")), (0.0, Split(0, children, seen=True)), (10.0, Show()))


@pytest.mark.parametrize("seen", [True, False])
def test_guarantees_hold_if_a_shard_closes_before_the_first_list(seen):
    # The previous shards end, the table is asked, and a shard of the new stream closes before it is listed.
    run((0.3, TurnOn(2, same=False)), (0.2, Split(0, 1, seen=seen)), (5.0, Show()))
