"""How many workers there are: so many that can work, whatever number of them a server keeps waiting.

A call that hangs holds its worker for as long as calls may last. Were there only so many workers, that many endpoints
behind one slow webhook would hold up every other; so whoever waits for long gets a stand-in, up to a bound.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

# Of all that are to work at once, standing in for those that wait.
_MOST = 4
_LONG_SECONDS = 2.0


def most_at_once(count: int) -> int:
    """How many endpoints may be in work at once where `count` workers are to work: connections are needed for all."""
    return _MOST * count


class Staff:
    """Workers in a task group: `count` of them, and one more for each that waits; `work` is a worker's life.

    `patience`: seconds after which a worker counts as waiting.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        count: int,
        work: Callable[["Staff"], Awaitable[None]],
        *,
        patience: float = _LONG_SECONDS,
    ) -> None:
        self._group = group
        self._count = count
        self._work = work
        self._patience = patience
        self._hired = 0
        self._waiting = 0
        for _ in range(count):
            self._hire()

    @property
    def is_too_many(self) -> bool:
        """Whether there are more who work than are to: who is done may leave."""
        return self._hired - self._waiting > self._count

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """What is done within this block may wait; another works meanwhile."""
        waits = False

        def begin_to_wait() -> None:
            nonlocal waits
            waits = True
            self._waiting += 1
            if self._hired < most_at_once(self._count):
                self._hire()

        timer = asyncio.get_running_loop().call_later(self._patience, begin_to_wait)
        try:
            yield
        finally:
            timer.cancel()
            self._waiting -= waits

    def _hire(self) -> None:
        life = self._live()
        try:
            self._group.create_task(life, name=f"worker-{self._hired}")
        except RuntimeError:
            # The group is being ended: nobody is to work any more.
            life.close()
        else:
            self._hired += 1

    async def _live(self) -> None:
        try:
            await self._work(self)
        finally:
            self._hired -= 1
