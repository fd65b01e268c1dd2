"""Reads one stream from a fixed position, with one reader per shard and a task that looks for new shards.

The shards are listed every 30 s and whenever a shard ends. If an ended shard has no child in the list, the list may lag
and is requested again with increasing delays. A missing child can also mean that the stream was disabled or replaced,
so the table's current stream is then looked up.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Final, NoReturn

import structlog

from gco_stream.aio.backoff import Backoff, delay_after
from gco_stream.aio.events import wait_for_event
from gco_stream.aws.errors import (
    AccessDenied,
    AWSError,
    IteratorExpired,
    NotFound,
    Rejected,
    StreamEnded,
    Trimmed,
)
from gco_stream.stream.client import StreamDescription, StreamsClient
from gco_stream.stream.lineage import Lineage, ShardStart, ShardState
from gco_stream.stream.shard_reader import (
    DEGRADED_AFTER_SECONDS,
    ShardCallbacks,
    ShardReader,
    ShardReadResult,
    ShardSnapshot,
)
from gco_stream.stream.task_group import StreamTasks, stream_tasks

_log = structlog.get_logger(__name__)

SHARD_SYNC_SECONDS: Final = 30.0
_SYNC_JITTER: Final = 0.1
_MIN_SYNC_DELAY: Final = 0.2
_MAX_ATTEMPTS: Final = 6
"""Number of listings that look for the child of an ended shard in quick succession, within about 12 s."""
_VERIFY_AFTER_ATTEMPTS: Final = 2
"""Number of these listings after which the table's current stream is looked up."""
_MAX_DELAY: Final = 30.0
_ACTIVE_STATUSES: Final = frozenset({"ENABLING", "ENABLED"})
_SHARD_LIST: Final = "list of shards"


