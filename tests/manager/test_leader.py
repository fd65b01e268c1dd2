"""One term as leader: no change is missed at its start, and a stop ends it gracefully."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from gco_stream.aio.clock import Clock
from gco_stream.manager.leader import Connections, LeaderRunnables
from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from gco_stream.settings import Settings
from gco_stream.table.info import TableInfo
from tests.engine.support.orphans import Cluster
from tests.support.items import REGION, item
from tests.support.observers import observers
from tests.support.simulated_cluster import POLICY

pytestmark = pytest.mark.looptime


class OneShard:
    """The three calls of DynamoDB Streams, for a stream with one open shard. As in AWS, the first read fixes LATEST."""

    arn = "arn:stream/1"

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.asked: set[str] = set()

    def put(self, name: str) -> None:
        number = f"{len(self.records):030d}"
        change = {"Keys": {"endpoint_name": {"S": name}}, "SequenceNumber": number}
        self.records.append({"eventName": "MODIFY", "dynamodb": change})

    async def describe_stream(self, *, StreamArn: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.asked.add(StreamArn)
        return {"StreamDescription": {"StreamStatus": "ENABLED", "Shards": [{"ShardId": "s1"}]}}

    async def get_shard_iterator(self, **_: Any) -> dict[str, Any]:
        return {"ShardIterator": "LATEST"}

    async def get_records(self, *, ShardIterator: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        begin = len(self.records) if ShardIterator == "LATEST" else int(ShardIterator)
        return {"Records": self.records[begin:], "NextShardIterator": str(len(self.records))}


class Leadership:
    """A lease that never expires."""

    epoch = 1
    annotations: Mapping[str, str] = {}

    def remaining(self) -> float:
        return 10.0

    def on_lease_change(self, callback: Callable[[], None]) -> None:
        """Does nothing: no other process writes to the Lease."""

    async def annotate(self, annotations: Mapping[str, str | None]) -> None:
        """Does nothing: nothing is removed here."""


class SyncedCache(Cluster):
    """A synced cache."""

    async def wait_settled(self) -> None:
        """Returns at once: the cache is synced."""

    def on_synced(self, callback: Callable[[str], None]) -> None:
        """Does nothing: no namespace is synced later."""

    def token(self, _name: str) -> tuple[str, ...]:
        return ("",)


class LeaderFixture:
    """A term as leader with a table and a stream in memory; the fixture itself is the table.

    No item targets this region, so items are only read. `while_scanning` is called during each scan. Reads of single
    items wait for `gate`.
    """

    def __init__(self) -> None:
        self.streams = OneShard()
        self.items: dict[str, WireItem] = {}
        self.while_scanning: Callable[[], None] = lambda: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun: list[str] = []
        self.read: list[str] = []
        self.stop = asyncio.Event()
        cache = SyncedCache()
        connections = Connections(
            kube=SimpleNamespace(),  # type: ignore[arg-type]  # a fake with only the methods that are called
            table=self,  # type: ignore[arg-type]  # a fake with only the methods that are called
            replica_table=SimpleNamespace(describe=self.describe_replica),  # type: ignore[arg-type]  # a fake with only the methods that are called
            streams=self.streams,
        )
        self.tenure = LeaderRunnables(
            Settings(region=REGION, reconcile_workers=1),
            POLICY,
            connections,
            cache,  # type: ignore[arg-type]  # a fake with only the methods that are called
            Leadership(),  # type: ignore[arg-type]  # a fake with only the methods that are called
            observers(),
            Clock(monotonic=asyncio.get_running_loop().time),
        )

    async def describe(self) -> TableInfo:
        return TableInfo("arn:table", "id", "arn:home", stream_enabled=True, view_type="KEYS_ONLY", status="ACTIVE")

    async def describe_replica(self) -> TableInfo:
        return TableInfo(
            "arn:replica", "id", self.streams.arn, stream_enabled=True, view_type="KEYS_ONLY", status="ACTIVE"
        )

    async def scan(self) -> AsyncIterator[list[WireItem]]:
        shown = list(self.items.values())
        await asyncio.sleep(0.1)
        self.while_scanning()
        yield shown

    async def get(self, name: str) -> WireItem | None:
        self.begun.append(name)
        await self.gate.wait()
        self.read.append(name)
        return self.items.get(name)

    def write(self, name: str) -> None:
        """Writes an item like a user: the table has it at once, and the stream gets a record."""
        self.items[name] = wire.encode(item(name, target_regions=["elsewhere-1"]))
        self.streams.put(name)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[asyncio.Task[None]]:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.tenure.run(self.stop))
            yield running
            self.stop.set()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        if name.upper() in os.environ:
            monkeypatch.delenv(name.upper())


async def test_a_write_during_the_first_scan_arrives_through_the_stream() -> None:
    bench = LeaderFixture()
    bench.while_scanning = lambda: bench.write("new")
    async with bench.leading():
        await bench.until(lambda: "new" in bench.read)
        assert "new" in bench.tenure.items


async def test_the_stream_is_that_of_the_replica_in_the_stream_region() -> None:
    bench = LeaderFixture()
    async with bench.leading() as running:
        await bench.until(lambda: bench.streams.asked)
        bench.stop.set()
        await running
    assert bench.streams.asked == {bench.streams.arn}


async def test_a_stop_finishes_in_flight_work_and_takes_no_more() -> None:
    bench = LeaderFixture()
    async with bench.leading() as running:
        await bench.until(lambda: bench.tenure.is_working)
        bench.gate.clear()
        for name in ("in-flight", "waits"):
            bench.write(name)
        await bench.until(lambda: bench.begun and bench.tenure.queue.depth)
        bench.stop.set()
        await asyncio.sleep(1)
        assert not running.done()
        bench.gate.set()
        await bench.until(running.done)
    assert bench.read == ["in-flight"]


async def test_in_flight_work_gets_20_seconds_to_finish() -> None:
    bench = LeaderFixture()
    loop = asyncio.get_running_loop()
    async with bench.leading() as running:
        await bench.until(lambda: bench.tenure.is_working)
        bench.gate.clear()
        bench.write("hangs")
        await bench.until(lambda: bench.begun)
        bench.stop.set()
        began = loop.time()
        await bench.until(running.done)
        assert loop.time() - began == pytest.approx(20, abs=1)
    assert bench.read == []


async def test_a_stop_before_the_first_work_does_not_wait_for_the_table() -> None:
    bench = LeaderFixture()
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with bench.leading() as running:
        await asyncio.sleep(0.01)
        bench.stop.set()
        await bench.until(running.done)
        assert loop.time() - began < 1
