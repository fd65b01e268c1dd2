"""Cost of a resync of 10,000 endpoints in sync: time, CPU, calls and event loop stalls."""

import time
from types import MappingProxyType

from bench import watched_program
from bench.figures import Figure, Measurement
from bench.fleet import Fleets, untouched
from bench.place import Place
from bench.program import Program

ENDPOINTS = 10_000
_QUICK_ENDPOINTS = 200
_RESYNCS = 8
_QUICK_RESYNCS = 2
_RESYNC_SECONDS = 8
_SETTINGS = MappingProxyType({"RESYNC_INTERVAL_SECONDS": str(_RESYNC_SECONDS)})
_POLL_SECONDS = 0.2
_PATIENCE = 300.0


def measure(fleets: Fleets, *, quick: bool) -> Measurement:
    count, rounds = (_QUICK_ENDPOINTS, _QUICK_RESYNCS) if quick else (ENDPOINTS, _RESYNCS)
    place = fleets.of(count)
    with untouched(place, place.user), Program(place, _SETTINGS) as program:
        program.wait_idle(_PATIENCE, also=lambda: program.status()["endpoints"] == count)
        _next_resync(program)
        mark = place.plane.audit.mark()
        cpu, wall, scrapes = [], [], []
        for _ in range(rounds):
            used, took, scrape = _one(program)
            cpu.append(used)
            wall.append(took)
            scrapes.append(scrape)
        calls = [
            call
            for call in place.plane.audit.calls(mark, user=place.user)
            if call.resource != "leases" and call.verb != "watch"
        ]
    stalls = _stalls(place, rounds)
    return Measurement(
        [
            Figure("CPU of one resync", "s", cpu, {"median": 3.0}),
            Figure("time of one resync", "s", wall),
            Figure("calls to the API server in all resyncs", "", [len(calls)], {"median": 0}),
            Figure("CPU of one scrape of /metrics", "ms", [1000 * one for one in scrapes]),
            Figure("longest event loop stall in a resync", "ms", [1000 * one for one in stalls]),
        ],
        [
            f"{count:,} endpoints in sync, RESYNC_INTERVAL_SECONDS={_RESYNC_SECONDS}. CPU of the program in an "
            "interval with one resync, minus its CPU in an interval without one.",
            "A task on the event loop of the program wakes every 2 ms to measure stalls. Stalls under 10 ms "
            "are ignored.",
        ],
    )


def _next_resync(program: Program) -> None:
    done = program.metric("gco_stream_resync_seconds_count")
    deadline = time.monotonic() + _PATIENCE
    while program.metric("gco_stream_resync_seconds_count") == done:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no resync within {_PATIENCE:g} s")
        time.sleep(_POLL_SECONDS)


def _one(program: Program) -> tuple[float, float, float]:
    """CPU seconds and duration of the next resync, and CPU seconds of a scrape, including a little idle CPU.

    Starts right after a resync, so the first half of the interval has none.
    """
    total = "gco_stream_resync_seconds_sum"
    before = program.metric(total)
    quiet, began = program.cpu_seconds(), time.monotonic()
    polls = 0
    while time.monotonic() < began + _RESYNC_SECONDS / 2:
        # Polls as often as below, so that the cost of polling cancels out.
        program.metric(total)
        time.sleep(_POLL_SECONDS)
        polls += 1
    scraping = program.cpu_seconds() - quiet
    share = scraping / (time.monotonic() - began)
    start, began = program.cpu_seconds(), time.monotonic()
    _next_resync(program)
    used, lasted = program.cpu_seconds() - start, time.monotonic() - began
    took = program.metric(total) - before
    return used - share * max(0.0, lasted - took), took, scraping / polls


def _stalls(place: Place, rounds: int) -> list[float]:
    """Longest event loop stall in each resync, in seconds."""
    with untouched(place, place.user), Program(place, _SETTINGS, module=watched_program.MODULE) as program:
        program.wait_idle(_PATIENCE)
        for _ in range(rounds):
            _next_resync(program)
        lines = program.log_lines()
    stalls = watched_program.stalls(lines)
    return [
        max((end - begin for begin, end in stalls if begin < scanned and end > started), default=0.0)
        for started, scanned in watched_program.scans(lines)[-rounds:]
    ]
