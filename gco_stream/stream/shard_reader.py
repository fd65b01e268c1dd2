"""The reader of one shard: pages in order, each delivered before the next is asked for.

It holds the iterator of the page that is due until that page has been delivered, so a call that fails costs nothing but
time. An iterator lives 15 minutes; after a longer outage it begins after the last record that it delivered.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

import structlog

from gco_stream.aio.backoff import Backoff
from gco_stream.aws.stream_errors import (
    AccessDenied,
    IteratorExpired,
    NotFound,
    Rejected,
    StreamError,
    Throttled,
    Trimmed,
)
from gco_stream.stream.client import RecordsPage, StreamsClient
from gco_stream.stream.lineage import ShardIteratorType, ShardStart
from gco_stream.stream.records import StreamRecord, record_of

_log = structlog.get_logger(__name__)

DEGRADED_AFTER_SECONDS: Final = 30.0
_MAX_PAGES_IN_A_ROW: Final = 10
# A shard that is trimmed as a whole answers so for ever; one that is being trimmed, not so often in a row.
_MAX_TRIMS_IN_A_ROW: Final = 3
_MIN_DELAY: Final = 0.1
_MAX_DELAY: Final = 10.0
# Other work gets its turn after so many records.
_YIELD_AFTER_RECORDS: Final = 100


class ShardReadResult(Enum):
    """How the reading of a shard ended."""

    SHARD_END = "drained"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ShardSnapshot:
    """How the reading of one shard is going.

    `state` is "reading" or "waiting" (for its parent's end). `read_age`: seconds since a page was last read; `behind`:
    at most so many seconds ago something may have been written that is not delivered yet (both None: never read).
    """

    shard_id: str
    state: str
    last_sequence_number: str | None = None
    read_age: float | None = None
    behind: float | None = None


@dataclass(frozen=True, slots=True)
class RecordProcessor:
    """Where a stream's reader hands things over; all synchronous.

    `degraded` is told once that a source (a shard, or the list of shards) has not been readable for TROUBLE_SECONDS,
    and None once it is again.
    """

    record: Callable[[StreamRecord], None]
    gap: Callable[[str], None]
    degraded: Callable[[str, str | None], None]


class ShardReader:
    """Reads a shard of the stream `arn` from a Start to its end."""

    def __init__(
        self,
        client: StreamsClient,
        arn: str,
        start: ShardStart,
        processor: RecordProcessor,
        *,
        poll_interval: float,
        rng: random.Random,
    ) -> None:
        self.shard_id = start.shard_id
        self.closed = False
        """Whether the list of shards says that nothing more will come: then it is read without pauses."""
        self._client = client
        self._arn = arn
        self._processor = processor
        self._poll_interval = poll_interval
        # Twice, since a delay may be shortened by half: failures must not make for more calls than success does.
        self._backoff = Backoff(rng, base=max(2 * poll_interval, _MIN_DELAY), cap=_MAX_DELAY)
        self._pause = 0.0
        self._iterator_type = start.iterator_type
        self._iterator: str | None = None
        self._at_shard_end = False
        self._last_sequence_number: str | None = None
        self._last_created: datetime | None = None
        self._last_page_full = False
        self._last_read: float | None = None
        self._throttled = False
        self._trims = 0
        self._failing_since: float | None = None
        self.degraded = False
        """Whether it has not been readable for TROUBLE_SECONDS."""
        self._gap = f"shard {start.shard_id} could not be read for a time" if start.gap else ""

    async def pin(self) -> None:
        """Read one page, which fixes the place from which everything will be delivered. Raises StreamError."""
        await self._read()
        self._pause = self._poll_interval

    def pin_failed(self, error: StreamError) -> None:
        """It could not be pinned for the moment: `run` tries on, and tells of a gap when the place is fixed."""
        self._pause = self._failed(error)
        self._gap = self._gap or f"shard {self.shard_id} could not be read from the start"

    async def run(self) -> ShardReadResult:
        """Read to the shard's end, whatever fails on the way. Raises AccessDenied alone."""
        in_a_row = 0
        while not self._at_shard_end:
            await asyncio.sleep(self._pause)
            try:
                page = await self._read()
            except AccessDenied:
                raise
            except NotFound as error:
                _log.warning("a shard is gone before its end", shard=self.shard_id, error=error.message)
                return ShardReadResult.LOST
            except StreamError as error:
                self._pause, in_a_row = self._failed(error), 0
                if self._trims >= _MAX_TRIMS_IN_A_ROW:
                    _log.warning("a shard was trimmed before its end", shard=self.shard_id)
                    return ShardReadResult.LOST
            else:
                self._succeeded()
                more = page.full or self.closed
                # Where the pages come too fast for DynamoDB, they are read at the usual pace until there are no more.
                self._throttled = self._throttled and more
                in_a_row = in_a_row + 1 if more and not self._throttled and in_a_row < _MAX_PAGES_IN_A_ROW else 0
                self._pause = 0.0 if in_a_row else self._poll_interval
        return ShardReadResult.SHARD_END

    def snapshot(self, now: float, wall: datetime) -> ShardSnapshot:
        """How it is going; `now` is the running loop's time, `wall` the time of day in UTC."""
        read_age = behind = None if self._last_read is None else now - self._last_read
        if self._last_page_full and self._last_created is not None:
            behind = max(0.0, (wall - self._last_created).total_seconds())
        return ShardSnapshot(self.shard_id, "reading", self._last_sequence_number, read_age, behind)

    async def _read(self) -> RecordsPage:
        if self._iterator is None:
            self._iterator = await self._client.get_shard_iterator(
                self._arn, self.shard_id, self._iterator_type, self._last_sequence_number
            )
        page = await self._client.get_records(self._iterator)
        unreadable = 0
        for number, raw in enumerate(page.records, 1):
            unreadable += not self._deliver(raw)
            if number % _YIELD_AFTER_RECORDS == 0:
                await asyncio.sleep(0)
        self._iterator, self._at_shard_end = page.next_iterator, page.next_iterator is None
        self._last_read = asyncio.get_running_loop().time()
        self._last_page_full = page.full
        if unreadable:
            self._gap = self._gap or f"{unreadable} unreadable records in shard {self.shard_id}"
        if self._gap:
            gap, self._gap = self._gap, ""
            self._processor.gap(gap)
        return page

    def _deliver(self, raw: Mapping[str, Any]) -> bool:
        try:
            record = record_of(raw, self.shard_id)
        except ValueError as error:
            _log.warning("a stream record cannot be read", shard=self.shard_id, error=str(error))
            return False
        self._processor.record(record)
        self._last_sequence_number, self._last_created = record.sequence_number, record.created
        return True

    def _failed(self, error: StreamError) -> float:
        """What follows from a failure; the seconds to wait before the next try."""
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        match error:
            case Throttled():
                self._throttled = True
            case Trimmed():
                self._trims += 1
                self._restart_at_horizon(f"shard {self.shard_id} was trimmed before it was read")
            case Rejected() if self._iterator is None and self._last_sequence_number is not None:
                # A place that is refused once is refused for ever.
                self._restart_at_horizon(f"shard {self.shard_id} could not be read on from where it was")
            case IteratorExpired() | Rejected():
                self._iterator = None
                if self._last_sequence_number is None:
                    self._gap = f"shard {self.shard_id} was not read for longer than its iterator lives"
        if not self.degraded and now - self._failing_since >= DEGRADED_AFTER_SECONDS:
            self.degraded = True
            self._processor.degraded(self.shard_id, error.message)
        _log.debug("a shard could not be read", shard=self.shard_id, error=error.message)
        return self._backoff.after_failure()

    def _restart_at_horizon(self, gap: str) -> None:
        # What was lost cannot be told: whatever the shard still holds is delivered, the resync does the rest.
        self._iterator, self._last_sequence_number, self._iterator_type = None, None, ShardIteratorType.TRIM_HORIZON
        self._gap = gap

    def _succeeded(self) -> None:
        self._backoff.succeeded()
        self._trims = 0
        self._failing_since = None
        if self.degraded:
            self.degraded = False
            self._processor.degraded(self.shard_id, None)
