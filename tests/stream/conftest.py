"""A consumer of a fake stream, and what it said."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from gco_stream.stream.consumer import StreamConsumer, StreamLocation, StreamRecord
from tests.stream.fake_streams import CREATED, FakeStreams

POLL = 0.2


class Heard:
    """A consumer of `streams` and all that it said, in order: names of records, ("gap", …), ("mode", …)."""

    def __init__(self, streams: FakeStreams) -> None:
        self.streams = streams
        self.said: list[str | tuple[str, str]] = []
        self.records: list[StreamRecord] = []
        self.reasons: list[str] = []
        self.enabled = True
        self.locate_error: Exception | None = None
        self.located: list[float] = []
        self.consumer = StreamConsumer(
            streams,
            self._locate,
            poll_interval=POLL,
            on_record=self._record,
            on_gap=lambda reason: self._say("gap", reason),
            on_mode=self._say,
            rng=random.Random(0),
            wall_clock=lambda: CREATED + timedelta(seconds=60),
        )

    @property
    def names(self) -> list[str]:
        return [record.name for record in self.records]

    @property
    def gaps(self) -> int:
        return sum(said[0] == "gap" for said in self.said if isinstance(said, tuple))

    @property
    def mode(self) -> str:
        return self.consumer.snapshot().mode

    async def until(self, condition: Callable[[], object], seconds: float = 600) -> None:
        """Return when the condition holds; TimeoutError if it does not in so many seconds of the loop's time."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for has no events
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def running(self, *, pin: bool = True) -> AsyncIterator[None]:
        if pin:
            await self.consumer.pin()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.consumer.run())
            yield
            task.cancel()

    async def _locate(self) -> StreamLocation:
        self.located.append(asyncio.get_running_loop().time())
        if self.locate_error is not None:
            raise self.locate_error
        return StreamLocation(self.streams.arn, self.enabled)

    def _record(self, record: StreamRecord) -> None:
        self.records.append(record)
        self.said.append(record.name)

    def _say(self, what: str, reason: str) -> None:
        self.said.append((what, reason) if what == "gap" else ("mode", what))
        self.reasons.append(reason)


@pytest.fixture
def streams() -> FakeStreams:
    return FakeStreams()


@pytest.fixture
def heard(streams: FakeStreams) -> Heard:
    return Heard(streams)
