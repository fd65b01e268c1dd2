"""Tests of the process metrics."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from gco_stream import __version__
from gco_stream.ops.process import ProcessMetrics, collect_process, watch_loop


async def test_a_blocked_event_loop_is_reported_as_late() -> None:
    loop, delays = asyncio.get_running_loop(), list[float]()
    watching = asyncio.create_task(watch_loop(delays.append, tick=0.01))
    async with asyncio.timeout(5):
        while not delays:  # noqa: ASYNC110 - watch_loop has no event to wait for
            await asyncio.sleep(0)
        held_until = loop.time() + 0.1
        while loop.time() < held_until:
            pass
        while len(delays) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    watching.cancel()
    assert delays[1] >= 0.08


def test_only_delays_over_ten_milliseconds_are_counted() -> None:
    registry = CollectorRegistry()
    process = ProcessMetrics(registry)
    for seconds in (0, 0.001, 0.009):
        process.observe_delay(seconds)
    assert registry.get_sample_value("gco_stream_event_loop_stall_seconds_count") == 0
    process.observe_delay(0.3)
    assert registry.get_sample_value("gco_stream_event_loop_stall_seconds_sum") == pytest.approx(0.3)


def test_version_and_process_metrics_are_exported() -> None:
    registry = CollectorRegistry()
    ProcessMetrics(registry)
    collect_process(registry)
    (build,) = (s for family in registry.collect() for s in family.samples if s.name == "gco_stream_build_info")
    assert build.labels["version"] == __version__
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total"):
        assert (registry.get_sample_value(name) or 0) > 0
