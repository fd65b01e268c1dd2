"""Workers with a reconciler that the test scripts."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gco_stream.engine.reconcile.controller import Controller
from gco_stream.engine.reconcile.reconciler import ReconcileResult
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import WorkQueue
from gco_stream.engine.workqueue.retries import Backoffs, ItemBackoff
from gco_stream.model import wire
from gco_stream.ops.metrics import Metrics
from tests.support.items import REGION, item
from tests.support.observers import observers

Answer = Callable[[str, bool], ReconcileResult]


class Versions:
    """The resourceVersions of an endpoint's objects in the cache."""

    def token(self, name: str) -> tuple[str, ...]:
        return (name,)


class ControllerFixture:
    """Workers with a reconciler that returns what the test specifies."""

    def __init__(self, answer: Answer, *names: str) -> None:
        self.answer = answer
        self.calls: list[tuple[str, bool]] = []
        clock = asyncio.get_running_loop().time
        self.queue = WorkQueue(clock)
        self.desired = ItemCache(REGION)
        for name in names:
            self.desired.put(wire.encode(item(name)))
        self.tokens = SyncTokens(self.desired, Versions())  # type: ignore[arg-type]  # a fake with only the methods that are called
        self.backoff = ItemBackoff(base=1, cap=1, rng=random.Random(0))
        self.metrics = Metrics()
        self.workers = Controller(
            self.queue,
            self,  # type: ignore[arg-type]  # a fake with only the methods that are called
            self.tokens,
            Backoffs(self.backoff, contested=ItemBackoff(base=60, cap=60, rng=random.Random(0))),
            observers(self.metrics),
            clock,
            self.desired.paths.waiters_of,
        )

    async def reconcile(
        self, name: str, *, objects_first: bool = False, on_applied: Callable[[], None] = lambda: None
    ) -> ReconcileResult:
        self.calls.append((name, objects_first))
        return self.answer(name, objects_first)

    def is_current(self, name: str) -> bool:
        return self.desired.stale_mark(name) is None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Runs one worker, and stops it once the queue is idle after the block."""
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(self.workers.run(1))
            yield
            await self.idle()
            self.queue.shut_down()

    async def idle(self) -> None:
        """Waits until no key is waiting or in flight."""
        while not self.queue.idle:  # noqa: ASYNC110 - the queue has no events
            await asyncio.sleep(0)

    async def drain(self) -> None:
        async with self.working():
            pass
