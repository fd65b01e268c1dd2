"""Latency from a user's write to the applied change, with 200 endpoints and changes at random intervals."""

import random
import time
from dataclasses import dataclass

from bench.accepted import writes
from bench.figures import Figure, Measurement
from bench.fleet import Fleets
from bench.items import item, name_of
from bench.place import Place
from bench.program import Program
from bench.watching import DeploymentWatch
from gco_stream.model import wire

ENDPOINTS = 200
CHANGES = 400
_QUICK_CHANGES = 60
_MEAN_PAUSE = 0.25
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class _Change:
    name: str
    sent: float
    acknowledged: float
    revision: str


def measure(fleets: Fleets, *, quick: bool) -> Measurement:
    place = fleets.of(ENDPOINTS)
    with Program(place) as program, DeploymentWatch(place) as watch:
        program.wait_idle(60)
        mark, began = place.plane.audit.mark(), time.time()
        changes = _change(place, _QUICK_CHANGES if quick else CHANGES)
        applied = {change.revision: watch.seen(change.name, change.revision, _PATIENCE) for change in changes}
        program.wait_idle(30)
        own, whole = _own_share(place, program, mark, began)
    # The endpoints have changed since they were loaded.
    fleets.close()
    paces = [change.acknowledged - change.sent for change in changes]
    return Measurement(
        [
            Figure(
                "write sent -> applied",
                "ms",
                [1000 * (applied[change.revision] - change.sent) for change in changes],
                {"median": 150, "p99": 350},
            ),
            Figure("of which the user's write", "ms", [1000 * pace for pace in paces]),
            Figure("of which the controller: record read -> apply accepted", "ms", own, {"median": 15, "p99": 60}),
            Figure("record read -> reconcile done", "ms", whole),
        ],
        [
            f"{len(changes)} changes (replicas, env), one every {_MEAN_PAUSE:g} s on average, poll interval 0.2 s. "
            "The API server runs without other controllers, so there are no pods.",
            "A change is applied once a separate watch on Deployments receives the object with its gco.io/revision.",
            "The controller's share lasts until the audit log shows the response to the apply. It starts when the "
            "record was read: the end of the reconcile minus took_ms and waited_ms in the controller's log. A "
            "reconcile ends after its status write.",
        ],
    )


def _change(place: Place, count: int) -> list[_Change]:
    rng = random.Random(1)  # noqa: S311 - every run makes the same changes
    order = rng.sample(range(ENDPOINTS), ENDPOINTS)
    done = []
    for number in range(count):
        name = name_of(order[number % ENDPOINTS])
        seen = place.table.get(name)
        if seen is None:
            raise RuntimeError(f"{name} is no longer in the table")
        time.sleep(rng.expovariate(1 / _MEAN_PAUSE))
        sent = time.monotonic()
        if number % 2:
            after = place.table.scale(seen, 2 + number)
        else:
            spec = item(order[number % ENDPOINTS], place.namespace)["spec"]
            after = place.table.replace_spec(seen, {**spec, "env": {**spec["env"], "CHANGE": str(number)}})
        acknowledged = time.monotonic()
        done.append(_Change(name, sent, acknowledged, str(wire.decode(after)["updated_at"])))
    return done


def _own_share(place: Place, program: Program, mark: int, began: float) -> tuple[list[float], list[float]]:
    """Milliseconds from reading each record to its accepted apply, and to the end of the reconcile."""
    answered: dict[str, list[float]] = {}
    for write in writes(place.plane.audit.path, mark, place.user):
        if write.resource == "deployments":
            answered.setdefault(write.name, []).append(write.answered)
    own, whole = [], []
    for line in program.reconciled():
        if "stream" not in line["trigger"] or "steps" not in line or line["ended"] < began:
            continue
        took = line["waited_ms"] + line["took_ms"]
        read = line["ended"] - took / 1000
        own += [1000 * (at - read) for at in answered[line["endpoint"]] if read <= at <= line["ended"]]
        whole.append(took)
    return own, whole
