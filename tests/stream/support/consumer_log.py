"""A consumer that reads a scripted stream with the real client, and a record of its callbacks."""

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.session import AioSession

from gco_stream.aws.session import new_session
from gco_stream.stream.consumer import Mode, StreamConsumer, StreamLocation, StreamRecord, StreamTimes
from tests.stream.scripted.server import ScriptedDynamoDB

POLL = 0.2
TIMES = StreamTimes(POLL)


@functools.cache
def aws_session() -> AioSession:
    """One session for all tests, because reading AWS' models takes longer than a test."""
    return new_session()


class ConsumerLog:
    """A consumer of the table's stream and its callbacks in order: names of records, ("gap", …), ("mode", …).

    `locate` is the consumer's lookup of the stream; by default, it reads the state of the scripted server.
    """

    def __init__(
        self,
        streams: ScriptedDynamoDB,
        client: Any,
        locate: Callable[[], Awaitable[StreamLocation]] | None = None,
        times: StreamTimes = TIMES,
    ) -> None:
        self.streams = streams
        self.said: list[str | tuple[str, str]] = []
        self.records: list[StreamRecord] = []
        self.reasons: list[str] = []
        self.locate_error: Exception | None = None
        self.located: list[float] = []
        self._ask = locate or self._of_server
        self.consumer = StreamConsumer(client, self._locate, self, times, rng=random.Random(0), wall_clock=streams.wall)

    @property
    def names(self) -> list[str]:
        return [record.name for record in self.records]

    @property
    def gaps(self) -> int:
        return sum(said[0] == "gap" for said in self.said if isinstance(said, tuple))

    @property
    def mode(self) -> str:
        return self.consumer.snapshot().mode

    async def until(self, condition: Callable[[], object], seconds: float = 600, *, step: float = 0.02) -> None:
        """Waits until the condition holds, checking every `step` seconds.

        Raises TimeoutError if it does not hold within `seconds` of the loop's time.
        """
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for has no events
                await asyncio.sleep(step)

    @asynccontextmanager
    async def running(self, *, pin: bool = True) -> AsyncIterator[None]:
        if pin:
            await self.consumer.pin()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.consumer.run())
            yield
            task.cancel()

    def on_record(self, record: StreamRecord) -> None:
        self.records.append(record)
        self.said.append(record.name)

    def on_gap(self, reason: str) -> None:
        self.said.append(("gap", reason))
        self.reasons.append(reason)

    def on_mode(self, mode: Mode, reason: str) -> None:
        self.said.append(("mode", mode))
        self.reasons.append(reason)

    def on_call(self, operation: str, result: str, seconds: float) -> None:
        pass

    async def _locate(self) -> StreamLocation:
        self.located.append(asyncio.get_running_loop().time())
        if self.locate_error is not None:
            raise self.locate_error
        return await self._ask()

    async def _of_server(self) -> StreamLocation:
        table = self.streams.table
        return StreamLocation(table.stream and table.stream.arn, table.stream_on)
