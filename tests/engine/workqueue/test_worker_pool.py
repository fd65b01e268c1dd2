"""The worker pool starts extra workers for blocked ones, up to a limit, and ends them afterwards."""

import asyncio

import pytest

from gco_stream.engine.workqueue.worker_pool import WorkerPool, max_concurrency
from tests.support.fake_api_server import until


class Jobs:
    """A queue of tasks for the pool's workers. A slow task blocks its worker until `go` is set."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()
        self.in_work: list[str] = []
        self.finished: list[str] = []
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
                self.finished.append(one)

    async def run(self, group: asyncio.TaskGroup, count: int) -> None:
        async with asyncio.TaskGroup() as workers:
            WorkerPool(workers, count, self.work, stall_seconds=0.02)


async def _run_jobs(slow: int, count: int) -> Jobs:
    jobs = Jobs()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(jobs.run(group, count))
        for _ in range(slow):
            jobs.queue.put_nowait("slow")
        jobs.queue.put_nowait("quick")
        if slow < max_concurrency(count):
            await until(lambda: jobs.finished == ["quick"])
        else:
            await until(lambda: len(jobs.in_work) == max_concurrency(count))
        jobs.go.set()
        await until(lambda: len(jobs.finished) == slow + 1)
        for _ in range(max_concurrency(count)):
            jobs.queue.put_nowait("close")
    return jobs


async def test_blocked_workers_do_not_hold_up_others() -> None:
    assert (await _run_jobs(slow=5, count=2)).most >= 5


async def test_the_number_of_blocked_workers_is_limited() -> None:
    assert (await _run_jobs(slow=20, count=2)).most == max_concurrency(2)


async def test_without_blocked_workers_there_are_no_extra_ones() -> None:
    assert (await _run_jobs(slow=0, count=2)).most == 1


async def test_extra_workers_exit_when_they_are_no_longer_needed() -> None:
    jobs = Jobs()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(jobs.run(group, 2))
        for _ in range(6):
            jobs.queue.put_nowait("slow")
        await until(lambda: len(jobs.in_work) == 6)
        jobs.go.set()
        await until(lambda: len(jobs.finished) == 6)
        await until(lambda: len([task for task in asyncio.all_tasks() if task.get_name().startswith("worker-")]) == 2)
        for _ in range(8):
            jobs.queue.put_nowait("close")


async def test_no_extra_worker_is_started_while_the_group_is_cancelled() -> None:
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
async def test_the_limit_holds_however_long_all_workers_are_blocked() -> None:
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
