"""The engine's Resync alone, on an event loop that is watched: `python -m bench.watched_loop ROUNDS`, JSON out.

Settings come from the environment, as the program's. Needs a fleet in sync.
"""

import asyncio
import random
import sys
import time
from contextlib import AsyncExitStack

import orjson
import uvloop

from gco_stream.cluster.cache import ClusterCache
from gco_stream.cluster.client import KubeClient
from gco_stream.engine.desired import DesiredState
from gco_stream.engine.queue import Dispatcher, WorkQueue
from gco_stream.engine.resync import Resync
from gco_stream.engine.sync_tokens import SyncTokens
from gco_stream.ops.metrics import Metrics
from gco_stream.settings import load_settings
from gco_stream.table.clients import table_client
from gco_stream.table.endpoints import EndpointTable

_TICK = 0.001


async def measure(rounds: int) -> dict[str, list[float]]:
    """The longest stall in seconds, and CPU seconds, of each resync."""
    settings = load_settings()
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(KubeClient.connect())
        dynamodb = await stack.enter_async_context(table_client(settings.home_region))
        cache = ClusterCache(kube, settings.namespaces, lambda _: None)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(cache.run())
            await cache.wait_synced()
            desired = DesiredState(settings.region)
            tokens = SyncTokens(desired, cache)
            dispatcher = Dispatcher(WorkQueue(), time.monotonic)
            resync = Resync(
                table=EndpointTable(dynamodb, settings.inference_endpoints_table_name),
                desired=desired,
                tokens=tokens,
                dispatcher=dispatcher,
                metrics=Metrics(),
                interval=lambda: settings.resync_interval_seconds,
                clock=time.monotonic,
                rng=random.Random(),  # noqa: S311 - jitter
            )
            await resync.first()
            for name in desired:
                tokens.settle(name)
            found = [await _watched(resync) for _ in range(rounds)]
            if dispatcher.queue.depth > len(desired):
                raise RuntimeError("the fleet is not in sync")
            watching.cancel()
    return {"stalls": [stall for stall, _ in found], "cpu": [cpu for _, cpu in found]}


async def _watched(resync: Resync) -> tuple[float, float]:
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_TICK)
            longest = max(longest, time.perf_counter() - before - _TICK)

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick())
        await asyncio.sleep(0.05)
        longest, cpu = 0.0, time.process_time()
        await resync.first()
        cpu = time.process_time() - cpu
        ticking.cancel()
    return longest, cpu


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.buffer.write(orjson.dumps(runner.run(measure(int(sys.argv[1])))))
