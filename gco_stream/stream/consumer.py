"""The stream as the engine sees it: records as they come, word of gaps, and whether changes arrive by it at all.

Nothing is kept over a restart. `pin` fixes a place in the stream, the engine scans the table, and everything after that
place is delivered: so nothing is missed. Where the place is lost (a new stream, a shard trimmed before it was read) the
same is done again, and the engine is told of the gap after the new place is fixed. Without a stream that can be read
the mode is "poll": the engine scans more often, and the stream is looked for again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import structlog

from gco_stream.aio.backoff import Backoff
from gco_stream.aws.stream_errors import AccessDenied, NoStream, StreamEnded, StreamError, Unreachable
from gco_stream.stream.client import StreamsClient
from gco_stream.stream.records import StreamRecord
from gco_stream.stream.shard_reader import RecordProcessor, ShardSnapshot
from gco_stream.stream.tail import StreamTail

__all__ = ["Mode", "ShardSnapshot", "StreamConsumer", "StreamLocation", "StreamRecord", "StreamSnapshot"]

_log = structlog.get_logger(__name__)

Mode = Literal["stream", "poll"]

CALL_TIMEOUT: Final = 5.0
# The longest pause before a stream that is off or may not be read is looked for again.
MAX_RECHECK_SECONDS: Final = 60.0
# The engine waits for the first pin. A stream that cannot be read must not keep the table's endpoints waiting.
PIN_TIMEOUT: Final = 10.0
_MIN_DELAY: Final = 1.0


@dataclass(frozen=True, slots=True)
class StreamLocation:
    """The table's stream. `arn` stays after a stream is turned off, so `enabled` tells."""

    arn: str | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """How it is going, for the status page and metrics.

    `reason` says in words why the mode is what it is. `records` were delivered since the start, `errors` counts failed
    calls by DynamoDB's or botocore's name for the failure.
    """

    mode: Mode
    reason: str
    arn: str | None
    shards: tuple[ShardSnapshot, ...]
    records: int
    errors: Mapping[str, int]


