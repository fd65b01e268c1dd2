"""Cost of 200 running endpoints while nothing changes: calls to the API server, writes to the table, CPU."""

import time
from collections import Counter
from collections.abc import Sequence

from bench.figures import Figure, Measurement
from bench.fleet import Fleets
from bench.items import item
from bench.place import Place, control_plane
from bench.program import Program
from gco_stream.local.audit import Call
from gco_stream.local.servers.dynamodb import REGION
from gco_stream.model import wire

ENDPOINTS = 200
_QUICK_ENDPOINTS = 20
_SECONDS = 120.0
_QUICK_SECONDS = 15.0
_RESYNC_SECONDS = 20
_QUIET_SECONDS = 20.0
# Verbs of watches, whose number does not grow with the number of endpoints.
_FOLLOWING = frozenset({"watch", "list"})
_WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


def measure(_: Fleets, *, quick: bool) -> Measurement:
    count, seconds = (_QUICK_ENDPOINTS, _QUICK_SECONDS) if quick else (ENDPOINTS, _SECONDS)
    with control_plane(controllers=True) as plane:
        place = Place(plane)
        place.fill(wire.encode(item(number, place.namespace)) for number in range(count))
        with Program(place, {"RESYNC_INTERVAL_SECONDS": str(_RESYNC_SECONDS)}) as program:
            program.wait_idle(300, also=lambda: _all_run(place, count))
            # Status reports of replica counts may be delayed by up to 15 s.
            time.sleep(_QUIET_SECONDS)
            resyncs = program.metric("gco_stream_resync_seconds_count")
            tails, mark, cpu, began = place.tails(), plane.audit.mark(), program.cpu_seconds(), time.monotonic()
            time.sleep(seconds)
            cpu, lasted = program.cpu_seconds() - cpu, time.monotonic() - began
            calls = plane.audit.calls(mark, user=place.user)
            written = place.records(tails)
            resyncs = program.metric("gco_stream_resync_seconds_count") - resyncs
    endpoint_hours = count * lasted / 3600
    kinds = Counter(
        "lease"
        if call.resource == "leases"
        else call.verb
        if call.verb in _FOLLOWING
        else "write"
        if call.verb in _WRITE_VERBS
        else "read"
        for call in calls
    )
    per_hour = "per endpoint-hour"
    return Measurement(
        [
            Figure("writes to the API server", per_hour, [kinds["write"] / endpoint_hours], {"median": 0}),
            Figure("reads from the API server", per_hour, [kinds["read"] / endpoint_hours], {"median": 0}),
            Figure("writes to the table", per_hour, [len(written) / endpoint_hours], {"median": 0}),
            Figure("watches reopened, in total", "per hour", [kinds["watch"] * 3600 / lasted]),
            Figure("collections listed again, in total", "per hour", [kinds["list"] * 3600 / lasted]),
            Figure("lease calls, in total", "per hour", [kinds["lease"] * 3600 / lasted]),
            Figure("CPU of the program", "% of a core", [100 * cpu / lasted]),
        ],
        [
            f"{count} running endpoints with their pods, {lasted:.0f} s with {resyncs:.0f} resyncs "
            f"(RESYNC_INTERVAL_SECONDS={_RESYNC_SECONDS}). Calls in the audit log: "
            + (", ".join(f"{verb} {resource} {n}" for (verb, resource), n in _by_verb(calls)) or "none")
            + ". Table writes are counted in the stream.",
        ],
    )


def _by_verb(calls: Sequence[Call]) -> list[tuple[tuple[str, str], int]]:
    return sorted(Counter((call.verb, call.resource) for call in calls).items())


def _all_run(place: Place, count: int) -> bool:
    items = [wire.decode(one) for one in place.table.scan(("desired_state", "region_status"))]
    states = [one["region_status"].get(REGION, {}).get("state") for one in items]
    return len(items) == count and set(states) == {"running"}
