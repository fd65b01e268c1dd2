"""The work queue: names of endpoints that might need work, each worked on by one worker at a time.

Fresh changes go before a resync's names, and a resync never starves. A name that is added again while it is being
worked on runs once more after, not beside. Delays and back-off are entries of the same queue: one a name, the earliest
wins. All decisions are in `WorkQueue`, which is given the time; `Dispatcher` lets workers wait for it.
"""

import asyncio
import heapq
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from gco_stream.engine.workqueue.triggers import Trigger

_FRESH_IN_A_ROW = 4
# Enough to lead from a reconcile to what it was about; of a name that changes all the time the newest.
_RECORDS_KEPT = 5


class Band(IntEnum):
    """How urgent a name is; the lower goes first."""

    FRESH = 0
    RESYNC = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """A name to work on: since when it waited (seconds of the queue's clock), in which band, and why it was added.

    `triggers`: every reason since it was last taken, each once, the first one first. `records`: the sequence numbers of
    the stream records that it is about, the newest last, five at most.
    """

    name: str
    since: float
    band: Band
    triggers: tuple[Trigger, ...]
    records: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    since: float
    band: Band
    triggers: tuple[Trigger, ...]
    records: tuple[str, ...] = ()

    def merged(self, other: "_Waiting") -> "_Waiting":
        """Both at once: with the reasons of both, and as urgent as the more urgent one, since that one was added."""
        since, band = (other.since, other.band) if other.band < self.band else (self.since, self.band)
        records = tuple(dict.fromkeys(self.records + other.records))[-_RECORDS_KEPT:]
        return _Waiting(since, band, tuple(dict.fromkeys(self.triggers + other.triggers)), records)


