"""How changes fare under load: 10,000 endpoints, changes for a minute, a resync in the middle.

At 100 changes a second, and at half of it: all parts together take some 25 ms of CPU a change, so that two cores for
everything, this bench included, carry the one and not the other.
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
    """What was seen: each change and the seconds until it was applied; scans, stalls and tasks of that time.

    `tasks`: before, and when all was done. Memory in MiB. `cpu`: seconds of the program, from the first change to the
    last apply.
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
        """Seconds of the changes that were sent while the table was scanned, or `lead` before, and of all others."""
        during: list[float] = []
        others: list[float] = []
        for change, took in self.latencies:
            beside = any(begin - lead <= change.sent <= end for begin, end in self.scans)
            (during if beside else others).append(took)
        return during, others

    def longest_stalls(self) -> tuple[float, float]:
        """Seconds of the longest stall of the loop while the table was scanned, and otherwise."""
        during, others = [0.0], [0.0]
        for begin, end in self.stalls:
            beside = any(begin < stop and end > start for start, stop in self.scans)
            (during if beside else others).append(end - begin)
        return max(during), max(others)


def under_load(
    place: Place, count: int, per_second: float, seconds: float, resync_seconds: float, replicas: int = 2
) -> Load:
    """The program under changes to so many `replicas` at a pace, over all of a fleet that it finds in sync."""
    names = [name_of(number) for number in range(count)]
    random.Random(1).shuffle(names)  # noqa: S311 - the same changes each time
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
        # Its first scan is the start's; the next one comes half-way.
        found = under_load(place, count, pace, seconds, resync_seconds=seconds / 2, replicas=2 + number)
        figures += _figures(f"{pace:g}/s", found)
    # Its endpoints are not any more as they were loaded.
    fleets.close()
    return Measurement(
        figures,
        [
            f"{count:,} endpoints in sync, changes of replicas for {seconds:g} s at each pace, each in a new program; "
            "the API server runs alone, no pods. With a kubeconfig (about 30 MiB more than in a pod).",
            "Applied: a watch beside the program receives the Deployment with the change's gco.io/revision or a later "
            "one. Stalls: of a task on the program's loop that wakes each 2 ms; those under 10 ms count as none.",
        ],
    )


def _figures(pace: str, found: Load) -> list[Figure]:
    during, others = found.during_scans()
    stalls = found.longest_stalls()
    return [
        Figure(f"{pace}: write sent -> applied, no resync", "ms", [1000 * one for one in others]),
        Figure(f"{pace}: write sent -> applied, during a resync", "ms", [1000 * one for one in during]),
        Figure(
            f"{pace}: the user's own write", "ms", [1000 * (one.acknowledged - one.sent) for one, _ in found.latencies]
        ),
        Figure(f"{pace}: changes a second, as sent", "1/s", [found.per_second]),
        Figure(f"{pace}: CPU of the program, a change, resyncs in it", "ms", [1000 * found.cpu / len(found.latencies)]),
        Figure(f"{pace}: longest stall of the loop, no resync", "ms", [1000 * stalls[1]]),
        Figure(f"{pace}: longest stall of the loop, during a resync", "ms", [1000 * stalls[0]]),
        Figure(f"{pace}: resyncs took", "s", [end - begin for begin, end in found.scans]),
        Figure(f"{pace}: RSS before", "MiB", [found.rss[0]]),
        Figure(f"{pace}: RSS after", "MiB", [found.rss[1]]),
        Figure(f"{pace}: peak RSS", "MiB", [found.peak_rss]),
        Figure(f"{pace}: tasks more than before", "", [found.tasks[1] - found.tasks[0]], {"median": 0}),
    ]


def _within(spans: Sequence[Span], began: float, ended: float) -> list[Span]:
    return [(begin, end) for begin, end in spans if end > began and begin < ended]


def _wait(program: Program, look: Callable[[], bool]) -> None:
    program.wait_idle(_PATIENCE, also=look)
