"""How many workers there are: so many that can work, whatever number of them a server keeps waiting.

A call that hangs holds its worker for as long as calls may last. Were there only so many workers, that many endpoints
behind one slow webhook would hold up every other; so whoever waits for long gets a stand-in, up to a bound.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

# Of all that are to work at once, standing in for those that wait.
_MAX_WORKERS_PER_SLOT = 4
_STALL_SECONDS = 2.0


def max_concurrency(count: int) -> int:
    """How many endpoints may be in work at once where `count` workers are to work: connections are needed for all."""
    return _MAX_WORKERS_PER_SLOT * count


class WorkerPool:
    """Workers in a task group: `count` of them, and one more for each that waits; `work` is a worker's life.

    `stall_seconds`: seconds after which a worker counts as waiting.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        count: int,
        work: Callable[["WorkerPool"], Awaitable[None]],
        *,
        stall_seconds: float = _STALL_SECONDS,
    ) -> None:
        self._group = group
        self._count = count
        self._work = work
        self._stall_seconds = stall_seconds
        self._spawned = 0
        self._waiting = 0
        for _ in range(count):
            self._spawn()

    @property
    def has_surplus(self) -> bool:
        """Whether there are more who work than are to: who is done may leave."""
        return self._spawned - self._waiting > self._count

    @contextmanager
    def running(self) -> Iterator[None]:
        """What is done within this block may wait; another works meanwhile."""
        is_stalled = False

        def begin_to_wait() -> None:
            nonlocal is_stalled
            is_stalled = True
            self._waiting += 1
            if self._spawned < max_concurrency(self._count):
                self._spawn()

        timer = asyncio.get_running_loop().call_later(self._stall_seconds, begin_to_wait)
        try:
            yield
        finally:
            timer.cancel()
            self._waiting -= is_stalled

    def _spawn(self) -> None:
        worker = self._run_worker()
        try:
            self._group.create_task(worker, name=f"worker-{self._spawned}")
        except RuntimeError:
            # The group is being ended: nobody is to work any more.
            worker.close()
        else:
            self._spawned += 1

    async def _run_worker(self) -> None:
        try:
            await self._work(self)
        finally:
            self._spawned -= 1
