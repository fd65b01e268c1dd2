"""Delivers the records of the table's stream to the engine, and reports gaps and the mode ("stream" or "poll").

Nothing is persisted. `pin` fixes a position in the stream, and every record after that position is delivered. The
engine scans the table after the pin, so it misses no change. If records may have been lost, for example because the
stream was replaced or a shard was trimmed before it was read, the consumer reports a gap and the engine scans again.

In mode "poll", the stream or a part of it cannot be read. The engine then scans the table more often, and the consumer
keeps trying to read the stream.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import structlog

from gco_stream.aio.backoff import Backoff
from gco_stream.aws.errors import AccessDenied, AWSError, NoStream, StreamEnded, Unreachable
from gco_stream.stream.client import StreamsClient
from gco_stream.stream.records import StreamRecord
from gco_stream.stream.shard_reader import ShardCallbacks, ShardSnapshot
from gco_stream.stream.tail import StreamTail

__all__ = [
    "Mode",
    "RecordProcessor",
    "ShardSnapshot",
    "StreamConsumer",
    "StreamLocation",
    "StreamRecord",
    "StreamSnapshot",
    "StreamTimes",
]

_log = structlog.get_logger(__name__)

Mode = Literal["stream", "poll"]

CALL_TIMEOUT: Final = 5.0
# Maximum pause between attempts to find a readable stream.
MAX_RECHECK_SECONDS: Final = 60.0
# The engine waits for the first pin. A stream that cannot be read must not delay the first scan of the table.
PIN_TIMEOUT: Final = 10.0
_MIN_DELAY: Final = 1.0


@dataclass(frozen=True, slots=True)
class StreamLocation:
    """The stream of the table. `arn` remains set after the stream is disabled, so check `enabled`."""

    arn: str | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """State of the consumer, for the status page and metrics.

    `reason` explains the mode. `arn` is None while no stream is read. `records` is the number of records delivered so
    far. `errors` is the number of failed calls by error code.
    """

    mode: Mode
    reason: str
    arn: str | None
    shards: tuple[ShardSnapshot, ...]
    records: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """Times in seconds: the pause between two reads of a shard, and the timeout of a call to AWS."""

    poll_interval: float
    call_timeout: float = CALL_TIMEOUT


class RecordProcessor(Protocol):
    """Receives the records and the state of a consumer. The methods must not raise."""

    def on_record(self, record: StreamRecord, /) -> None:
        """Receives the records of a shard in order, possibly more than once.

        The records of the parent shard come first, if the parent was listed before this shard was started and was never
        lost.
        """

    def on_gap(self, reason: str, /) -> None:
        """Handles a gap: records may have been missed, so a full resync is due."""

    def on_mode(self, mode: Mode, reason: str, /) -> None:
        """Receives the mode and its reason whenever either changes."""

    def on_call(self, operation: str, result: str, seconds: float, /) -> None:
        """Receives each finished call to DynamoDB Streams, with the result as in StreamsClient."""


class StreamConsumer:
    """Delivers every change of the table after `pin` to `processor`. Used for one term of leadership.

    `client` is an aiobotocore "dynamodbstreams" client with its retries disabled. `locate` returns the location of the
    table's stream; it is called again after any exception. `wall_clock` returns the current time in UTC.
    """

    def __init__(
        self,
        client: Any,
        locate: Callable[[], Awaitable[StreamLocation]],
        processor: RecordProcessor,
        times: StreamTimes,
        *,
        rng: random.Random | None = None,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._locate = locate
        self._processor = processor
        self._times = times
        self._wall_clock = wall_clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter
        self._client = StreamsClient(client, timeout=times.call_timeout, on_call=processor.on_call)
        self._backoff, self._denials = _backoff(self._rng), _backoff(self._rng)
        self._tail: StreamTail | None = None
        self._mode: Mode | None = None
        self._reason = "not started"
        self._degraded: dict[str, str] = {}
        self._records = 0

    async def pin(self) -> None:
        """Fixes the position in the stream after which every change is delivered.

        A table scan that starts afterwards misses no change. Switches to poll mode if the table has no stream, if
        access is denied, or if no attempt succeeds within 10 s.
        """
        problem = f"the stream did not respond within {PIN_TIMEOUT:g} s"
        try:
            async with asyncio.timeout(PIN_TIMEOUT):
                while self._tail is None:
                    try:
                        self._tail = await self._pinned_tail()
                    except (NoStream, AccessDenied):
                        raise
                    except AWSError as error:
                        problem = error.message
                        await asyncio.sleep(self._backoff.after_failure())
        except (NoStream, AccessDenied) as error:
            self._set_mode("poll", error.message)
        except TimeoutError:
            self._set_mode("poll", problem)

    async def run(self) -> None:
        """Delivers records until cancelled, regardless of AWS errors.

        If `pin` has not succeeded, `run` pins the stream first and reports a gap.
        """
        pause, clock = self._backoff.after_failure(), asyncio.get_running_loop().time
        while True:
            if self._tail is None:
                await asyncio.sleep(pause)
                pause = await self._attach("reading of the stream resumed")
                continue
            began = clock()
            try:
                await self._tail.run()
            except StreamEnded as error:
                _log.warning("stream ended", arn=self._tail.arn, reason=error.message)
                self._tail = None
                pause = await self._attach(error.message)
            except AWSError as error:
                self._tail = None
                # A single refusal costs a second. But each pin reports a gap, which causes a full resync, so the pause
                # grows if access is denied again soon after a pin.
                if clock() - began >= MAX_RECHECK_SECONDS:
                    self._denials.succeeded()
                pause = self._denials.after_failure()
                self._set_mode("poll", error.message)
                self._processor.on_gap(error.message)

    def snapshot(self) -> StreamSnapshot:
        """Returns the current state. Requires a running event loop, whose clock determines the ages."""
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
        """Pins the table's current stream and reports a gap with the reason `why`.

        Returns the delay before the next attempt in seconds, 0 after a success.
        """
        was_polling = self._mode == "poll"
        try:
            self._tail = await self._pinned_tail()
        except AWSError as error:
            self._set_mode("poll", error.message)
            if not was_polling:
                self._processor.on_gap(why)
            return self._backoff.after_failure()
        self._processor.on_gap(why)
        return 0.0

    async def _pinned_tail(self) -> StreamTail:
        location = await self._location()
        if not location.arn or not location.enabled:
            raise NoStream("the table has no stream" if not location.arn else "the table's stream is disabled")
        self._degraded.clear()
        arn = location.arn

        async def is_current_stream() -> bool:
            try:
                return await self._location() == StreamLocation(arn, enabled=True)
            except AWSError as error:
                _log.info("stream lookup failed; the current stream is kept", error=error.message)
                return True

        processor = ShardCallbacks(self._record, self._processor.on_gap, self._set_degraded)
        tail = StreamTail(
            self._client, arn, processor, is_current_stream, poll_interval=self._times.poll_interval, rng=self._rng
        )
        await tail.pin()
        self._backoff.succeeded()
        self._set_mode("stream", "reading the table's stream")
        return tail

    async def _location(self) -> StreamLocation:
        try:
            async with asyncio.timeout(self._times.call_timeout):
                return await self._locate()
        except Exception as error:
            # `locate` is passed in by the caller and may raise any exception.
            raise Unreachable(f"cannot look up the table's stream: {error}", type(error).__name__) from error

    def _record(self, record: StreamRecord) -> None:
        self._records += 1
        self._processor.on_record(record)

    def _set_degraded(self, source: str, problem: str | None) -> None:
        """Switches to poll mode while a source cannot be read. The readers keep trying, so no record is missed."""
        if problem is None:
            if self._degraded.pop(source, None) is None:
                return
        else:
            self._degraded[source] = problem
        if self._degraded:
            self._set_mode("poll", next(iter(self._degraded.values())))
        else:
            self._set_mode("stream", "reading the table's stream")

    def _set_mode(self, mode: Mode, reason: str) -> None:
        if (mode, reason) != (self._mode, self._reason):
            self._mode, self._reason = mode, reason
            self._processor.on_mode(mode, reason)


def _backoff(rng: random.Random) -> Backoff:
    return Backoff(rng, base=_MIN_DELAY, cap=MAX_RECHECK_SECONDS)
