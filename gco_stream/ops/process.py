"""This process: its version, what Prometheus' own collectors tell of it, and how late its event loop is."""

import asyncio
import platform
from collections.abc import Callable
from typing import Final, Never

from prometheus_client import CollectorRegistry, Gauge, GCCollector, Histogram, ProcessCollector

from gco_stream import __version__

# Often enough to see what holds the loop for long, and next to nothing at rest.
TICK_SECONDS: Final = 0.5
# A loop is never quite on time.
MAX_NORMAL_DELAY: Final = 0.01
_BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def collect_process(registry: CollectorRegistry) -> None:
    """Adds `process_*` and `python_gc_*` as every Python program has them. They read files, now and at each scrape."""
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)


class ProcessMetrics:
    """Build information, and stalls of the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        build = Gauge("gco_stream_build_info", "1, with the version.", ["version", "python_version"], registry=registry)
        build.labels(__version__, platform.python_version()).set(1)
        self._stalls = Histogram(
            "gco_stream_event_loop_stall_seconds",
            "How late the event loop was where that was more than 10 ms; looked at twice a second.",
            registry=registry,
            buckets=_BUCKETS,
        )

    def observe_delay(self, seconds: float) -> None:
        """The loop came so late to what was due."""
        if seconds > MAX_NORMAL_DELAY:
            self._stalls.observe(seconds)


async def watch_loop(on_delay: Callable[[float], None], *, tick: float = TICK_SECONDS) -> Never:
    """Tells until cancelled how late the loop is, in seconds, once a tick."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + tick
        await asyncio.sleep(tick)
        on_delay(clock() - due)
