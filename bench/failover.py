"""How long nobody acts when the leader dies or is stopped: a standby beside it, a change written at that moment."""

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
_LOOK_SECONDS = 0.01

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
            Figure("kill -9 -> the standby works", "s", [one for one, _ in killed], {"max": _LEASE_SECONDS + 2}),
            Figure("kill -9 -> a change written then is applied", "s", [one for _, one in killed]),
            Figure("SIGTERM -> the standby works", "s", [one for one, _ in stopped], {"max": 2}),
            Figure("SIGTERM -> a change written then is applied", "s", [one for _, one in stopped]),
        ],
        [
            f"{count} endpoints in sync, two replicas, LEASE_DURATION_SECONDS={_LEASE_SECONDS}, "
            "LEASE_RETRY_PERIOD_SECONDS=2. Works: its /status says so, asked every 10 ms. A killed leader's lease "
            "holds from its last renewal on, so for 13 s at least.",
        ],
    )


def _rounds(place: Place, rounds: int, replicas: int, end: End) -> list[tuple[float, float]]:
    """Of each round: seconds until the standby works, and until the change is applied."""
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


def _wait(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError("the standby is not ready, or does not lead")
        time.sleep(_LOOK_SECONDS)
