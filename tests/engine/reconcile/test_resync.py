"""When the table is scanned, and what a scan that is cut leads to."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gco_stream.aws.table_errors import TableUnreachable
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.deletion.orphan_tracker import OrphanEvidence
from gco_stream.engine.reconcile.resync import Resync
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Dispatcher, WorkQueue
from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from gco_stream.ops.metrics import Metrics
from tests.engine.deletion.test_approvals import GuardFixture as GuardBench
from tests.engine.reconcile.test_controller import Versions
from tests.support.items import REGION, item

pytestmark = pytest.mark.looptime
INTERVAL = 300.0


class Table:
    """Pages of items, by name; `breaks` ends a scan after its first page."""

    def __init__(self, *pages: tuple[str, ...]) -> None:
        self.pages = list(pages)
        self.breaks = False
        self.begun: list[float] = []

    async def scan(self) -> AsyncIterator[list[WireItem]]:
        self.begun.append(asyncio.get_running_loop().time())
        for number, page in enumerate(self.pages):
            if number and self.breaks:
                raise TableUnreachable("a page of the table came back incomplete", "BadBody")
            yield [wire.encode(item(name)) for name in page]


class ResyncFixture:
    def __init__(self, table: Table, guard: Guard) -> None:
        clock = asyncio.get_running_loop().time
        self.streaming = True
        self.found: list[tuple[str, WireItem | None, WireItem]] = []
        self.table = table
        self.desired = ItemCache(REGION)
        self.dispatcher = Dispatcher(WorkQueue(), clock)
        self.resync = Resync(
            table=table,  # type: ignore[arg-type]
            items=self.desired,
            tokens=SyncTokens(self.desired, Versions()),  # type: ignore[arg-type]
            dispatcher=self.dispatcher,
            guard=guard,
            metrics=Metrics(),
            interval=lambda: INTERVAL,
            streaming=lambda: self.streaming,
            clock=clock,
            rng=random.Random(0),
            on_change_found=lambda name, old, new: self.found.append((name, old, new)),
        )

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
        while (one := self.dispatcher.queue.get(0)) is not None:
            taken.add(one.key)
            self.dispatcher.done(one.key)
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


async def test_while_a_table_is_being_wiped_no_scan_takes_half_of_it_for_what_was_meant() -> None:
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


async def test_removals_that_never_end_are_proven_by_the_interval() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        for _ in range(int(INTERVAL * 2.5)):
            bench.resync.request_soon()
            await asyncio.sleep(1)
        assert len(bench.table.begun) == 3


async def test_bursts_one_after_another_cause_a_scan_each_half_minute() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        for _ in range(10):
            bench.resync.request_soon()
            await asyncio.sleep(10)
        await asyncio.sleep(40)
        gaps = [after - before for before, after in zip(bench.table.begun[1:], bench.table.begun[2:], strict=False)]
        assert len(gaps) == 3
        assert gaps == pytest.approx([30, 30, 30], abs=6)


async def test_a_removal_long_after_another_does_not_wait_for_the_resync() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        bench.resync.request_soon()
        await asyncio.sleep(100)
        bench.resync.request_soon()
        await asyncio.sleep(6)
        assert len(bench.table.begun) == 3


async def test_a_request_is_met_at_once_and_takes_the_wishes_with_it() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        bench.resync.request_soon()
        bench.resync.request("a gap")
        await asyncio.sleep(0.1)
        assert len(bench.table.begun) == 2
        await asyncio.sleep(100)
        assert len(bench.table.begun) == 2


async def test_without_wishes_it_keeps_to_its_interval() -> None:
    bench = ResyncFixture(Table(("another",)), GuardBench().guard)
    async with bench.running():
        await asyncio.sleep(INTERVAL * 3.5)
    gaps = [after - before for before, after in zip(bench.table.begun, bench.table.begun[1:], strict=False)]
    assert len(gaps) == 3
    assert all(INTERVAL * 0.9 <= gap <= INTERVAL * 1.1 for gap in gaps)


async def test_a_scan_that_is_cut_is_evidence_of_nothing_and_is_tried_again_soon() -> None:
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


async def test_between_two_whole_scans_a_cut_one_neither_adds_nor_takes_away() -> None:
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


async def test_an_empty_scan_has_all_names_planned_so_that_people_are_told() -> None:
    guard = GuardBench("a", "b")
    bench = ResyncFixture(Table(()), guard.guard)
    await bench.resync.first_scan()
    assert bench.queued() == {"a", "b"}
    assert guard.guard.decide_orphan("a").steps == ()


async def test_a_table_that_cannot_be_scanned_is_a_problem_and_no_loop_that_stands_still() -> None:
    table = Table()
    bench = ResyncFixture(table, GuardBench().guard)
    async with bench.running():
        assert (bench.resync.problem, bench.resync.stalled_seconds) == ("", 0)
        table.pages, table.breaks = [[], []], True
        await asyncio.sleep(2 * INTERVAL)
        assert bench.resync.problem == "a page of the table came back incomplete"
        assert bench.resync.stalled_seconds == 0
        table.breaks = False
        await asyncio.sleep(2 * INTERVAL)
        assert bench.resync.problem == ""
    await asyncio.sleep(3 * INTERVAL + 1000)
    assert bench.resync.stalled_seconds > 1000


async def test_without_a_stream_a_scan_tells_of_each_change_that_it_finds_once() -> None:
    bench = ResyncFixture(Table(("new", "old")), GuardBench().guard)
    before, now = wire.encode(item("old", hold="wait")), wire.encode(item("old"))
    async with bench.running():
        for streaming in (True, False):
            bench.streaming = streaming
            bench.desired.put(before)
            bench.desired.clear_stale("old", bench.desired.stale_mark("old") or 0)
            bench.resync.request("test")
            await asyncio.sleep(1)
            assert bench.found == ([] if streaming else [("old", before, now)])
        bench.resync.request("test")
        await asyncio.sleep(1)
    assert len(bench.found) == 1
