"""When the table is scanned, and the effects of an interrupted scan."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.deletion.orphan_tracker import OrphanEvidence
from gco_stream.engine.reconcile.resync import Resync, ScanTimes
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import WorkQueue
from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from tests.engine.support.controllers import Versions
from tests.engine.support.guards import GuardFixture as GuardBench
from tests.engine.support.scans import ScanHistory, Table
from tests.support.items import REGION, item
from tests.support.observers import observers

pytestmark = pytest.mark.looptime
INTERVAL = 300.0
POLL_INTERVAL = 15.0


class ResyncFixture:
    def __init__(self, table: Table, guard: Guard) -> None:
        clock = asyncio.get_running_loop().time
        self.history = ScanHistory()
        self.table = table
        self.desired = ItemCache(REGION)
        self.queue = WorkQueue(clock)
        self.resync = Resync(
            table,  # type: ignore[arg-type]  # a fake with only the methods that are called
            SyncTokens(self.desired, Versions()),  # type: ignore[arg-type]  # a fake with only the methods that are called
            self.queue,
            guard,
            ScanTimes(INTERVAL, POLL_INTERVAL, clock, random.Random(0)),
            observers(history=self.history),  # type: ignore[arg-type]  # a fake with only the methods that are called
        )

    @property
    def found(self) -> list[tuple[str, WireItem | None, WireItem]]:
        return self.history.found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.resync.first_scan()
        task = asyncio.create_task(self.resync.run())
        await asyncio.sleep(0)
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def queued(self) -> set[str]:
        taken = set()
        while (one := self.queue.get_nowait()) is not None:
            taken.add(one.key)
            self.queue.done(one.key)
        return taken


async def test_a_thousand_removals_within_seconds_cause_one_scan() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        for _ in range(1000):
            bench.resync.request_soon()
            await asyncio.sleep(0.001)
        ended = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        assert len(bench.table.begun) == 2
        assert bench.table.begun[1] - ended == pytest.approx(5, abs=0.1)


async def test_no_scan_starts_while_a_table_is_being_wiped() -> None:
    table = Table(tuple(f"e{number}" for number in range(60)))
    bench = ResyncFixture(table, GuardBench().guard)
    async with bench.running():
        for number in range(60):
            table.pages = [table.pages[0][1:]]
            bench.resync.request_soon()
            await asyncio.sleep(number % 4)
        assert len(table.begun) == 1
        await asyncio.sleep(6)
        assert len(table.begun) == 2


async def test_endless_removals_are_confirmed_by_the_scans_of_the_interval() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        for _ in range(int(INTERVAL * 2.5)):
            bench.resync.request_soon()
            await asyncio.sleep(1)
        assert len(bench.table.begun) == 3


async def test_consecutive_bursts_cause_one_scan_per_30_seconds() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        for _ in range(10):
            bench.resync.request_soon()
            await asyncio.sleep(10)
        await asyncio.sleep(40)
        gaps = [after - before for before, after in zip(bench.table.begun[1:], bench.table.begun[2:], strict=False)]
        assert len(gaps) == 3
        assert gaps == pytest.approx([30, 30, 30], abs=6)


async def test_a_removal_long_after_another_does_not_wait_for_the_interval() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        bench.resync.request_soon()
        await asyncio.sleep(100)
        bench.resync.request_soon()
        await asyncio.sleep(6)
        assert len(bench.table.begun) == 3


async def test_an_urgent_request_scans_at_once_and_covers_pending_ones() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        bench.resync.request_soon()
        bench.resync.request("a gap")
        await asyncio.sleep(0.1)
        assert len(bench.table.begun) == 2
        await asyncio.sleep(100)
        assert len(bench.table.begun) == 2


async def test_without_requests_scans_keep_to_the_interval() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        await asyncio.sleep(INTERVAL * 3.5)
    gaps = [after - before for before, after in zip(bench.table.begun, bench.table.begun[1:], strict=False)]
    assert len(gaps) == 3
    assert all(INTERVAL * 0.9 <= gap <= INTERVAL * 1.1 for gap in gaps)


async def test_the_interval_of_scans_depends_on_the_mode() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        bench.resync.set_mode("poll")
        await asyncio.sleep(1)
        bench.table.begun.clear()
        await asyncio.sleep(POLL_INTERVAL * 3.5)
    gaps = [after - before for before, after in zip(bench.table.begun, bench.table.begun[1:], strict=False)]
    assert len(gaps) == 2
    assert all(POLL_INTERVAL * 0.9 <= gap <= POLL_INTERVAL * 1.1 for gap in gaps)


async def test_an_interrupted_scan_is_no_evidence_and_is_retried_soon() -> None:
    guard = GuardBench("a", "gone")
    bench = ResyncFixture(Table(("a",), ("b",)), guard.guard)
    bench.table.breaks = True
    task = asyncio.create_task(bench.resync.first_scan())
    await asyncio.sleep(30)
    assert len(bench.table.begun) >= 4
    assert guard.orphans.names == frozenset()
    assert guard.orphans.evidence("gone") is OrphanEvidence.INSUFFICIENT
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_an_interrupted_scan_between_two_complete_ones_changes_no_evidence() -> None:
    guard = GuardBench("a", "gone")
    bench = ResyncFixture(Table(("a",), ("b",)), guard.guard)
    async with bench.running():
        bench.table.breaks = True
        bench.resync.request("a gap")
        await asyncio.sleep(3)
        assert guard.orphans.evidence("gone") is OrphanEvidence.INSUFFICIENT
        bench.queued()
        bench.table.breaks = False
        await asyncio.sleep(10)
        assert guard.orphans.evidence("gone") is OrphanEvidence.PROVEN
        assert "gone" in bench.queued()


async def test_an_empty_scan_queues_all_names_so_that_it_is_reported() -> None:
    guard = GuardBench("a", "b")
    bench = ResyncFixture(Table(()), guard.guard)
    await bench.resync.first_scan()
    assert bench.queued() == {"a", "b"}
    assert guard.plan_orphan("a").steps == ()


async def test_a_failing_scan_is_a_problem_but_not_a_stuck_loop() -> None:
    table = Table()
    bench = ResyncFixture(table, GuardBench().guard)
    async with bench.running():
        assert (bench.resync.problem, bench.resync.stalled_seconds) == ("", 0)
        table.pages, table.breaks = [[], []], True
        await asyncio.sleep(2 * INTERVAL)
        assert bench.resync.problem == "incomplete page of the table scan"
        assert bench.resync.stalled_seconds == 0
        table.breaks = False
        await asyncio.sleep(2 * INTERVAL)
        assert bench.resync.problem == ""
    await asyncio.sleep(3 * INTERVAL + 1000)
    assert bench.resync.stalled_seconds > 1000


async def test_without_a_stream_each_change_that_a_scan_finds_is_reported_once() -> None:
    bench = ResyncFixture(Table(("new", "old")), GuardBench().guard)
    before, now = wire.encode(item("old", hold="wait")), wire.encode(item("old"))
    async with bench.running():
        for streaming in (True, False):
            bench.resync.set_mode("stream" if streaming else "poll")
            bench.desired.put(before)
            bench.desired.clear_stale("old", bench.desired.stale_mark("old") or 0)
            bench.resync.request("test")
            await asyncio.sleep(1)
            assert bench.found == ([] if streaming else [("old", before, now)])
        bench.resync.request("test")
        await asyncio.sleep(1)
    assert len(bench.found) == 1
