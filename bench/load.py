"""Latency under load: 10,000 endpoints, one minute of changes, with a resync in the middle.

Runs at 50 and at 100 changes per second. All processes together need about 25 ms of CPU per change, so two cores for
everything, including this benchmark, can sustain the first rate but not the second.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import watched_program
from bench.changes import Change, Users
from bench.figures import Figure, Measurement
from bench.fleet import Fleets
from bench.items import name_of
from bench.place import Place
from bench.program import Program
from bench.watched_program import Span
from bench.watching import DeploymentWatch

ENDPOINTS = 10_000
PER_SECOND = (50.0, 100.0)
SECONDS = 60.0
_QUICK = (200, (10.0, 20.0), 10.0)
_PATIENCE = 300.0
_LATE = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """Result of one run: the changes with the seconds until each was applied, and the scans, stalls and tasks.

    `tasks` and `rss` are values before the first change and after the last apply. Memory is in MiB. `cpu` has the CPU
    seconds of the program from the first change to the last apply.
    """

    latencies: Sequence[tuple[Change, float]]
    scans: Sequence[Span]
    stalls: Sequence[Span]
    tasks: tuple[int, int]
    rss: tuple[float, float]
    peak_rss: float
    per_second: float
    cpu: float

    def during_scans(self, *, lead: float = 0.0) -> tuple[list[float], list[float]]:
        """Latencies of changes sent during a table scan or up to `lead` seconds before one, and of all others."""
        during: list[float] = []
        others: list[float] = []
        for change, took in self.latencies:
            beside = any(begin - lead <= change.sent <= end for begin, end in self.scans)
            (during if beside else others).append(took)
        return during, others

    def longest_stalls(self) -> tuple[float, float]:
        """Seconds of the longest event loop stall during a table scan, and outside one."""
        during, others = [0.0], [0.0]
        for begin, end in self.stalls:
            beside = any(begin < stop and end > start for start, stop in self.scans)
            (during if beside else others).append(end - begin)
        return max(during), max(others)


def under_load(
    place: Place, count: int, per_second: float, seconds: float, resync_seconds: float, replicas: int = 2
) -> Load:
    """Runs the program on a fleet in sync while users change the replicas of all endpoints at a steady rate."""
    names = [name_of(number) for number in range(count)]
    random.Random(1).shuffle(names)  # noqa: S311 - every run makes the same changes
    settings = {"RESYNC_INTERVAL_SECONDS": f"{resync_seconds:g}"}
    with (
        Program(place, settings, module=watched_program.MODULE) as program,
        DeploymentWatch(place) as watch,
        Users(place) as users,
    ):
        program.wait_idle(_PATIENCE, also=lambda: program.status()["endpoints"] == count)
        counted = len(watched_program.tasks(program.log_lines()))
        _wait(program, lambda: len(watched_program.tasks(program.log_lines())) > counted + 1)
        tasks, rss = watched_program.tasks(program.log_lines())[-1], program.rss_mib()
        cpu = program.cpu_seconds()
        changes = users.at_pace(names, per_second, seconds, lambda number: replicas + number // count)
        latencies = [(one, watch.seen(one.name, one.revision, _LATE) - one.sent) for one in changes]
        cpu = program.cpu_seconds() - cpu
        program.wait_idle(_PATIENCE)
        counted = len(watched_program.tasks(program.log_lines()))
        _wait(program, lambda: len(watched_program.tasks(program.log_lines())) > counted + 1)
        lines = program.log_lines()
        began, ended = changes[0].sent, max(one.sent + took for one, took in latencies)
        return Load(
            latencies,
            _within(watched_program.scans(lines), began, ended),
            _within(watched_program.stalls(lines), began, ended),
            (tasks, min(watched_program.tasks(lines)[-2:])),
            (rss, program.rss_mib()),
            program.peak_rss_mib(),
            (len(changes) - 1) / (changes[-1].sent - began),
            cpu,
        )


def measure(fleets: Fleets, *, quick: bool) -> Measurement:
    count, per_second, seconds = _QUICK if quick else (ENDPOINTS, PER_SECOND, SECONDS)
    place = fleets.of(count)
    figures: list[Figure] = []
    for number, pace in enumerate(per_second):
        # The first scan happens at the start, the next one halfway through.
        found = under_load(place, count, pace, seconds, resync_seconds=seconds / 2, replicas=2 + number)
        figures += _figures(f"{pace:g}/s", found)
    # The endpoints have changed since they were loaded.
    fleets.close()
    return Measurement(
        figures,
        [
            f"{count:,} endpoints in sync, changes of replicas for {seconds:g} s at each rate, each in a new process. "
            "The API server runs without other controllers, so there are no pods. With a kubeconfig, which takes "
            "about 30 MiB more than in a pod.",
            "A change is applied once a separate watch receives the Deployment with its gco.io/revision or a later "
            "one. A task on the event loop of the program wakes every 2 ms to measure stalls. Stalls under 10 ms "
            "are ignored.",
        ],
    )


def _figures(pace: str, found: Load) -> list[Figure]:
    during, others = found.during_scans()
    stalls = found.longest_stalls()
    return [
        Figure(f"{pace}: write sent -> applied, no resync", "ms", [1000 * one for one in others]),
        Figure(f"{pace}: write sent -> applied, during a resync", "ms", [1000 * one for one in during]),
        Figure(f"{pace}: the user's write", "ms", [1000 * (one.acknowledged - one.sent) for one, _ in found.latencies]),
        Figure(f"{pace}: actual rate of changes", "1/s", [found.per_second]),
        Figure(f"{pace}: CPU per change, including resyncs", "ms", [1000 * found.cpu / len(found.latencies)]),
        Figure(f"{pace}: longest event loop stall, no resync", "ms", [1000 * stalls[1]]),
        Figure(f"{pace}: longest event loop stall, during a resync", "ms", [1000 * stalls[0]]),
        Figure(f"{pace}: duration of a resync", "s", [end - begin for begin, end in found.scans]),
        Figure(f"{pace}: RSS before", "MiB", [found.rss[0]]),
        Figure(f"{pace}: RSS after", "MiB", [found.rss[1]]),
        Figure(f"{pace}: peak RSS", "MiB", [found.peak_rss]),
        Figure(f"{pace}: additional asyncio tasks", "", [found.tasks[1] - found.tasks[0]], {"median": 0}),
    ]


def _within(spans: Sequence[Span], began: float, ended: float) -> list[Span]:
    return [(begin, end) for begin, end in spans if end > began and begin < ended]


def _wait(program: Program, condition: Callable[[], bool]) -> None:
    program.wait_idle(_PATIENCE, also=condition)
