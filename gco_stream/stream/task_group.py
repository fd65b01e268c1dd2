"""Task group in which an AWSError ends all tasks, and a cancellation always takes effect.

Before Python 3.13, a TaskGroup can lose its own cancellation if one of its tasks fails at the same moment. A caller
that handles the failure then keeps running. An AWSError is therefore not passed to the group as an exception.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gco_stream.aws.errors import AWSError


class StreamTasks:
    """Created by `stream_tasks`. `failure` is the first AWSError raised by a task."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.failure: AWSError | None = None
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
        except AWSError as error:
            self.failure = self.failure or error
            for task in self._tasks - {asyncio.current_task()}:
                task.cancel()


@asynccontextmanager
async def stream_tasks() -> AsyncIterator[StreamTasks]:
    """Waits for all tasks. A AWSError cancels them and is raised as it is, any other error as an ExceptionGroup.

    The block itself must not await anything, because an AWSError cancels the tasks but not the block.
    """
    async with asyncio.TaskGroup() as group:
        tasks = StreamTasks(group)
        yield tasks
    if tasks.failure is not None:
        raise tasks.failure
