"""The periodic full scan of the table: the net under the stream, and all there is where the table has no stream.

What a scan shows is only compared. Where it differs from what is known the name is marked and a worker reads the item
itself, so a page that is older than a write's answer can undo nothing. A scan that fails or is cut deletes nothing.
"""

import asyncio
import math
import random
from collections.abc import Callable

import structlog

from gco_stream.aws.table_errors import TableError
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.state.item_cache import DesiredState, Hint
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Band, Dispatcher
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.model.wire import WireItem
from gco_stream.ops.metrics import Metrics
from gco_stream.table.endpoints import EndpointTable

_log = structlog.get_logger()

_JITTER = 0.1
_RETRY_AFTER = 2.0
_RETRY_CAP = 15.0
# Removals come in bursts: a scan that is to prove them waits until they have ended. Where somebody wipes the table the
# scan then finds it empty, and half of it is not taken for all that was meant.
_QUIET = 5.0
_SPACING = 30.0
# A scan that fails is tried again within a minute, so by then the loop does not turn.
_STUCK_INTERVALS = 3
_STUCK_SECONDS = 600.0


def _ignore(*_: object) -> None:
    pass


class Resync:
    """Scans at once when asked, else every `interval()` seconds, ±10 %. `clock`: monotonic seconds.

    `guard` is told of what a complete scan has shown, and says which names without an item are to be planned. Where
    changes are `streaming`, a scan that finds one tells of a fault; without a stream that is what scans are for, and
    `on_found` gets the name, the item as it was known, and as it is.
    """

    def __init__(
        self,
        *,
        table: EndpointTable,
        desired: DesiredState,
        tokens: SyncTokens,
        dispatcher: Dispatcher,
        guard: Guard,
        metrics: Metrics,
        interval: Callable[[], float],
        streaming: Callable[[], bool],
        clock: Callable[[], float],
        rng: random.Random,
        on_found: Callable[[str, WireItem | None, WireItem], None] = _ignore,
    ) -> None:
        self._on_found = on_found
        self._table = table
        self._desired = desired
        self._tokens = tokens
        self._dispatcher = dispatcher
        self._guard = guard
        self._metrics = metrics
        self._interval = interval
        self._streaming = streaming
        self._clock = clock
        self._rng = rng
        self._due = math.inf
        self._moved = asyncio.Event()
        self._wish_due = math.inf
        self._last_wish_met = -math.inf
        self._doubtful: set[str] = set()
        self._changed = 0
        self.last_success: float | None = None
        self._last_try = clock()
        self._fault = ""

    @property
    def problem(self) -> str:
        """Why the table could not be scanned when that was last tried, "" where it could."""
        return self._fault

    @property
    def stands_still(self) -> float:
        """Seconds for which nothing has been tried although scans were long due, 0 where they go on, well or not."""
        idle = self._clock() - self._last_try
        return idle if idle > _STUCK_INTERVALS * self._interval() + _STUCK_SECONDS else 0.0

    def request(self, reason: str) -> None:
        """Changes may have been missed: scan as soon as possible."""
        _log.info("resync is due", reason=reason)
        self._move(-math.inf)

    def request_soon(self) -> None:
        """Items are being removed: once no more are, a scan is to prove that they are gone. The interval holds, too."""
        if self._wish_due == math.inf:
            self._moved.set()
        self._wish_due = max(self._clock() + _QUIET, self._last_wish_met + _SPACING)

    def delivered(self, name: str) -> None:
        """The stream has told of this name: its change was not missed, only slower than the scan."""
        self._doubtful.discard(name)

    def wake(self) -> None:
        """How changes arrive has changed, and with it the interval: wait by the new one."""
        self._doubtful.clear()
        self._move(-math.inf)

    async def first(self) -> None:
        """The scan that a leader begins with: tried until it succeeds. Fills the desired state."""
        failures = 0
        while True:
            try:
                await self._scan(first=True)
            except TableError as error:
                failures += 1
                self._failed(error)
                wait = min(_RETRY_CAP, _RETRY_AFTER * 2 ** (failures - 1))
                _log.error("the table cannot be scanned; nothing is done until it can", error=str(error), retry_s=wait)
                await asyncio.sleep(wait)
            else:
                return

    async def run(self) -> None:
        """Scans until cancelled."""
        failures = 0
        while True:
            pause = self._interval() * self._rng.uniform(1 - _JITTER, 1 + _JITTER)
            if failures:
                pause = min(pause, _RETRY_AFTER * 2 ** min(failures - 1, 5))
            self._move(self._clock() + pause)
            await self._wait_until_due()
            self._due = math.inf
            try:
                await self._scan(first=False)
                failures = 0
            except TableError as error:
                failures += 1
                self._failed(error)
                _log.warning("resync failed; nothing is concluded from it", error=str(error))

    def _failed(self, error: TableError) -> None:
        self._last_try, self._fault = self._clock(), error.message
        self._metrics.resync_failures.inc()

    def _move(self, due: float) -> None:
        if due < self._due:
            self._due = due
            self._moved.set()

    async def _wait_until_due(self) -> None:
        while (left := min(self._due, self._wish_due) - self._clock()) > 0:
            self._moved.clear()
            try:
                async with asyncio.timeout(left):
                    await self._moved.wait()
            except TimeoutError:
                continue

    async def _scan(self, *, first: bool) -> None:
        started = self._clock()
        if self._wish_due < math.inf:
            self._wish_due, self._last_wish_met = math.inf, started
        self._guard.orphans.scan_begins()
        missed, self._doubtful = self._doubtful, set()
        if missed:
            self._metrics.missed.inc(len(missed))
            _log.warning("changes that the stream had not delivered", endpoints=sorted(missed)[:20], count=len(missed))
        self._changed = 0
        seen: set[str] = set()
        async for page in self._table.scan():
            for item in page:
                seen.add(self._look_at(item, first=first))
            await asyncio.sleep(0)
        for name in self._desired:
            if name not in seen:
                # Gone, it seems. A consistent read of the item itself will tell; an empty scan alone is no proof.
                self._changed += 1
                self._desired.mark_stale(name)
                self._dispatcher.add(name, Band.RESYNC, Trigger.NOT_IN_SCAN)
        for name in await self._guard.scan_ended(seen):
            self._dispatcher.add(name, Band.RESYNC, Trigger.NO_ITEM)
        for name in self._guard.newly_approved():
            self._dispatcher.add(name, Band.RESYNC, Trigger.APPROVAL)
        self._last_try = self.last_success = self._clock()
        self._fault = ""
        self._metrics.endpoints.set(len(self._desired))
        took = self.last_success - started
        self._metrics.resync_seconds.observe(took)
        # Without a stream there is one every few seconds.
        log = _log.info if first or self._changed else _log.debug
        log("the table has been scanned", endpoints=len(seen), changed=self._changed, seconds=round(took, 3))

    def _look_at(self, item: WireItem, *, first: bool) -> str:
        name: str = item["endpoint_name"]["S"]
        self._guard.orphans.seen(name)
        if first and name not in self._desired:
            self._desired.put(item)
            self._dispatcher.add(name, Band.RESYNC, Trigger.FIRST_SCAN)
            return name
        hint = self._desired.compare(item)
        self._changed += hint is Hint.CHANGED
        if hint is not Hint.NOTHING_NEW:
            if hint is Hint.CHANGED and not first and self._desired.stale_mark(name) is None:
                if self._streaming():
                    self._doubtful.add(name)
                else:
                    self._on_found(name, self._desired.wire(name), item)
            self._desired.mark_stale(name)
        if hint is not Hint.NOTHING_NEW or not self._tokens.is_in_sync(name):
            self._dispatcher.add(name, Band.RESYNC, Trigger.RESYNC)
        return name
