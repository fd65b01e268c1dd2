"""Task group in which a StreamError ends all tasks, and a cancellation always takes effect.

Before Python 3.13, a TaskGroup can lose its own cancellation if one of its tasks fails at the same moment. A caller
that handles the failure then keeps running. A StreamError is therefore not passed to the group as an exception.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gco_stream.aws.stream_errors import StreamError


class StreamTasks:
    """The tasks of one group, created by `stream_tasks`. `failure` is the first StreamError raised by a task."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.failure: StreamError | None = None
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        """Starts a task that runs until it returns or any task of the group fails."""
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
    """Waits for all tasks. A StreamError cancels them and is raised unchanged; other errors form an ExceptionGroup.

    The block itself must not await anything, because a StreamError cancels the tasks but not the block.
    """
    async with asyncio.TaskGroup() as group:
        tasks = StreamTasks(group)
        yield tasks
    if tasks.failure is not None:
        raise tasks.failure
