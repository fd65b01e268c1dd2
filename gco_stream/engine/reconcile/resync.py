"""The periodic full scan of the table: the fallback for missed events, and the only source of changes without a stream.

A leader's first scan fills the cache. Later scans are only compared with it: if an item differs, it is marked stale and
a worker reads it again, so an outdated page cannot undo a newer write. Nothing is deleted because of a failed or
interrupted scan.
"""

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from gco_stream.aio.backoff import delay_after
from gco_stream.aio.events import wait_for_event
from gco_stream.aws.errors import AWSError
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.reconcile.observers import Observers
from gco_stream.engine.state.item_cache import ChangeKind
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Priority, WorkQueue
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.model.wire import WireItem
from gco_stream.stream.consumer import Mode
from gco_stream.table.endpoints import EndpointTable

_log = structlog.get_logger(__name__)

_JITTER = 0.1
_RETRY_AFTER = 2.0
_RETRY_CAP = 15.0
_MAX_RETRY_PAUSE = 64.0
# Items are removed in bursts, so the scan that confirms removals waits for the end of the burst. If someone wipes the
# table, the scan then finds it empty, and does not mistake a half-wiped table for an intended state.
_QUIET_SECONDS = 5.0
_MIN_SPACING_SECONDS = 30.0
# A failed scan is retried within about a minute. Without an attempt for 3 intervals plus 10 minutes, the loop is stuck.
_STUCK_INTERVALS = 3
_STUCK_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ScanTimes:
    """The intervals between scans, in seconds: `streaming` in stream mode and `polling` in poll mode.

    `clock`: monotonic seconds. `rng`: source of the jitter.
    """

    streaming: float
    polling: float
    clock: Callable[[], float]
    rng: random.Random


