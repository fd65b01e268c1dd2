"""Tasks of which one that fails ends all, and a cancellation always gets through.

Before Python 3.13 a TaskGroup forgets that it was cancelled where one of its tasks fails at the same moment, and who
then deals with that failure goes on for ever. So a failure that is expected here is no error to the group.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gco_stream.aws.stream_errors import StreamError


class StreamTasks:
    """Made by `stream_tasks`. `failure` is the first StreamError that a task raised."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.failure: StreamError | None = None
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        """Run it beside the others."""
        task = self._group.create_task(self._until_failure(run), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _until_failure(self, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except StreamError as error:
            self.failure = self.failure or error
            for task in self._tasks - {asyncio.current_task()}:
                task.cancel()


@asynccontextmanager
async def stream_tasks() -> AsyncIterator[StreamTasks]:
    """Waits for all tasks. A StreamError comes out as itself and cancels the others, any other error in a group.

    The block itself must not wait, since nothing wakes it.
    """
    async with asyncio.TaskGroup() as group:
        tasks = StreamTasks(group)
        yield tasks
    if tasks.failure is not None:
        raise tasks.failure
