"""Replicas that compete for one Lease, and a record of which ones led and when."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gco_stream.cluster.leaderelection.elector import ElectionSnapshot, LeaderElector, Leadership
from gco_stream.cluster.leaderelection.record import LeaseRef, Timing


@dataclass
class TermLog:
    """Current leaders, the epochs of all terms, and pairs of replicas that led at the same time."""

    leading: list["Replica"] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    overlaps: list[tuple[str, str]] = field(default_factory=list)

    def begin(self, replica: "Replica", epoch: int) -> None:
        self.overlaps += [(other.identity, replica.identity) for other in self.leading]
        self.leading.append(replica)
        self.epochs.append(epoch)


class Replica:
    """A candidate. `kill` ends it without a release, `stop` lets it finish."""

    def __init__(
        self, client: Any, terms: TermLog, pod: str, *, namespace: str, timing: Timing, **options: Any
    ) -> None:
        self.identity = f"{pod}_{uuid.uuid4()}"
        self.stopping = asyncio.Event()
        self.leadership: Leadership | None = None
        self.remaining_at_the_end: list[float] = []
        self.work: Callable[[Leadership], Any] = self._until_stopped
        self._terms = terms
        self._elector = LeaderElector(client, LeaseRef(namespace, "leader"), timing, identity=self.identity, **options)
        self._task = asyncio.create_task(self._elector.run(self._lead, self.stopping))

    @property
    def leading(self) -> bool:
        return self in self._terms.leading

    @property
    def snapshot(self) -> ElectionSnapshot:
        return self._elector.snapshot()

    async def kill(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def stop(self) -> None:
        """Wait until it has finished; raises what it raised, or nothing if it was killed before."""
        self.stopping.set()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def ended(self) -> BaseException | None:
        await asyncio.wait({self._task})
        return self._task.exception()

    async def _lead(self, leadership: Leadership) -> None:
        self._terms.begin(self, leadership.epoch)
        self.leadership = leadership
        try:
            await self.work(leadership)
        finally:
            self.remaining_at_the_end.append(leadership.remaining())
            self._terms.leading.remove(self)

    async def _until_stopped(self, leadership: Leadership) -> None:
        del leadership
        await self.stopping.wait()


@asynccontextmanager
async def contending_replicas(
    start: Callable[[TermLog], list[Replica]],
) -> AsyncIterator[tuple[TermLog, list[Replica]]]:
    """Run replicas during a test; at its end, no two have led at once and no two terms share an epoch."""
    terms = TermLog()
    replicas = start(terms)
    try:
        yield terms, replicas
    finally:
        for replica in replicas:
            replica.stopping.set()
        for replica in replicas:
            await replica.stop()
    assert terms.overlaps == []
    assert terms.epochs == sorted(set(terms.epochs))
