"""The consumer, with the real client, in random schedules of writes, faults and changes of shards.

GCO_STREAM_EXAMPLES=N runs N schedules. A failure prints the shrunk schedule and a blob that reproduces it.

    GCO_STREAM_EXAMPLES=5000 pytest tests/stream/test_random_schedules.py -p no:cacheprovider
"""

import asyncio
import os

import looptime
import pytest
from hypothesis import HealthCheck, given, settings

from tests.stream import promises
from tests.stream.conftest import aws_session
from tests.stream.schedules import KEYS, Return, Schedule, Show, TurnOn, World, schedules
from tests.stream.scripted.doors import client_in_memory
from tests.stream.scripted.server import ScriptedDynamoDB

pytestmark = pytest.mark.slow

_PATIENCE = 400.0
_QUIET = 2


async def live(schedule: Schedule) -> None:
    """Runs a schedule, ends all faults, and checks that the consumer recovers."""
    before = asyncio.all_tasks()
    server = ScriptedDynamoDB(*"pqr"[: schedule.shards])
    server.operations.latest_at_first_read = schedule.latest_at_first_read
    session = aws_session()
    async with client_in_memory(server, session) as streams, client_in_memory(server, session, "dynamodb") as tables:
        world = World(server, streams, tables, poll=schedule.poll, seed=schedule.seed)
        await world.lead()
        for step in schedule.steps:
            await step.happen(world)
        await recover(world)
        await settle(world)
        await world.resign()
    promises.check_invariants(world)
    assert asyncio.all_tasks() == before


async def recover(world: World) -> None:
    """Ends all faults of DynamoDB."""
    world.server.recover()
    await Return().happen(world)
    await Show().happen(world)
    if not world.server.table.stream_on:
        await TurnOn(1, same=False).happen(world)


async def settle(world: World) -> None:
    """Waits until nothing is missing, changes arrive by the stream, and no more gaps are reported."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + _PATIENCE
    quiet = 0
    while quiet < _QUIET:
        gaps = len(world.covered)
        for key in range(len(KEYS)):
            world.put(key)
        await asyncio.sleep(5)
        missing, snapshot = world.missing(), world.consumer.snapshot()
        quiet = quiet + 1 if not missing and snapshot.mode == "stream" and len(world.covered) == gaps else 0
        assert quiet or clock() < deadline, f"{snapshot.reason}; missing: {missing}; gaps: {gaps}"


@settings(
    max_examples=int(os.environ.get("GCO_STREAM_EXAMPLES", "12")),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(schedules)
def test_no_change_is_lost_in_any_schedule(schedule):
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=2)) as runner:
        runner.run(live(schedule))
