"""Failover time: the leader is killed or stopped, and a change is written at that moment."""

import time
from collections.abc import Callable
from contextlib import ExitStack

from bench.changes import Users
from bench.figures import Figure, Measurement
from bench.fleet import Fleets, serve
from bench.items import name_of
from bench.place import Place, control_plane
from bench.program import Program
from bench.watching import DeploymentWatch

ENDPOINTS = 200
ROUNDS = 5
_QUICK = (20, 1)
_LEASE_SECONDS = 15
_PATIENCE = 60.0
_POLL_SECONDS = 0.01

End = Callable[[Program], None]


def measure(_: Fleets, *, quick: bool) -> Measurement:
    count, rounds = _QUICK if quick else (ENDPOINTS, ROUNDS)
    with control_plane(controllers=False) as plane:
        place = Place(plane)
        serve(place, count)
        killed = _rounds(place, rounds, 2, lambda leader: leader.process.kill())
        stopped = _rounds(place, rounds, 3, lambda leader: leader.process.terminate())
    return Measurement(
        [
            Figure("kill -9 -> standby leads", "s", [one for one, _ in killed], {"max": _LEASE_SECONDS + 2}),
            Figure("kill -9 -> change applied", "s", [one for _, one in killed]),
            Figure("SIGTERM -> standby leads", "s", [one for one, _ in stopped], {"max": 2}),
            Figure("SIGTERM -> change applied", "s", [one for _, one in stopped]),
        ],
        [
            f"{count} endpoints in sync, two replicas, LEASE_DURATION_SECONDS={_LEASE_SECONDS}, "
            "LEASE_RETRY_PERIOD_SECONDS=2. The change is written right after the signal. /status is polled every 10 ms "
            "to see when the standby leads. The lease of a killed leader is valid for 15 s from its last renewal, so "
            "it expires at least 13 s after the kill.",
        ],
    )


def _rounds(place: Place, rounds: int, replicas: int, end: End) -> list[tuple[float, float]]:
    """Seconds until the standby leads, and until the change is applied, for each round."""
    found = []
    with ExitStack() as stack:
        watch, users = stack.enter_context(DeploymentWatch(place)), stack.enter_context(Users(place))
        leader = stack.enter_context(Program(place))
        for number in range(rounds):
            leader.wait_idle(_PATIENCE)
            standby = stack.enter_context(Program(place, name=f"standby-{number}", leads=False))
            _wait(standby.is_ready)
            began = time.monotonic()
            end(leader)
            change = users.scale(name_of(number), replicas)
            _wait(standby.works)
            works = time.monotonic() - began
            found.append((works, watch.seen(change.name, change.revision, _PATIENCE) - began))
            leader = standby
    return found


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the standby was not ready or did not lead within {_PATIENCE:g} s")
        time.sleep(_POLL_SECONDS)