class WorkQueue:
    """Two bands of names, the names in work, and the delayed ones. Holds each name at most once in each.

    `fresh_in_a_row`: after so many fresh names in a row one of the resync band is taken if one waits, so a stream of
    changes delays a resync by a bounded factor and never for ever.
    """

    def __init__(self, *, fresh_in_a_row: int = _FRESH_IN_A_ROW) -> None:
        self._bands: tuple[OrderedDict[str, _Waiting], ...] = (OrderedDict(), OrderedDict())
        self._in_work: set[str] = set()
        self._again: dict[str, _Waiting] = {}
        self._delayed: dict[str, tuple[float, Trigger, tuple[str, ...]]] = {}
        self._heap: list[tuple[float, str]] = []
        self._fresh_in_a_row = fresh_in_a_row
        self._row = 0

    def add(self, name: str, band: Band, now: float, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """A name might need work now. A waiting one moves up if it became more urgent, and no reason is forgotten."""
        waiting = _Waiting(now, band, (trigger,), records)
        if name in self._in_work:
            before = self._again.get(name)
            self._again[name] = before.merged(waiting) if before else waiting
        else:
            self._enqueue(name, waiting)

    def _enqueue(self, name: str, waiting: _Waiting) -> None:
        for queued in self._bands:
            if (before := queued.get(name)) is None:
                continue
            waiting = before.merged(waiting)
            if waiting.band is before.band:
                queued[name] = waiting
                return
            del queued[name]
        self._bands[waiting.band][name] = waiting

    def add_at(self, name: str, due: float, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """A name is worth a look at a later time; of several times the earliest holds."""
        planned = self._delayed.get(name)
        if planned is not None and planned[0] <= due:
            return
        self._delayed[name] = (due, trigger, records)
        heapq.heappush(self._heap, (due, name))

    def forget_delay(self, name: str) -> None:
        """A newer plan has its own idea of when to look again."""
        self._delayed.pop(name, None)

    def take(self, now: float) -> Taken | None:
        """The next name to work on, or None. The caller must say `done` when it is finished."""
        self._wake_due(now)
        fresh, resync = self._bands
        if fresh and not (resync and self._row >= self._fresh_in_a_row):
            band = Band.FRESH
            self._row += 1
        elif resync:
            band = Band.RESYNC
            self._row = 0
        else:
            return None
        name, waiting = self._bands[band].popitem(last=False)
        self._in_work.add(name)
        return Taken(name, waiting.since, band, waiting.triggers, waiting.records)

    def done(self, name: str) -> None:
        """The work on a name has ended; if it was added meanwhile it waits again."""
        self._in_work.discard(name)
        if (again := self._again.pop(name, None)) is not None:
            self._enqueue(name, again)

    def next_due(self) -> float | None:
        """When the earliest delayed name is due, None without any."""
        while self._heap:
            due, name = self._heap[0]
            planned = self._delayed.get(name)
            if planned is not None and planned[0] == due:
                return due
            heapq.heappop(self._heap)
        return None

    def _wake_due(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            _, name = heapq.heappop(self._heap)
            _, trigger, records = self._delayed.pop(name)
            self.add(name, Band.FRESH, due, trigger, records)

    def is_delayed(self, name: str) -> bool:
        """Whether the name has a time to be looked at."""
        return name in self._delayed

    @property
    def depth(self) -> int:
        """Names that wait to be taken now."""
        return len(self._bands[0]) + len(self._bands[1])

    @property
    def backlog(self) -> int:
        """Names of a resync that wait."""
        return len(self._bands[Band.RESYNC])

    @property
    def delayed(self) -> int:
        """Names that wait for a time."""
        return len(self._delayed)

    @property
    def in_work(self) -> frozenset[str]:
        """Names being worked on."""
        return frozenset(self._in_work)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being worked on (delayed names do not count)."""
        return not (self.depth or self._in_work)


class Backoff:
    """How long to wait after failures of one name in a row: doubling, capped, jittered. Times in seconds.

    `floor` and `spacing`: where few names fail, the cap is no more than `floor`; the more they are, the higher it is,
    so that all of them together are tried about once in `spacing` seconds. Holds a count for each name that fails now,
    so it is bounded by the table's names.
    """

    def __init__(
        self,
        *,
        base: float = 0.25,
        cap: float = 300.0,
        floor: float = 300.0,
        spacing: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        self._base, self._cap, self._floor, self._spacing = base, cap, floor, spacing
        self._failures: dict[str, int] = {}
        self._rng = rng or random.Random()  # noqa: S311  (jitter, not a secret)

    def failed(self, name: str) -> float:
        """One more failure: how long to wait now."""
        count = self._failures[name] = self._failures.get(name, 0) + 1
        cap = min(self._cap, max(self._floor, self._spacing * len(self._failures)))
        longest = min(cap, self._base * 2.0 ** min(count - 1, 30))
        return longest * self._rng.uniform(0.5, 1.0)

    def failures(self, name: str) -> int:
        """Failures in a row so far."""
        return self._failures.get(name, 0)

    def succeeded(self, name: str) -> None:
        """The name is fine: the next failure starts anew."""
        self._failures.pop(name, None)


class Dispatcher:
    """Lets tasks wait for the next name of a `WorkQueue`. `clock` gives seconds, monotonic.

    `in_work_since`: when each name now in work was taken. `on_add` is told of every name that is added.
    """

    def __init__(
        self, queue: WorkQueue, clock: Callable[[], float], on_add: Callable[[Band], None] = lambda _: None
    ) -> None:
        self.queue = queue
        self._on_add = on_add
        self._clock = clock
        self._changed = asyncio.Event()
        self._closed = False
        self.in_work_since: dict[str, float] = {}

    def add(self, name: str, band: Band, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """A name might need work now; `records`: the sequence numbers of the stream records that say so."""
        self.queue.add(name, band, self._clock(), trigger, records)
        self._on_add(band)
        self._changed.set()

    def add_after(self, name: str, seconds: float, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """A name is worth a look in so many seconds."""
        self.queue.add_at(name, self._clock() + seconds, trigger, records)
        self._changed.set()

    def done(self, name: str) -> None:
        """The work on a name has ended."""
        self.in_work_since.pop(name, None)
        self.queue.done(name)
        self._changed.set()

    def close(self) -> None:
        """No name is given out any more: whoever waits gets None."""
        self._closed = True
        self._changed.set()

    async def take(self) -> Taken | None:
        """The next name, as soon as there is one; None once closed."""
        while not self._closed:
            self._changed.clear()
            now = self._clock()
            if (taken := self.queue.take(now)) is not None:
                self.in_work_since[taken.name] = now
                if self.queue.depth:
                    self._changed.set()
                return taken
            due = self.queue.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - now)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None