class Resync:
    """Scans the table on request, and otherwise at the interval of the current mode ±10 %.

    `guard` evaluates each complete scan and returns the names without an item that must be planned. In stream mode, a
    change that only a scan finds counts as missed by the stream. In poll mode, it is recorded in the history.
    """

    def __init__(
        self,
        table: EndpointTable,
        tokens: SyncTokens,
        queue: WorkQueue,
        guard: Guard,
        times: ScanTimes,
        observers: Observers,
    ) -> None:
        self._table = table
        self._items = tokens.items
        self._tokens = tokens
        self._queue = queue
        self._guard = guard
        self._times = times
        self._clock = times.clock
        self._metrics = observers.metrics
        self._history = observers.history
        self.mode: Mode = "stream"
        self._due = math.inf
        self._due_changed = asyncio.Event()
        self._requested_due = math.inf
        self._last_request_served = -math.inf
        self._missed_by_stream: set[str] = set()
        self._changed = 0
        self.last_success: float | None = None
        self._last_try = self._clock()
        self._fault = ""

    @property
    def problem(self) -> str:
        """Why the last scan failed, "" if it succeeded."""
        return self._fault

    @property
    def stalled_seconds(self) -> float:
        """Seconds since the last attempt to scan if the loop is stuck, otherwise 0. A failed scan is an attempt."""
        idle = self._clock() - self._last_try
        return idle if idle > _STUCK_INTERVALS * self._interval + _STUCK_SECONDS else 0.0

    @property
    def _interval(self) -> float:
        return self._times.streaming if self.mode == "stream" else self._times.polling

    def request(self, reason: str) -> None:
        """Requests a scan as soon as possible, because changes may have been missed."""
        _log.info("resync requested", reason=reason)
        self._set_due(-math.inf)

    def request_soon(self) -> None:
        """Requests a scan after the current burst of removals, to confirm them. Regular scans are not postponed."""
        if self._requested_due == math.inf:
            self._due_changed.set()
        self._requested_due = max(self._clock() + _QUIET_SECONDS, self._last_request_served + _MIN_SPACING_SECONDS)

    def change_delivered(self, name: str) -> None:
        """Records that the stream delivered a change of this endpoint: it was late, but not missed."""
        self._missed_by_stream.discard(name)

    def set_mode(self, mode: Mode) -> None:
        """Sets the mode. If it changes, requests a scan at once; the new mode's interval applies from then on."""
        if mode == self.mode:
            return
        self.mode = mode
        self._missed_by_stream.clear()
        self._set_due(-math.inf)

    async def first_scan(self) -> None:
        """Fills the cache with a leader's first scan. Retries until the scan succeeds."""

        def failed(state: RetryCallState) -> None:
            error = state.outcome and state.outcome.exception()
            if isinstance(error, AWSError):
                self._failed(error)
            wait = state.upcoming_sleep
            _log.error("first table scan failed; reconciliation is blocked", error=str(error), retry_s=wait)

        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(AWSError),
            wait=wait_exponential(multiplier=_RETRY_AFTER, max=_RETRY_CAP),
            before_sleep=failed,
        ):
            with attempt:
                await self._scan(first=True)

    async def run(self) -> None:
        """Runs periodic and requested scans until cancelled."""
        failures = 0
        while True:
            pause = self._interval * self._times.rng.uniform(1 - _JITTER, 1 + _JITTER)
            if failures:
                pause = min(pause, delay_after(failures, base=_RETRY_AFTER, cap=_MAX_RETRY_PAUSE))
            self._set_due(self._clock() + pause)
            await self._wait_until_due()
            self._due = math.inf
            try:
                await self._scan(first=False)
                failures = 0
            except AWSError as error:
                failures += 1
                self._failed(error)
                _log.warning("table scan failed; result discarded", error=str(error))

    def _failed(self, error: AWSError) -> None:
        self._last_try, self._fault = self._clock(), error.message
        self._metrics.resync_failures.inc()

    def _set_due(self, due: float) -> None:
        if due < self._due:
            self._due = due
            self._due_changed.set()

    async def _wait_until_due(self) -> None:
        while (left := min(self._due, self._requested_due) - self._clock()) > 0:
            self._due_changed.clear()
            await wait_for_event(self._due_changed, left)

    async def _scan(self, *, first: bool) -> None:
        started = self._clock()
        if self._requested_due < math.inf:
            self._requested_due, self._last_request_served = math.inf, started
        self._guard.orphans.scan_started()
        missed_by_stream, self._missed_by_stream = self._missed_by_stream, set()
        if missed_by_stream:
            self._metrics.missed.inc(len(missed_by_stream))
            _log.warning("stream missed changes", endpoints=sorted(missed_by_stream)[:20], count=len(missed_by_stream))
        self._changed = 0
        seen: set[str] = set()
        async for page in self._table.scan():
            for item in page:
                seen.add(self._compare(item, first=first))
            await asyncio.sleep(0)
        for name in self._items:
            if name not in seen:
                # The item may be gone. The scan alone is no proof, so a worker checks with a consistent read.
                self._changed += 1
                self._items.mark_stale(name)
                self._queue.add(name, Priority.LOW, Trigger.NOT_IN_SCAN)
        for name in await self._guard.scan_ended(seen):
            self._queue.add(name, Priority.LOW, Trigger.NO_ITEM)
        for name in self._guard.newly_approved():
            self._queue.add(name, Priority.LOW, Trigger.APPROVAL)
        self._last_try = self.last_success = self._clock()
        self._fault = ""
        self._metrics.endpoints.set(len(self._items))
        took = self.last_success - started
        self._metrics.resync_seconds.observe(took)
        # In poll mode, a scan runs every few seconds, so only those that found changes are logged at info level.
        log = _log.info if first or self._changed else _log.debug
        log("table scanned", endpoints=len(seen), changed=self._changed, seconds=round(took, 3))

    def _compare(self, item: WireItem, *, first: bool) -> str:
        name: str = item["endpoint_name"]["S"]
        self._guard.orphans.item_seen(name)
        if first and name not in self._items:
            self._items.put(item)
            self._queue.add(name, Priority.LOW, Trigger.FIRST_SCAN)
            return name
        change = self._items.compare(item)
        self._changed += change is ChangeKind.CHANGED
        if change is not ChangeKind.UNCHANGED:
            if change is ChangeKind.CHANGED and not first and self._items.stale_mark(name) is None:
                if self.mode == "stream":
                    self._missed_by_stream.add(name)
                else:
                    self._history.record_scan_change(name, self._items.wire(name), item)
            self._items.mark_stale(name)
        if change is not ChangeKind.UNCHANGED or not self._tokens.is_in_sync(name):
            self._queue.add(name, Priority.LOW, Trigger.RESYNC)
        return name
