"""Runs `gco-stream run` with a task that watches the event loop: `python -m bench.watched_program`.

It logs each stall of the loop, each table scan, and the number of asyncio tasks once per second.
"""

import asyncio
import signal
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

import structlog
from prometheus_client import Histogram

from gco_stream.manager.manager import Manager
from gco_stream.ops.logging import configure_logging
from gco_stream.ops.metrics import Metrics
from gco_stream.settings import load_settings

MODULE = ("bench.watched_program",)
_STALLED = "event loop stalled"
_TASKS = "tasks counted"
_SCANNED = "table scan measured"
_TICK = 0.002
# Shorter stalls are only a few callbacks, and very frequent.
_STALL = 0.01

_log = structlog.get_logger(__name__)

Lines = Iterable[Mapping[str, Any]]
Span = tuple[float, float]


def stalls(lines: Lines) -> list[Span]:
    """Event loop stalls in the log: start and end on the clock of `time.monotonic`, which all processes share."""
    return [(line["at"], line["at"] + line["lasted"]) for line in lines if line.get("message") == _STALLED]


def tasks(lines: Lines) -> list[int]:
    """Numbers of asyncio tasks in the log, one per second."""
    return [line["count"] for line in lines if line.get("message") == _TASKS]


def scans(lines: Lines) -> list[Span]:
    """Table scans in the log: start and end on the clock of `time.monotonic`."""
    return [(line["at"] - line["lasted"], line["at"]) for line in lines if line.get("message") == _SCANNED]


class _LoggedHistogram:
    """Wraps a histogram of seconds and also logs each observation, independently of the program's own log lines."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram

    def observe(self, seconds: float) -> None:
        self._histogram.observe(seconds)
        _log.info(_SCANNED, at=time.monotonic(), lasted=seconds)


async def _watch() -> None:
    counted = time.monotonic()
    while True:
        before = time.monotonic()
        await asyncio.sleep(_TICK)
        now = time.monotonic()
        if (lasted := now - before - _TICK) > _STALL:
            _log.info(_STALLED, at=before, lasted=lasted)
        if now - counted > 1:
            counted = now
            _log.info(_TASKS, count=len(asyncio.all_tasks()))


async def _run() -> None:
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format, cluster_id=settings.cluster_name, region=settings.region)
    stop, metrics = asyncio.Event(), Metrics()
    metrics.resync_seconds = cast("Histogram", _LoggedHistogram(metrics.resync_seconds))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(), name="watch the loop")
        await Manager(settings, metrics).run(stop)
        watching.cancel()


if __name__ == "__main__":
    asyncio.run(_run())