class StreamConsumer:
    """Tells of every change of the table from `pin` on; made for one tenure.

    `client`: an aiobotocore "dynamodbstreams" client whose own retries are off. `locate` asks where the table's stream
    is; whatever it raises is tried again later. The callbacks are synchronous and must not raise: `on_record`, in
    order within a shard, and after those of its parent if that was listed before the shard was begun and never lost,
    maybe more than once; `on_gap`: records may have been missed, a full resync is due; `on_mode`, with each change of
    mode or of the reason for it; `on_call`, of each call to AWS: the operation, "ok" or the kind of failure, and its
    seconds. Times are in seconds, `wall_clock` is in UTC.
    """

    def __init__(
        self,
        client: Any,
        locate: Callable[[], Awaitable[StreamLocation]],
        *,
        poll_interval: float,
        on_record: Callable[[StreamRecord], None],
        on_gap: Callable[[str], None],
        on_mode: Callable[[Mode, str], None],
        on_call: Callable[[str, str, float], None] = lambda *_: None,
        call_timeout: float = CALL_TIMEOUT,
        rng: random.Random | None = None,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._locate = locate
        self._poll_interval = poll_interval
        self._on_gap = on_gap
        self._on_record = on_record
        self._on_mode = on_mode
        self._wall_clock = wall_clock
        self._call_timeout = call_timeout
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._client = StreamsClient(client, timeout=call_timeout, on_call=on_call)
        self._backoff = Backoff(self._rng, base=_MIN_DELAY, cap=MAX_RECHECK_SECONDS)
        self._tail: StreamTail | None = None
        self._mode: Mode | None = None
        self._reason = "not started"
        self._degraded: dict[str, str] = {}
        self._records = 0

    async def pin(self) -> None:
        """Fix the place in the stream from which every change will be delivered; a scan that begins afterwards misses
        nothing. Returns in poll mode where there is no stream or it cannot be read for 10 s.
        """
        problem = f"the stream did not answer for {PIN_TIMEOUT:g} s"
        try:
            async with asyncio.timeout(PIN_TIMEOUT):
                while self._tail is None:
                    try:
                        self._tail = await self._pinned_tail()
                    except (NoStream, AccessDenied):
                        raise
                    except StreamError as error:
                        problem = error.message
                        await asyncio.sleep(self._backoff.after_failure())
        except (NoStream, AccessDenied) as error:
            self._set_mode("poll", error.message)
        except TimeoutError:
            self._set_mode("poll", problem)

    async def run(self) -> None:
        """Deliver until cancelled, whatever AWS answers. Without `pin` before, it begins with one, and a gap."""
        pause = self._backoff.after_failure()
        while True:
            if self._tail is None:
                await asyncio.sleep(pause)
                pause = await self._attach("the stream is read again")
                continue
            try:
                await self._tail.run()
            except StreamEnded as error:
                _log.warning("the stream has ended", arn=self._tail.arn, reason=error.message)
                self._tail = None
                pause = await self._attach(error.message)
            except StreamError as error:
                self._tail = None
                # It could be pinned, and would be again at once: each time costs a gap.
                pause = MAX_RECHECK_SECONDS * self._rng.uniform(0.9, 1)
                self._set_mode("poll", error.message)
                self._on_gap(error.message)

    def snapshot(self) -> StreamSnapshot:
        """How it is going. Needs a running event loop, whose time the ages are taken by."""
        now = asyncio.get_running_loop().time()
        return StreamSnapshot(
            mode=self._mode or "poll",
            reason=self._reason,
            arn=self._tail.arn if self._tail else None,
            shards=self._tail.snapshot(now, self._wall_clock()) if self._tail else (),
            records=self._records,
            errors=dict(self._client.errors),
        )

    async def _attach(self, why: str) -> float:
        """Pin whatever stream the table has now and tell of the gap; the seconds until another try where that fails."""
        was_polling = self._mode == "poll"
        try:
            self._tail = await self._pinned_tail()
        except StreamError as error:
            self._set_mode("poll", error.message)
            if not was_polling:
                self._on_gap(why)
            return self._backoff.after_failure()
        self._on_gap(why)
        return 0.0

    async def _pinned_tail(self) -> StreamTail:
        location = await self._location()
        if not location.arn or not location.enabled:
            raise NoStream("the table has no stream" if not location.arn else "the table's stream is turned off")
        self._degraded.clear()
        arn = location.arn

        async def is_current_stream() -> bool:
            try:
                return await self._location() == StreamLocation(arn, enabled=True)
            except StreamError as error:
                _log.info("the table's stream cannot be looked up", error=error.message)
                return True

        processor = RecordProcessor(self._record, self._on_gap, self._set_degraded)
        tail = StreamTail(
            self._client, arn, processor, is_current_stream, poll_interval=self._poll_interval, rng=self._rng
        )
        await tail.pin()
        self._backoff.succeeded()
        self._set_mode("stream", "the table's stream is read")
        return tail

    async def _location(self) -> StreamLocation:
        try:
            async with asyncio.timeout(self._call_timeout):
                return await self._locate()
        except Exception as error:
            # Another room's errors, which cannot be known here.
            raise Unreachable(f"the table's stream cannot be looked up: {error}", type(error).__name__) from error

    def _record(self, record: StreamRecord) -> None:
        self._records += 1
        self._on_record(record)

    def _set_degraded(self, source: str, problem: str | None) -> None:
        """A source that is not readable makes it poll mode, though reading goes on; nothing is missed meanwhile."""
        if problem is None:
            if self._degraded.pop(source, None) is None:
                return
        else:
            self._degraded[source] = problem
        if self._degraded:
            self._set_mode("poll", next(iter(self._degraded.values())))
        else:
            self._set_mode("stream", "the table's stream is read")

    def _set_mode(self, mode: Mode, reason: str) -> None:
        if (mode, reason) != (self._mode, self._reason):
            self._mode, self._reason = mode, reason
            self._on_mode(mode, reason)
