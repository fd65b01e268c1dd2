"""The work queue: keys of endpoints that may need work, each processed by one worker at a time.

New changes go before the keys of a resync, and a resync is never starved. A key that is added while it is in flight is
queued again afterwards and never processed in parallel. Delays and back-off are entries of the same queue: one per key,
and the earliest wins.
"""

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from gco_stream.aio.events import wait_for_event
from gco_stream.engine.workqueue.triggers import Trigger

_HIGH_IN_A_ROW = 4
# Five sequence numbers are enough to trace a reconcile to its cause. If there are more, the newest are kept.
_MAX_RECORDS = 5


class Priority(IntEnum):
    """The priority of a key; lower values go first."""

    HIGH = 0
    LOW = 1


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A key for a worker to process. `since`: when it was queued, in seconds of the queue's clock.

    `triggers`: the distinct triggers that queued the key, oldest first. `records`: the sequence numbers of the newest
    stream records that queued it, at most five, newest last.
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
        """Returns an entry with the triggers and records of both, and the priority and time of the more urgent one."""
        since, priority = (
            (other.since, other.priority) if other.priority < self.priority else (self.since, self.priority)
        )
        records = tuple(dict.fromkeys(self.records + other.records))[-_MAX_RECORDS:]
        return _Waiting(since, priority, tuple(dict.fromkeys(self.triggers + other.triggers)), records)


class WorkQueue:
    """Waiting keys in two priorities, keys in flight, and delayed keys, each without duplicates.

    `clock`: monotonic seconds. `on_add`: called with the priority of each added key. `high_in_a_row`: after this many
    consecutive new changes a waiting resync key is taken, so that a stream of changes delays a resync by a bounded
    factor only. `processing_since`: when each key in flight was taken.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        on_add: Callable[[Priority], None] = lambda _: None,
        high_in_a_row: int = _HIGH_IN_A_ROW,
    ) -> None:
        self._clock = clock
        self._on_add = on_add
        self._queues: tuple[OrderedDict[str, _Waiting], ...] = (OrderedDict(), OrderedDict())
        self.processing_since: dict[str, float] = {}
        self._dirty: dict[str, _Waiting] = {}
        self._delayed: dict[str, tuple[float, Trigger, tuple[str, ...]]] = {}
        self._heap: list[tuple[float, str]] = []
        self._high_in_a_row = high_in_a_row
        self._streak = 0
        self._changed = asyncio.Event()
        self._shutting_down = False

    def add(self, key: str, priority: Priority, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """Queues a key now. A waiting key moves up if its priority rises, and keeps all its triggers.

        `records`: the sequence numbers of the stream records that caused it.
        """
        self._add(key, _Waiting(self._clock(), priority, (trigger,), records))
        self._on_add(priority)
        self._changed.set()

    def _add(self, key: str, waiting: _Waiting) -> None:
        if key in self.processing_since:
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

    def add_after(self, key: str, seconds: float, trigger: Trigger, records: tuple[str, ...] = ()) -> None:
        """Queues a key after a delay. The earliest of several delays wins."""
        due, planned = self._clock() + seconds, self._delayed.get(key)
        if planned is not None and planned[0] <= due:
            return
        self._delayed[key] = (due, trigger, records)
        heapq.heappush(self._heap, (due, key))
        self._changed.set()

    def cancel_delay(self, key: str) -> None:
        """Removes a key from the delayed keys."""
        self._delayed.pop(key, None)

    async def get(self) -> WorkItem | None:
        """Waits for the next key and returns it; see `get_nowait`. Returns None once shut down."""
        while not self._shutting_down:
            self._changed.clear()
            if (work := self.get_nowait()) is not None:
                if self.depth:
                    self._changed.set()
                return work
            due = self.next_due()
            await wait_for_event(self._changed, None if due is None else max(0.0, due - self._clock()))
        return None

    def get_nowait(self) -> WorkItem | None:
        """Returns the next key, or None. The caller must call `done` when the key is processed."""
        now = self._clock()
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
        self.processing_since[key] = now
        return WorkItem(key, waiting.since, priority, waiting.triggers, waiting.records)

    def done(self, key: str) -> None:
        """Marks a key as processed. If it was added while in flight, it is queued again."""
        self.processing_since.pop(key, None)
        if (dirty := self._dirty.pop(key, None)) is not None:
            self._enqueue(key, dirty)
        self._changed.set()

    def shut_down(self) -> None:
        """Stops handing out keys. Waiting workers get None."""
        self._shutting_down = True
        self._changed.set()

    def next_due(self) -> float | None:
        """Returns the time at which the earliest delayed key is due, or None if no key is delayed."""
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
            self._add(key, _Waiting(due, Priority.HIGH, (trigger,), records))

    def is_delayed(self, key: str) -> bool:
        """Returns whether the key is delayed."""
        return key in self._delayed

    @property
    def depth(self) -> int:
        """Number of waiting keys."""
        return len(self._queues[0]) + len(self._queues[1])

    @property
    def low_priority_depth(self) -> int:
        """Number of waiting keys with low priority."""
        return len(self._queues[Priority.LOW])

    @property
    def delayed(self) -> int:
        """Number of delayed keys."""
        return len(self._delayed)

    @property
    def idle(self) -> bool:
        """Whether no key is waiting or in flight. Delayed keys do not count."""
        return not (self.depth or self.processing_since)
