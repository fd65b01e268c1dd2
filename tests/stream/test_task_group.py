"""Tasks that end together, and cancellations that take effect at any moment."""

import asyncio

import pytest

from gco_stream.aws.errors import StreamEnded
from gco_stream.stream.task_group import stream_tasks


async def run_until(*errors, ticks=0):
    async def fail(error):
        for _ in range(ticks):
            await asyncio.sleep(0)
        raise error

    async with stream_tasks() as tasks:
        for error in errors:
            tasks.start(lambda error=error: fail(error), "fails")
        tasks.start(lambda: asyncio.sleep(60), "lasts")


async def test_a_stream_error_ends_all_tasks_and_is_raised_as_it_is():
    with pytest.raises(StreamEnded):
        await run_until(StreamEnded("over"))


async def test_the_first_of_several_errors_is_raised():
    with pytest.raises(StreamEnded, match="first"):
        await run_until(StreamEnded("first"), StreamEnded("second"))


async def test_other_errors_are_raised_as_a_group():
    with pytest.raises(ExceptionGroup) as raised:
        await run_until(LookupError(), StreamEnded("over"))
    assert raised.group_contains(LookupError)


@pytest.mark.parametrize("moment", range(12))
async def test_a_cancellation_during_a_failure_is_never_lost(moment):
    task = asyncio.ensure_future(run_until(StreamEnded("over"), ticks=5))
    for _ in range(moment):
        await asyncio.sleep(0)
    in_time = task.cancel()
    if in_time:
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        with pytest.raises(StreamEnded):
            await task
