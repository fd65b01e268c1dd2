"""Which endpoints a resync queues: those that may have changed, and none that are in sync."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from gco_stream.engine.reconcile.resync import Resync, ScanTimes
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import WorkQueue
from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint
from gco_stream.ops.metrics import Metrics
from tests.engine.support.guards import GuardFixture as GuardBench
from tests.engine.support.scans import ScanHistory, Table
from tests.support.items import REGION, item
from tests.support.observers import observers

pytestmark = pytest.mark.looptime


class ResyncPlansFixture:
    """A resync of `table`. The objects of the endpoints do not change."""

    def __init__(self, *names: str) -> None:
        clock = asyncio.get_running_loop().time
        self.history = ScanHistory()
        self.table = Table(names)
        self.desired = ItemCache(REGION)
        self.tokens = SyncTokens(self.desired, Versions())  # type: ignore[arg-type]  # a fake with only the methods that are called
        self.queue = WorkQueue(clock)
        self.metrics = Metrics()
        self.resync = Resync(
            self.table,  # type: ignore[arg-type]  # a fake with only the methods that are called
            self.tokens,
            self.queue,
            GuardBench().guard,
            ScanTimes(300.0, 300.0, clock, random.Random(0)),
            observers(self.metrics, self.history),  # type: ignore[arg-type]  # a fake with only the methods that are called
        )

    @property
    def found(self) -> list[str]:
        return [name for name, _, _ in self.history.found]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the resync after a first scan. Everything that it queued counts as in sync, except for "not-yet"."""
        await self.resync.first_scan()
        for name in self.queued() - {"not-yet"}:
            self.tokens.settle(name)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.resync.run())
            await asyncio.sleep(0)
            yield
            task.cancel()

    async def scan_again(self) -> set[str]:
        """Scans once more and returns the names that it queued."""
        self.resync.request("a test asks")
        await asyncio.sleep(1)
        return self.queued()

    def queued(self) -> set[str]:
        taken = set()
        while (one := self.queue.get_nowait()) is not None:
            taken.add(one.key)
            self.queue.done(one.key)
        return taken


class Versions:
    """The version of an endpoint's Deployment."""

    def __init__(self) -> None:
        self.version = 1

    def token(self, _name: str) -> tuple[str, ...]:
        return (f"{self.version}",)


async def test_a_resync_plans_only_what_is_not_in_sync() -> None:
    bench = ResyncPlansFixture("in-sync", "not-yet")
    async with bench.running():
        assert await bench.scan_again() == {"not-yet"}
        bench.tokens.settle("not-yet")
        assert await bench.scan_again() == set()


async def test_an_item_that_is_missing_from_the_scan_is_read() -> None:
    bench = ResyncPlansFixture("stays", "gone")
    async with bench.running():
        bench.table.pages = [("stays",)]
        assert await bench.scan_again() == {"gone"}
        assert bench.desired.stale_mark("gone") is not None
        assert "gone" in bench.desired


async def test_a_page_that_is_older_than_the_cache_undoes_nothing() -> None:
    bench = ResyncPlansFixture("chat")
    async with bench.running():
        bench.desired.put(wire.encode(item("chat", spec={"replicas": 7})))
        assert await bench.scan_again() == {"chat"}
        known = bench.desired.get("chat")
        assert isinstance(known, Endpoint)
        assert known.spec is not None
        assert known.spec.replicas == 7
        assert bench.desired.stale_mark("chat") is not None


async def test_a_changed_object_or_item_is_no_longer_in_sync() -> None:
    items, versions = ItemCache(REGION), Versions()
    items.put(wire.encode(item("chat")))
    tokens = SyncTokens(items, versions)  # type: ignore[arg-type]  # a fake with only the methods that are called
    tokens.settle("chat")
    assert tokens.is_in_sync("chat")
    versions.version = 2
    assert not tokens.is_in_sync("chat")
    tokens.settle("chat")
    items.put(wire.encode(item("chat", spec={"replicas": 2})))
    assert not tokens.is_in_sync("chat")


async def test_without_a_stream_a_change_found_by_a_scan_does_not_count_as_missed() -> None:
    for streaming in (True, False):
        bench = ResyncPlansFixture("chat")
        bench.resync.set_mode("stream" if streaming else "poll")
        async with bench.running():
            bench.desired.put(wire.encode(item("chat", spec={"replicas": 7})))
            await bench.scan_again()
            await bench.scan_again()
        assert missed(bench) == streaming
        assert bench.found == ([] if streaming else ["chat"])


async def test_a_change_counts_as_missed_if_it_is_not_delivered_before_the_next_scan() -> None:
    bench = ResyncPlansFixture("late", "never", "gone", "known-to-be-stale")
    async with bench.running():
        for name in ("late", "never", "known-to-be-stale"):
            bench.desired.put(wire.encode(item(name, spec={"replicas": 7})))
        bench.desired.mark_stale("known-to-be-stale")
        bench.table.pages = [("late", "never", "known-to-be-stale")]
        await bench.scan_again()
        assert missed(bench) == 0
        bench.resync.change_delivered("late")
        await bench.scan_again()
        assert missed(bench) == 1
        # It is already marked stale, so finding it again is nothing new.
        await bench.scan_again()
        assert missed(bench) == 1


async def test_changes_pending_when_the_stream_is_lost_do_not_count_as_missed() -> None:
    bench = ResyncPlansFixture("chat")
    async with bench.running():
        bench.desired.put(wire.encode(item("chat", spec={"replicas": 7})))
        await bench.scan_again()
        bench.resync.set_mode("poll")
        await bench.scan_again()
    assert missed(bench) == 0


async def test_later_scans_without_changes_are_logged_at_debug_level() -> None:
    with capture_logs() as logs:
        bench = ResyncPlansFixture("chat", "code", "rank")
        async with bench.running():
            for _ in range(3):
                await bench.scan_again()
            bench.desired.put(wire.encode(item("chat", spec={"replicas": 7})))
            bench.table.pages = [("chat", "code")]
            await bench.scan_again()
    scans = [line for line in logs if line["event"] == "table scanned"]
    assert [(line["log_level"], line["endpoints"], line["changed"]) for line in scans] == [
        ("info", 3, 0),
        *[("debug", 3, 0)] * 3,
        ("info", 2, 2),
    ]


def missed(bench: ResyncPlansFixture) -> float:
    """The value of `gco_stream_missed_changes_total`."""
    found = bench.metrics.registry.get_sample_value("gco_stream_missed_changes_total")
    assert found is not None
    return found
