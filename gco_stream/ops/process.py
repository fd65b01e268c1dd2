"""Process metrics: version, Prometheus' standard process and GC metrics, and event loop stalls."""

import asyncio
import platform
from collections.abc import Callable
from typing import Final, Never

from prometheus_client import CollectorRegistry, Gauge, GCCollector, Histogram, ProcessCollector

from gco_stream import __version__

# Interval between two measurements: short enough to notice long stalls, at almost no cost when idle.
TICK_SECONDS: Final = 0.5
# Longest delay, in seconds, that does not count as a stall; an event loop is always slightly late.
MAX_NORMAL_DELAY: Final = 0.01
_BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def collect_process(registry: CollectorRegistry) -> None:
    """Registers the standard `process_*` and `python_gc_*` metrics. Reads files in /proc, now and at each scrape."""
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)


class ProcessMetrics:
    """Metrics of the build and of event loop stalls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        build = Gauge(
            "gco_stream_build_info",
            "Always 1; the labels have the version of gco-stream and of Python.",
            ["version", "python_version"],
            registry=registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        self._stalls = Histogram(
            "gco_stream_event_loop_stall_seconds",
            "Event loop delays over 10 ms, in seconds; measured twice a second.",
            registry=registry,
            buckets=_BUCKETS,
        )

    def observe_delay(self, seconds: float) -> None:
        """Records a delay of the event loop; delays up to MAX_NORMAL_DELAY are ignored."""
        if seconds > MAX_NORMAL_DELAY:
            self._stalls.observe(seconds)


async def watch_loop(on_delay: Callable[[float], None], *, tick: float = TICK_SECONDS) -> Never:
    """Calls `on_delay` every `tick` seconds with the delay of the event loop in seconds. Runs until cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + tick
        await asyncio.sleep(tick)
        on_delay(clock() - due)
