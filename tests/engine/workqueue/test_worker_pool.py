"""So many workers work as are to, whatever number of them waits, up to a bound; and no more than that for long."""

import asyncio

import pytest

from gco_stream.engine.workqueue.worker_pool import WorkerPool, max_concurrency
from tests.support.fake_api_server import until


class PoolFixture:
    """Customers who are served one at a time by each of the staff; a slow one until it is told to go."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()
        self.in_work: list[str] = []
        self.served: list[str] = []
        self.most = 0

    async def work(self, staff: WorkerPool) -> None:
        while not staff.has_surplus and (one := await self.queue.get()) != "close":
            with staff.running():
                self.in_work.append(one)
                self.most = max(self.most, len(self.in_work))
                if one == "slow":
                    await self.go.wait()
                await asyncio.sleep(0)
                self.in_work.remove(one)
                self.served.append(one)

    async def run(self, group: asyncio.TaskGroup, count: int) -> None:
        async with asyncio.TaskGroup() as workers:
            WorkerPool(workers, count, self.work, stall_seconds=0.02)


async def _served(slow: int, count: int) -> PoolFixture:
    shop = PoolFixture()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(shop.run(group, count))
        for _ in range(slow):
            shop.queue.put_nowait("slow")
        shop.queue.put_nowait("quick")
        if slow < max_concurrency(count):
            await until(lambda: shop.served == ["quick"])
        else:
            await until(lambda: len(shop.in_work) == max_concurrency(count))
        shop.go.set()
        await until(lambda: len(shop.served) == slow + 1)
        for _ in range(max_concurrency(count)):
            shop.queue.put_nowait("close")
    return shop


async def test_who_waits_for_long_holds_up_nobody() -> None:
    assert (await _served(slow=5, count=2)).most >= 5


async def test_there_is_a_bound_to_those_who_wait() -> None:
    assert (await _served(slow=20, count=2)).most == max_concurrency(2)


async def test_without_anybody_who_waits_no_more_work_than_are_to() -> None:
    assert (await _served(slow=0, count=2)).most == 1


async def test_those_who_stood_in_leave_when_they_are_not_needed_any_more() -> None:
    shop = PoolFixture()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(shop.run(group, 2))
        for _ in range(6):
            shop.queue.put_nowait("slow")
        await until(lambda: len(shop.in_work) == 6)
        shop.go.set()
        await until(lambda: len(shop.served) == 6)
        await until(lambda: len([task for task in asyncio.all_tasks() if task.get_name().startswith("worker-")]) == 2)
        for _ in range(8):
            shop.queue.put_nowait("close")


async def test_nobody_stands_in_for_those_who_end_slowly_when_all_are_sent_home() -> None:
    async def ends_slowly(staff: WorkerPool) -> None:
        with staff.running():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0.1)
                raise

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            WorkerPool(group, 2, ends_slowly, stall_seconds=0.05)

    running = asyncio.create_task(run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait({running})
    assert running.cancelled()


@pytest.mark.looptime
async def test_however_long_all_wait_there_are_no_more_stand_ins_than_the_bound() -> None:
    begun, over = [], asyncio.Event()

    async def work(staff: WorkerPool) -> None:
        with staff.running():
            begun.append(staff)
            await over.wait()

    async with asyncio.TaskGroup() as group:
        WorkerPool(group, 2, work, stall_seconds=1)
        await asyncio.sleep(100)
        assert len(begun) == max_concurrency(2)
        over.set()
