"""A worker pool that keeps N workers runnable by starting one extra worker per blocked one, up to 4N in total.

A hanging request blocks its worker until the request times out. If the number of workers were fixed, N endpoints behind
one slow webhook would block all other endpoints.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

# Upper bound on the workers, as a multiple of the configured number.
_MAX_WORKERS_PER_SLOT = 4
_STALL_SECONDS = 2.0


def max_concurrency(count: int) -> int:
    """Returns the maximum number of endpoints in flight with `count` workers. Each one needs a connection."""
    return _MAX_WORKERS_PER_SLOT * count


class WorkerPool:
    """Workers in a task group: `count`, plus one for each blocked worker, within the limit of `max_concurrency`.

    `work` is the main loop of a worker. `stall_seconds`: seconds after which a worker counts as blocked.
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
        """Whether more than `count` workers are runnable, so that one may exit."""
        return self._spawned - self._waiting > self._count

    @contextmanager
    def running(self) -> Iterator[None]:
        """Encloses work that may block. An extra worker is started if it takes longer than `stall_seconds`."""
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
            # The task group is shutting down.
            worker.close()
        else:
            self._spawned += 1

    async def _run_worker(self) -> None:
        try:
            await self._work(self)
        finally:
            self._spawned -= 1
