"""Runs schedules against the consumer."""

import asyncio

from tests.stream.scripted.doors import client_in_memory
from tests.stream.scripted.server import ScriptedDynamoDB
from tests.stream.support import promises
from tests.stream.support.consumer_log import aws_session
from tests.stream.support.schedules import KEYS, Return, Schedule, Show, TurnOn, World

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