class StreamTail:
    """Reads the stream `arn` from the pin on. `is_current_stream` returns whether it is still the table's stream."""

    def __init__(
        self,
        client: StreamsClient,
        arn: str,
        processor: ShardCallbacks,
        is_current_stream: Callable[[], Awaitable[bool]],
        *,
        poll_interval: float,
        rng: random.Random,
    ) -> None:
        self.arn = arn
        self._client = client
        self._processor = processor
        self._is_current_stream = is_current_stream
        self._poll_interval = poll_interval
        self._rng = rng
        self._lineage = Lineage()
        self._readers: dict[str, ShardReader] = {}
        self._shard_ended = asyncio.Event()
        self._attempts = 0

    async def pin(self) -> None:
        """Fixes the position after which all records are delivered, on every open shard. Raises AWSError.

        A shard that fails temporarily is pinned later and then reports a gap. Raises AWSError if the shards cannot
        be listed, if access is denied, or if no shard can be pinned.
        """
        description = await self._client.describe(self.arn)
        if description.status not in _ACTIVE_STATUSES:
            raise StreamEnded(f"the stream is {description.status}")
        self._lineage, starts = Lineage.pinned(description.shards)
        self._add_readers(starts)
        failures: list[AWSError] = []
        async with stream_tasks() as tasks:
            for start in starts:
                tasks.start(partial(self._pin, start.shard_id, failures), f"pin {start.shard_id}")
        if not self._readers:
            raise StreamEnded("no shard of the stream can be read")
        if len(failures) == len(self._readers):
            raise failures[0]

    async def run(self) -> NoReturn:
        """Delivers records until cancelled. Raises StreamEnded and AccessDenied."""
        async with stream_tasks() as tasks:
            self._start_readers(tasks, tuple(self._readers))
            tasks.start(partial(self._sync_shards, tasks), "look for shards")
        raise AssertionError("unreachable")

    def snapshot(self, now: float, wall: datetime) -> tuple[ShardSnapshot, ...]:
        """Returns the shards being read or waiting. `now` is the event loop's time, `wall` the current time in UTC."""
        waiting = (id_ for id_, entry in self._lineage.shards.items() if entry.state is ShardState.WAITING)
        return (
            *(reader.snapshot(now, wall) for reader in self._readers.values()),
            *(ShardSnapshot(id_, ShardState.WAITING.value) for id_ in waiting),
        )

    async def _pin(self, shard_id: str, failures: list[AWSError]) -> None:
        reader = self._readers[shard_id]
        try:
            await reader.pin()
        except AccessDenied:
            raise
        except (NotFound, Trimmed, IteratorExpired, Rejected) as error:
            # The shard ended after it was listed, or was trimmed. The table scan after the pin covers its records.
            _log.info("shard cannot be pinned", shard=shard_id, error=error.message)
            del self._readers[shard_id]
            self._lineage, starts = self._lineage.ended(shard_id, lost=True)
            self._add_readers(starts)
        except AWSError as error:
            # A temporary failure of one shard must not prevent the others from being read.
            reader.pin_failed(error)
            failures.append(error)

    def _add_readers(self, starts: Iterable[ShardStart]) -> tuple[str, ...]:
        ids = []
        for start in starts:
            reader = ShardReader(
                self._client, self.arn, start, self._processor, poll_interval=self._poll_interval, rng=self._rng
            )
            reader.closed = self._lineage.shards[start.shard_id].shard.closed
            self._readers[start.shard_id] = reader
            ids.append(start.shard_id)
            _log.info("shard reading started", shard=start.shard_id, begin=start.iterator_type.value)
        return tuple(ids)

    def _start_readers(self, tasks: StreamTasks, shard_ids: Iterable[str]) -> None:
        for shard_id in shard_ids:
            tasks.start(partial(self._read, tasks, self._readers[shard_id]), f"read {shard_id}")

    async def _read(self, tasks: StreamTasks, reader: ShardReader) -> None:
        end = await reader.run()
        shard_id = reader.shard_id
        del self._readers[shard_id]
        _log.info("shard reading ended", shard=shard_id, result=end.value)
        self._lineage, starts = self._lineage.ended(shard_id, lost=end is ShardReadResult.LOST)
        if end is ShardReadResult.LOST:
            self._processor.degraded(shard_id, None)
            self._processor.gap(f"shard {shard_id} was lost before its end was read")
        self._start_readers(tasks, self._add_readers(starts))
        self._attempts = 0
        self._shard_ended.set()

    async def _sync_shards(self, tasks: StreamTasks) -> NoReturn:
        backoff = Backoff(self._rng, base=_MIN_SYNC_DELAY, cap=_MAX_DELAY)
        clock = asyncio.get_running_loop().time
        last_retry = -math.inf
        while True:
            soon = self._attempts < _MAX_ATTEMPTS and bool(self._lineage.childless())
            delay = delay_after(self._attempts + 1, base=_MIN_SYNC_DELAY, cap=SHARD_SYNC_SECONDS)
            is_periodic = await self._pause(delay if soon else SHARD_SYNC_SECONDS) and not soon
            began = clock()
            while (description := await self._describe_stream()) is None:
                if clock() - began >= DEGRADED_AFTER_SECONDS:
                    self._processor.degraded(_SHARD_LIST, "cannot list the shards of the stream")
                await asyncio.sleep(backoff.after_failure())
            backoff.succeeded()
            self._processor.degraded(_SHARD_LIST, None)
            # A shard may have been refused only once, so it is retried at once. But a retry reports a gap, which causes
            # a full resync, so a shard that stays lost is retried rarely.
            retry_open = clock() - last_retry >= SHARD_SYNC_SECONDS
            self._lineage, starts = self._lineage.listed(
                description.shards, retry_lost=is_periodic, retry_open=retry_open
            )
            if any(start.gap for start in starts):
                last_retry = clock()
            for shard_id, reader in self._readers.items():
                reader.closed = self._lineage.shards[shard_id].shard.closed
            self._start_readers(tasks, self._add_readers(starts))
            await self._verify_stream_arn(description.status)

    async def _pause(self, seconds: float) -> bool:
        """Waits up to `seconds` for a shard to end. Returns True if none has ended."""
        if not await wait_for_event(self._shard_ended, seconds * self._rng.uniform(1 - _SYNC_JITTER, 1)):
            return True
        self._shard_ended.clear()
        return False

    async def _describe_stream(self) -> StreamDescription | None:
        try:
            return await self._client.describe(self.arn)
        except AccessDenied:
            raise
        except NotFound as error:
            raise StreamEnded(f"the stream no longer exists: {error.message}", error.code) from error
        except AWSError as error:
            _log.debug("listing shards failed", error=error.message)
            return None

    async def _verify_stream_arn(self, status: str) -> None:
        """Looks up the table's current stream if this one may have ended. Raises StreamEnded if it has."""
        children_missing = bool(self._lineage.childless())
        self._attempts = min(self._attempts + 1, _MAX_ATTEMPTS) if children_missing else 0
        nothing_read = not self._readers
        degraded = any(reader.degraded for reader in self._readers.values())
        doubtful = children_missing and (self._attempts == _VERIFY_AFTER_ATTEMPTS or nothing_read)
        if (doubtful or degraded or status not in _ACTIVE_STATUSES) and not await self._is_current_stream():
            raise StreamEnded("the table's stream was disabled or replaced")
        if nothing_read and self._attempts >= _MAX_ATTEMPTS:
            raise StreamEnded("no shard of the stream can be read")
