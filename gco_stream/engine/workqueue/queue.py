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

_HIGH_IN_A_ROW = 4
# Enough to lead from a reconcile to what it was about; of a name that changes all the time the newest.
_MAX_RECORDS = 5


class Priority(IntEnum):
    """How urgent a name is; the lower goes first."""

    HIGH = 0
    LOW = 1


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A name to work on: since when it waited (seconds of the queue's clock), in which band, and why it was added.

    `triggers`: every reason since it was last taken, each once, the first one first. `records`: the sequence numbers of
    the stream records that it is about, the newest last, five at most.
    """

    key: str
    since: float
    priority: Priority
    triggers: tuple[Trigger, ...]
    records: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    since: float
    priority: Priority
    triggers: tuple[Trigger, ...]
    records: tuple[str, ...] = ()

    def merged(self, other: "_Waiting") -> "_Waiting":
        """Both at once: with the reasons of both, and as urgent as the more urgent one, since that one was added."""
        since, priority = (
            (other.since, other.priority) if other.priority < self.priority else (self.since, self.priority)
        )
        records = tuple(dict.fromkeys(self.records + other.records))[-_MAX_RECORDS:]
        return _Waiting(since, priority, tuple(dict.fromkeys(self.triggers + other.triggers)), records)


class WorkQueue:
    """Two bands of names, the names in work, and the delayed ones. Holds each name at most once in each.

    `high_in_a_row`: after so many fresh names in a row one of the resync band is taken if one waits, so a stream of
    changes delays a resync by a bounded factor and never for ever.
    """

    def __init__(self, *, high_in_a_row: int = _HIGH_IN_A_ROW) -> None:
        self._queues: tuple[OrderedDict[str, _Waiting], ...] = (OrderedDict(), OrderedDict())
        self._processing: set[str] = set()
        self._dirty: dict[str, _Waiting] = {}
        self._delayed: dict[str, tuple[float, Trigger, tuple[str, ...]]] = {}
        self._heap: list[tuple[float, str]] = []
        self._high_in_a_row = high_in_a_row
        self._streak = 0

    def add(self, key: str, priority: Priority, now: float, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """A name might need work now. A waiting one moves up if it became more urgent, and no reason is forgotten."""
        waiting = _Waiting(now, priority, (trigger,), records)
        if key in self._processing:
            before = self._dirty.get(key)
            self._dirty[key] = before.merged(waiting) if before else waiting
        else:
            self._enqueue(key, waiting)

    def _enqueue(self, key: str, waiting: _Waiting) -> None:
        for queued in self._queues:
            if (before := queued.get(key)) is None:
                continue
            waiting = before.merged(waiting)
            if waiting.priority is before.priority:
                queued[key] = waiting
                return
            del queued[key]
        self._queues[waiting.priority][key] = waiting

    def add_at(self, key: str, due: float, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """A name is worth a look at a later time; of several times the earliest holds."""
        planned = self._delayed.get(key)
        if planned is not None and planned[0] <= due:
            return
        self._delayed[key] = (due, trigger, records)
        heapq.heappush(self._heap, (due, key))

    def cancel_delay(self, key: str) -> None:
        """A newer plan has its own idea of when to look again."""
        self._delayed.pop(key, None)

    def get(self, now: float) -> WorkItem | None:
        """The next name to work on, or None. The caller must say `done` when it is finished."""
        self._enqueue_due(now)
        high, low = self._queues
        if high and not (low and self._streak >= self._high_in_a_row):
            priority = Priority.HIGH
            self._streak += 1
        elif low:
            priority = Priority.LOW
            self._streak = 0
        else:
            return None
        key, waiting = self._queues[priority].popitem(last=False)
        self._processing.add(key)
        return WorkItem(key, waiting.since, priority, waiting.triggers, waiting.records)

    def done(self, key: str) -> None:
        """The work on a name has ended; if it was added meanwhile it waits again."""
        self._processing.discard(key)
        if (dirty := self._dirty.pop(key, None)) is not None:
            self._enqueue(key, dirty)

    def next_due(self) -> float | None:
        """When the earliest delayed name is due, None without any."""
        while self._heap:
            due, key = self._heap[0]
            planned = self._delayed.get(key)
            if planned is not None and planned[0] == due:
                return due
            heapq.heappop(self._heap)
        return None

    def _enqueue_due(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            _, key = heapq.heappop(self._heap)
            _, trigger, records = self._delayed.pop(key)
            self.add(key, Priority.HIGH, due, trigger, records)

    def is_delayed(self, key: str) -> bool:
        """Whether the name has a time to be looked at."""
        return key in self._delayed

    @property
    def depth(self) -> int:
        """Names that wait to be taken now."""
        return len(self._queues[0]) + len(self._queues[1])

    @property
    def low_priority_depth(self) -> int:
        """Names of a resync that wait."""
        return len(self._queues[Priority.LOW])

    @property
    def delayed(self) -> int:
        """Names that wait for a time."""
        return len(self._delayed)

    @property
    def processing(self) -> frozenset[str]:
        """Names being worked on."""
        return frozenset(self._processing)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being worked on (delayed names do not count)."""
        return not (self.depth or self._processing)


class ItemBackoff:
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

    def failed(self, key: str) -> float:
        """One more failure: how long to wait now."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        cap = min(self._cap, max(self._floor, self._spacing * len(self._failures)))
        longest = min(cap, self._base * 2.0 ** min(count - 1, 30))
        return longest * self._rng.uniform(0.5, 1.0)

    def failures(self, key: str) -> int:
        """Failures in a row so far."""
        return self._failures.get(key, 0)

    def succeeded(self, key: str) -> None:
        """The name is fine: the next failure starts anew."""
        self._failures.pop(key, None)


class Dispatcher:
    """Lets tasks wait for the next name of a `WorkQueue`. `clock` gives seconds, monotonic.

    `processing_since`: when each name now in work was taken. `on_add` is told of every name that is added.
    """

    def __init__(
        self, queue: WorkQueue, clock: Callable[[], float], on_add: Callable[[Priority], None] = lambda _: None
    ) -> None:
        self.queue = queue
        self._on_add = on_add
        self._clock = clock
        self._changed = asyncio.Event()
        self._shutting_down = False
        self.processing_since: dict[str, float] = {}

    def add(self, key: str, priority: Priority, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """A name might need work now; `records`: the sequence numbers of the stream records that say so."""
        self.queue.add(key, priority, self._clock(), trigger, records)
        self._on_add(priority)
        self._changed.set()

    def add_after(self, key: str, seconds: float, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """A name is worth a look in so many seconds."""
        self.queue.add_at(key, self._clock() + seconds, trigger, records)
        self._changed.set()

    def done(self, key: str) -> None:
        """The work on a name has ended."""
        self.processing_since.pop(key, None)
        self.queue.done(key)
        self._changed.set()

    def shut_down(self) -> None:
        """No name is given out any more: whoever waits gets None."""
        self._shutting_down = True
        self._changed.set()

    async def get(self) -> WorkItem | None:
        """The next name, as soon as there is one; None once closed."""
        while not self._shutting_down:
            self._changed.clear()
            now = self._clock()
            if (work := self.queue.get(now)) is not None:
                self.processing_since[work.key] = now
                if self.queue.depth:
                    self._changed.set()
                return work
            due = self.queue.next_due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - now)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None
