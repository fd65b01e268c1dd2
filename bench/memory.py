"""Memory of the program with 1,000 and 10,000 endpoints in sync."""

from collections.abc import Iterator

from bench.figures import Figure, Measurement
from bench.fleet import Fleets, untouched
from bench.place import Place
from bench.pod import Pod, pod
from bench.program import Program

SIZES = (1000, 10_000)
_QUICK_SIZES = (100,)
_LIMIT_MIB = 180
_RESYNC_SECONDS = 15
_RESYNCS = 2
_PATIENCE = 300.0


def measure(fleets: Fleets, *, quick: bool) -> Measurement:
    figures: list[Figure] = []
    for count in _QUICK_SIZES if quick else SIZES:
        place = fleets.of(count)
        inside = pod(place)
        if inside is not None:
            figures += _figures(place, count, inside)
        figures += _figures(place, count, None)
    return Measurement(
        figures,
        [
            "The program starts with a cluster and a table where everything is already running, as after a restart. "
            "It wrote nothing.",
            "In a pod, it connects with its service account. kubernetes-asyncio carries the calls in either case.",
        ],
    )


def _figures(place: Place, count: int, inside: Pod | None) -> Iterator[Figure]:
    where = "in a pod" if inside else "with a kubeconfig"
    aims = {"median": _LIMIT_MIB} if inside else {}
    settings = {"RESYNC_INTERVAL_SECONDS": str(_RESYNC_SECONDS)}
    with untouched(place, inside.user if inside else place.user), Program(place, settings, pod=inside) as program:
        program.wait_idle(_PATIENCE, also=lambda: program.status()["endpoints"] == count)
        yield Figure(f"{count:,} endpoints, {where}: RSS once in sync", "MiB", [program.rss_mib()], aims)
        first = program.metric("gco_stream_resync_seconds_count")
        program.wait_idle(_PATIENCE, also=lambda: program.metric("gco_stream_resync_seconds_count") >= first + _RESYNCS)
        yield Figure(f"… RSS after {_RESYNCS} resyncs", "MiB", [program.rss_mib()], aims)
        yield Figure("… peak RSS", "MiB", [program.peak_rss_mib()])
