"""What tells of the process itself."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from gco_stream import __version__
from gco_stream.ops.process import ProcessMetrics, collect_process, watch_loop


async def test_a_loop_that_is_held_up_is_seen_to_be_late() -> None:
    loop, told = asyncio.get_running_loop(), list[float]()
    watching = asyncio.create_task(watch_loop(told.append, tick=0.01))
    async with asyncio.timeout(5):
        while not told:  # noqa: ASYNC110 - the watch has no events
            await asyncio.sleep(0)
        held_until = loop.time() + 0.1
        while loop.time() < held_until:
            pass
        while len(told) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    watching.cancel()
    assert told[1] >= 0.08


def test_only_stalls_are_counted_so_a_quiet_loop_costs_nothing() -> None:
    registry = CollectorRegistry()
    process = ProcessMetrics(registry)
    for seconds in (0, 0.001, 0.009):
        process.observe_delay(seconds)
    assert registry.get_sample_value("gco_stream_event_loop_stall_seconds_count") == 0
    process.observe_delay(0.3)
    assert registry.get_sample_value("gco_stream_event_loop_stall_seconds_sum") == pytest.approx(0.3)


def test_the_version_and_the_process_are_told() -> None:
    registry = CollectorRegistry()
    ProcessMetrics(registry)
    collect_process(registry)
    (build,) = (s for family in registry.collect() for s in family.samples if s.name == "gco_stream_build_info")
    assert build.labels["version"] == __version__
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total"):
        assert (registry.get_sample_value(name) or 0) > 0
