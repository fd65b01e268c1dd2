"""Compares the stream with polling at GCO's settings, under the same changes and at rest."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import MappingProxyType

from bench.changes import Users
from bench.figures import Figure, Measurement, percentile
from bench.fleet import Fleets, serve
from bench.items import name_of
from bench.place import Place, control_plane
from bench.program import Program
from bench.watching import DeploymentWatch
from tests.chaos.proxies.faulty_http import FaultyProxy

ENDPOINTS = 500
PER_SECOND = 5.0
SECONDS = 60.0
_QUICK = (50, 2.0, 20.0)
_SETTINGS = MappingProxyType({"RECONCILE_INTERVAL_SECONDS": "15"})
_URLS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS")
_PATIENCE = 120.0


def measure(_: Fleets, *, quick: bool) -> Measurement:
    count, per_second, seconds = _QUICK if quick else (ENDPOINTS, PER_SECOND, SECONDS)
    with control_plane(controllers=False) as plane:
        streamed, polled = Place(plane), Place(plane)
        polled.turn_stream_off()
        for place in (streamed, polled):
            serve(place, count)
        by_stream, by_poll = _changed((streamed, polled), count, per_second, seconds)
        at_rest = [_at_rest(place, seconds) for place in (streamed, polled)]
    ratios = [
        Figure(f"polling / stream: {what}", "", [of(by_poll) / of(by_stream)])
        for what, of in (("median", _median), ("p99", _p99), ("max", max))
    ]
    calls = [
        Figure(f"{how}, at rest: {what}", "per hour", [number * 3600 / seconds])
        for how, (kubernetes, dynamodb) in zip(("stream", "polling"), at_rest, strict=True)
        for what, number in (
            ("calls to the API server, without the lease", kubernetes),
            ("calls to DynamoDB", dynamodb.total()),
            ("of which Scan calls", dynamodb["Scan"]),
        )
    ]
    return Measurement(
        [
            Figure("stream: write sent -> applied", "ms", [1000 * one for one in by_stream]),
            Figure("polling: write sent -> applied", "ms", [1000 * one for one in by_poll]),
            *ratios,
            *calls,
        ],
        [
            f"{count} endpoints in sync and {per_second:g} changes of replicas per second on each side for "
            f"{seconds:g} s, both at the same time on one control plane. Polling uses a table without a stream and "
            "RECONCILE_INTERVAL_SECONDS=15, like GCO. The rest of the program is the same.",
            f"At rest, each runs alone for {seconds:g} s. Calls to the API server are counted in its audit log, calls "
            "to DynamoDB in a proxy.",
        ],
    )


def _changed(places: Sequence[Place], count: int, per_second: float, seconds: float) -> list[list[float]]:
    """Seconds from each write to its apply, for each place. All places run at the same time."""
    order = random.Random(1).sample(range(count), count)  # noqa: S311 - every run makes the same changes
    names = [name_of(number) for number in order]

    def change(users: Users, watch: DeploymentWatch) -> list[float]:
        changes = users.at_pace(names, per_second, seconds, lambda number: 2 + number // count)
        return [watch.seen(one.name, one.revision, _PATIENCE) - one.sent for one in changes]

    with ExitStack() as stack:
        enter = stack.enter_context
        programs = [enter(Program(place, _SETTINGS, name=place.namespace)) for place in places]
        for program in programs:
            program.wait_idle(_PATIENCE)
        parts = [(enter(Users(place)), enter(DeploymentWatch(place))) for place in places]
        with ThreadPoolExecutor() as threads:
            changing = [threads.submit(change, *part) for part in parts]
            return [one.result() for one in changing]


def _at_rest(place: Place, seconds: float) -> tuple[int, Counter[str]]:
    """Number of calls to the API server, without the lease and watches, and calls to DynamoDB by operation."""
    with (
        FaultyProxy(place.plane.dynamodb_url) as proxy,
        Program(place, {**_SETTINGS, **dict.fromkeys(_URLS, proxy.url)}) as program,
    ):
        program.wait_idle(_PATIENCE)
        mark, began = place.plane.audit.mark(), time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
        calls = [
            call
            for call in place.plane.audit.calls(mark, user=place.user)
            if call.resource != "leases" and call.verb != "watch"
        ]
        return len(calls), Counter(one.target.rpartition(".")[2] for one in proxy.seen if began <= one.at <= ended)


def _median(values: Sequence[float]) -> float:
    return percentile(sorted(values), 0.5)


def _p99(values: Sequence[float]) -> float:
    return percentile(sorted(values), 0.99)
