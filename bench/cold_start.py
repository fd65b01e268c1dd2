"""Cold start of 1,000 endpoints, compared with a bare loop that sends the same applies with the same concurrency."""

from datetime import datetime

from bench import bare
from bench.accepted import Accepted, writes
from bench.figures import Figure, Measurement
from bench.fleet import Fleets
from bench.items import item
from bench.place import Place, control_plane
from bench.program import Program
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.servers.dynamodb import REGION
from gco_stream.model import wire

ENDPOINTS = 1000
PAIRS = 4
_QUICK_ENDPOINTS = 60
# Service and Deployment. No pod becomes ready here, so no Ingress is created.
_OBJECTS = 2
_AT_ONCE = 16
_WARM_UP = 40
_PATIENCE = 600.0


def measure(_: Fleets, *, quick: bool) -> Measurement:
    count, pairs = (_QUICK_ENDPOINTS, 1) if quick else (ENDPOINTS, PAIRS)
    program, reported, loop, peaks, cpu = [], [], [], [], []
    with control_plane(controllers=False) as plane:
        _bare(plane, _WARM_UP)
        for pair in range(pairs):
            # The second run finds more objects in the API server, so the order alternates.
            if pair % 2:
                loop.append(_bare(plane, count))
            applied, written, peak, used = _program(plane, count)
            program.append(applied)
            reported.append(written)
            peaks.append(peak)
            cpu.append(used)
            if not pair % 2:
                loop.append(_bare(plane, count))
    return Measurement(
        [
            Figure("ratio to the bare loop", "", [a / b for a, b in zip(program, loop, strict=True)], {"median": 1.3}),
            Figure("program: first write -> last object accepted", "s", program),
            Figure("bare loop: first write -> last object accepted", "s", loop),
            Figure("program: first write -> every status written", "s", reported),
            Figure("program: CPU", "s", cpu),
            Figure("program: peak RSS", "MiB", peaks),
        ],
        [
            f"{count} endpoints, {_OBJECTS * count} objects (no pods, so no Ingress), {_AT_ONCE} endpoints at once, in "
            "new namespaces. The API server runs without other controllers. The order within a pair alternates. "
            "Times are from the audit log.",
            "The program, the bare loop, the API server and DynamoDB Local share the machine's cores. The time of the "
            "program therefore includes its own CPU and the cost of its status writes in DynamoDB Local.",
        ],
    )


def _program(plane: ControlPlane, count: int) -> tuple[float, float, float, float]:
    """Seconds to the last object, seconds to the last status, peak RSS in MiB, and CPU seconds."""
    place = Place(plane)
    place.fill(wire.encode(item(number, place.namespace)) for number in range(count))
    mark = plane.audit.mark()
    with Program(place) as program:
        program.wait_idle(_PATIENCE, also=lambda: program.status()["endpoints"] == count)
        done = _complete(plane, mark, place.user, count)
        first = min(write.received for write in done)
        peak, cpu = program.peak_rss_mib(), program.cpu_seconds()
    items = [wire.decode(one) for one in place.table.scan()]
    if unreported := [one["endpoint_name"] for one in items if REGION not in one["region_status"]]:
        raise RuntimeError(f"{len(unreported)} endpoints have no status: {unreported[:5]}")
    reported = max(datetime.fromisoformat(one["region_status"][REGION]["last_sync"]).timestamp() for one in items)
    return max(write.answered for write in done) - first, reported - first, peak, cpu


def _bare(plane: ControlPlane, count: int) -> float:
    place = Place(plane)
    requests = [bare.creations(wire.encode(item(number, place.namespace)), place) for number in range(count)]
    mark = plane.audit.mark()
    bare.send(place, requests, at_once=_AT_ONCE)
    done = _complete(plane, mark, bare.USER, count)
    return max(write.answered for write in done) - min(write.received for write in done)


def _complete(plane: ControlPlane, mark: int, user: str, count: int) -> list[Accepted]:
    done = list(writes(plane.audit.path, mark, user))
    if len(done) != _OBJECTS * count:
        raise RuntimeError(f"{user} made {len(done)} writes for {count} endpoints instead of {_OBJECTS * count}")
    return done
