"""Reads one shard: requests its pages in order and delivers each page before requesting the next.

The reader keeps the iterator of a page until that page is delivered, so a failed call causes only a delay. An iterator
expires after 15 minutes. After a longer outage, reading resumes after the last record that was delivered.
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
from gco_stream.aws.errors import (
    AccessDenied,
    AWSError,
    IteratorExpired,
    NotFound,
    Rejected,
    Throttled,
    Trimmed,
)
from gco_stream.stream.client import RecordsPage, StreamsClient
from gco_stream.stream.lineage import ShardIteratorType, ShardStart
from gco_stream.stream.records import StreamRecord, record_of

_log = structlog.get_logger(__name__)

DEGRADED_AFTER_SECONDS: Final = 30.0
_MAX_PAGES_IN_A_ROW: Final = 10
# Reads of a completely trimmed shard always fail with TrimmedDataAccessException. While a shard is only being trimmed,
# that error does not occur this many times in a row.
_MAX_TRIMS_IN_A_ROW: Final = 3
_MIN_DELAY: Final = 0.1
_MAX_DELAY: Final = 10.0
# Number of records after which the reader yields to the event loop.
_YIELD_AFTER_RECORDS: Final = 100


class ShardReadResult(Enum):
    """How reading a shard ended."""

    SHARD_END = "drained"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ShardSnapshot:
    """Progress of reading one shard.

    `state` is "reading", or "waiting" until the parent has been read. `read_age` is the time since the last successful
    read, and `behind` is an upper bound on the stream lag. Both are in seconds, and None before the first read.
    """

    shard_id: str
    state: str
    last_sequence_number: str | None = None
    read_age: float | None = None
    behind: float | None = None


@dataclass(frozen=True, slots=True)
class ShardCallbacks:
    """Callbacks for the records and problems of a stream.

    `gap` receives the reason why records may have been missed. `degraded` receives a source (a shard id, or the list of
    shards) with a problem when the source has not been readable for DEGRADED_AFTER_SECONDS, and with None when it is
    readable again. Repeated calls with the same arguments are possible.
    """

    record: Callable[[StreamRecord], None]
    gap: Callable[[str], None]
    degraded: Callable[[str, str | None], None]


class ShardReader:
    """Reads a shard of the stream `arn` from the position in `start` to its end."""

    def __init__(
        self,
        client: StreamsClient,
        arn: str,
        start: ShardStart,
        processor: ShardCallbacks,
        *,
        poll_interval: float,
        rng: random.Random,
    ) -> None:
        self.shard_id = start.shard_id
        self.closed = False
        """Whether the shard is listed as closed. Its pages are then requested without waiting for new records."""
        self._client = client
        self._arn = arn
        self._processor = processor
        self._poll_interval = poll_interval
        # Twice the interval, because jitter may halve a delay, and failures must not cause more calls than successes.
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
        """Whether the shard has not been readable for DEGRADED_AFTER_SECONDS."""
        self._gap = f"shard {start.shard_id} was temporarily unreadable" if start.gap else ""

    async def pin(self) -> None:
        """Reads one page, which fixes the position after which all records are delivered. Raises AWSError."""
        await self._read()
        self._pause = self._poll_interval

    def pin_failed(self, error: AWSError) -> None:
        """Records a temporary failure to pin. `run` retries, and reports a gap after its first successful read."""
        self._pause = self._failed(error)
        self._gap = self._gap or f"shard {self.shard_id} was not readable when the stream was pinned"

    async def run(self) -> ShardReadResult:
        """Reads until the shard ends or is lost, and retries temporary failures. Raises only AccessDenied."""
        in_a_row = 0
        while not self._at_shard_end:
            await asyncio.sleep(self._pause)
            try:
                page = await self._read()
            except AccessDenied:
                raise
            except NotFound as error:
                _log.warning("shard not found before its end was read", shard=self.shard_id, error=error.message)
                return ShardReadResult.LOST
            except AWSError as error:
                self._pause, in_a_row = self._failed(error), 0
                if self._trims >= _MAX_TRIMS_IN_A_ROW:
                    _log.warning("shard trimmed before its end was read", shard=self.shard_id)
                    return ShardReadResult.LOST
            else:
                self._succeeded()
                more = page.full or self.closed
                # After throttling, the reader keeps to the poll interval until it has caught up.
                self._throttled = self._throttled and more
                in_a_row = in_a_row + 1 if more and not self._throttled and in_a_row < _MAX_PAGES_IN_A_ROW else 0
                self._pause = 0.0 if in_a_row else self._poll_interval
        return ShardReadResult.SHARD_END

    def snapshot(self, now: float, wall: datetime) -> ShardSnapshot:
        """Returns the current progress. `now` is the event loop's time, and `wall` is the current time in UTC."""
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
            self._gap = self._gap or f"{unreadable} malformed records in shard {self.shard_id}"
        if self._gap:
            gap, self._gap = self._gap, ""
            self._processor.gap(gap)
        return page

    def _deliver(self, raw: Mapping[str, Any]) -> bool:
        try:
            record = record_of(raw, self.shard_id)
        except ValueError as error:
            _log.warning("malformed stream record", shard=self.shard_id, error=str(error))
            return False
        self._processor.record(record)
        self._last_sequence_number, self._last_created = record.sequence_number, record.created
        return True

    def _failed(self, error: AWSError) -> float:
        """Handles a failure and returns the delay before the next attempt, in seconds."""
        now = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        match error:
            case Throttled():
                self._throttled = True
            case Trimmed():
                self._trims += 1
                self._restart(f"shard {self.shard_id} was trimmed before it was read")
            case Rejected() if self._iterator is None and self._last_sequence_number is not None:
                # A retry cannot succeed: a rejected sequence number does not become valid.
                self._restart(f"the position in shard {self.shard_id} was rejected")
            case IteratorExpired() | Rejected():
                self._iterator = None
                if self._last_sequence_number is None:
                    self._gap = f"the iterator of shard {self.shard_id} expired before any record was read"
        if not self.degraded and now - self._failing_since >= DEGRADED_AFTER_SECONDS:
            self.degraded = True
            self._processor.degraded(self.shard_id, error.message)
        _log.debug("shard read failed", shard=self.shard_id, error=error.message)
        return self._backoff.after_failure()

    def _restart(self, gap: str) -> None:
        # It is unknown which records were lost. Deliver what the shard still holds; the resync covers the rest.
        self._iterator, self._last_sequence_number, self._iterator_type = None, None, ShardIteratorType.TRIM_HORIZON
        self._gap = gap

    def _succeeded(self) -> None:
        self._backoff.succeeded()
        self._trims = 0
        self._failing_since = None
        if self.degraded:
            self.degraded = False
            self._processor.degraded(self.shard_id, None)
