"""Recorder of Kubernetes Events that describe, in one sentence, an action on an object or a problem with it.

Events are best effort: no caller waits for them or fails because of them. A repeat increases the count of the existing
Event, which is written at most every 10 minutes. Events beyond the rate limit are dropped and counted.
"""

import asyncio
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, Conflict, Forbidden, NotFound, Rejected, Unauthorized
from gco_stream.cluster.leaderelection.record import micro_time
from gco_stream.model.kinds import RESOURCES
from gco_stream.model.objects import JsonObject, ObjectRef

EventType = Literal["Normal", "Warning"]

CONTROLLER: Final = "gco-stream"
# In bytes, as the server counts it.
MAX_NOTE: Final = 1024
_MAX_SHORT: Final = 128
_ACTION: Final = "Reconcile"
_API_VERSION: Final = "events.k8s.io/v1"

_QUEUE: Final = 500
_MAX_SERIES: Final = 2000
# Minimum seconds between two writes of an Event.
_QUIET_SECONDS: Final = 600.0
# Seconds after which a repeat is written as a new Event, because the server deletes Events after an hour.
_FORGET_SECONDS: Final = 3000.0
_BURST: Final = 50
_PER_SECOND: Final = 5.0
# Limits per object, so that one flapping object leaves room for the others.
_OBJECT_BURST: Final = 25
_OBJECT_PER_SECOND: Final = 1 / 60
_MAX_ATTEMPTS: Final = 3
_FIRST_DELAY: Final = 1.0
_PERMANENT: Final = (Forbidden, NotFound, Rejected, Unauthorized)
_TIMEOUT: Final = 10.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class TokenBucket:
    """Token bucket with at most `burst` tokens, refilled at `rate` tokens per second.

    `at`: when `tokens` was last updated, in monotonic seconds.
    """

    burst: float
    rate: float
    tokens: float
    at: float

    @classmethod
    def full(cls, burst: float, rate: float, now: float) -> "TokenBucket":
        """Creates a full bucket."""
        return cls(burst, rate, burst, now)

    def wait(self, now: float) -> float:
        """Returns the seconds until a token is available."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        return max(0.0, (1 - self.tokens) / self.rate)

    def try_take(self, now: float) -> bool:
        """Takes a token if one is available; returns whether it did."""
        if self.wait(now) > 0:
            return False
        self.spend()
        return True

    def spend(self) -> None:
        """Takes a token without checking whether one is available."""
        self.tokens -= 1


@dataclass(frozen=True, slots=True)
class _Key:
    ref: ObjectRef
    uid: str
    type: EventType
    reason: str
    note: str


@dataclass(slots=True)
class _Series:
    """An Event and its repeats.

    `first`, `last`: wall-clock times in microseconds since 1970. `written`: time of the last write, in monotonic
    seconds. `name`: the Event's name, chosen by the client so that a retry after a lost response does not create a
    second Event.
    """

    first: int
    last: int
    name: str
    count: int = 1
    created: bool = False
    written: float = 0.0
    queued: bool = True


class EventRecorder:
    """Queue and writer of events.k8s.io Events.

    `instance`: this replica's name. `clock` returns monotonic seconds, `wall` microseconds since 1970. `emit` neither
    waits nor raises.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._client = client
        self._instance = instance[:_MAX_SHORT] or CONTROLLER
        self._clock = clock
        self._wall = wall
        self._series: OrderedDict[_Key, _Series] = OrderedDict()
        self._objects: OrderedDict[ObjectRef, TokenBucket] = OrderedDict()
        self._queue: deque[_Key] = deque()
        self._arrived = asyncio.Event()
        self._all = TokenBucket.full(_BURST, _PER_SECOND, clock())
        self.dropped = 0

    def emit(self, ref: ObjectRef, uid: str, type_: EventType, reason: str, note: str) -> None:
        """Queues an Event about an object.

        `reason` is one CamelCase word. `note` is a sentence; it is truncated to 1024 bytes.
        """
        key = _Key(ref, uid, type_, reason[:_MAX_SHORT], truncate_note(note))
        now, wall = self._clock(), self._wall()
        series = self._series.get(key)
        if series is not None and series.created and now - series.written > _FORGET_SECONDS:
            series = None
        if series is not None:
            series.count += 1
            series.last = wall
            self._series.move_to_end(key)
            if series.queued or now - series.written < _QUIET_SECONDS:
                return
        if len(self._queue) >= _QUEUE or not self._object(ref, now).try_take(now):
            self._drop(key, "too many events")
            return
        if series is None:
            series = self._series[key] = _Series(wall, wall, _name(ref))
            self._series.move_to_end(key)
        series.queued = True
        self._queue.append(key)
        self._arrived.set()
        while len(self._series) > _MAX_SERIES:
            self._series.popitem(last=False)

    async def run(self) -> None:
        """Writes queued Events until cancelled; failures are logged."""
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            await asyncio.sleep(self._all.wait(self._clock()))
            self._all.spend()
            key = self._queue.popleft()
            if series := self._series.get(key):
                await self._write(key, series)
            else:
                self._drop(key, "too many events")

    async def _write(self, key: _Key, series: _Series) -> None:
        # Repeats that arrive from here on are part of the next write.
        series.queued = False
        series.written = self._clock()
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(ClusterError) & retry_if_not_exception_type(_PERMANENT),
                wait=_retry_delay,
                stop=stop_after_attempt(_MAX_ATTEMPTS),
                reraise=True,
            ):
                with attempt:
                    await (self._repeat(key, series) if series.created else self._create(key, series))
        except ClusterError as error:
            self._drop(key, error.message)

    async def _create(self, key: _Key, series: _Series) -> None:
        with suppress(Conflict):
            await self._send("POST", key, "", self._event(key, series))
        series.created = True

    async def _repeat(self, key: _Key, series: _Series) -> None:
        patch = {"series": {"count": series.count, "lastObservedTime": micro_time(series.last)}}
        try:
            await self._send("PATCH", key, f"/{series.name}", patch)
        except NotFound:
            # The server has deleted the expired Event.
            series.first, series.count, series.name, series.created = series.last, 1, _name(key.ref), False
            await self._create(key, series)

    def _event(self, key: _Key, series: _Series) -> JsonObject:
        ref = key.ref
        regarding = {
            "apiVersion": RESOURCES[ref.kind].api_version,
            "kind": str(ref.kind),
            "namespace": ref.namespace,
            "name": ref.name,
            **({"uid": key.uid} if key.uid else {}),
        }
        repeated = {"series": {"count": series.count, "lastObservedTime": micro_time(series.last)}}
        return {
            "apiVersion": _API_VERSION,
            "kind": "Event",
            "metadata": {"name": series.name, "namespace": ref.namespace},
            "eventTime": micro_time(series.first),
            "type": key.type,
            "reason": key.reason,
            "action": _ACTION,
            "note": key.note,
            "regarding": regarding,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            **(repeated if series.count > 1 else {}),
        }

    async def _send(self, method: str, key: _Key, name: str, body: JsonObject) -> None:
        await self._client.request(
            method,
            f"/apis/{_API_VERSION}/namespaces/{key.ref.namespace}/events{name}",
            body=body,
            content_type="application/merge-patch+json" if method == "PATCH" else "application/json",
            timeout=_TIMEOUT,
        )

    def _object(self, ref: ObjectRef, now: float) -> TokenBucket:
        bucket = self._objects.get(ref)
        if bucket is None:
            bucket = self._objects[ref] = TokenBucket.full(_OBJECT_BURST, _OBJECT_PER_SECOND, now)
        self._objects.move_to_end(ref)
        while len(self._objects) > _MAX_SERIES:
            self._objects.popitem(last=False)
        return bucket

    def _drop(self, key: _Key, cause: str) -> None:
        self.dropped += 1
        _log.info("event dropped", object=str(key.ref), reason=key.reason, note=key.note, cause=cause)


def _retry_delay(state: RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    retry_after = error.retry_after if isinstance(error, ClusterError) else None
    return retry_after or wait_exponential(multiplier=_FIRST_DELAY)(state)


def _name(ref: ObjectRef) -> str:
    return f"{ref.name[:200]}.{uuid.uuid4().hex[:16]}"


def truncate_note(note: str) -> str:
    """Truncates a note to the server's limit of 1024 bytes; a truncated note ends with …."""
    raw = note.encode("utf-8", "replace")
    if len(raw) <= MAX_NOTE:
        return raw.decode()
    ellipsis = "…"
    return raw[: MAX_NOTE - len(ellipsis.encode())].decode("utf-8", "ignore") + ellipsis
