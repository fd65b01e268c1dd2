"""Recovery time after an API server outage, a DynamoDB outage and a replaced stream."""

import time
from collections.abc import Callable

from bench.changes import Change, Users
from bench.figures import Figure, Measurement
from bench.fleet import Fleets, serve
from bench.items import name_of
from bench.place import Place, control_plane
from bench.program import Program
from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import path_of
from gco_stream.model import names

ENDPOINTS = 200
ROUNDS = 3
_QUICK = (20, 1)
_GONE_SECONDS = 20.0
_QUICK_GONE_SECONDS = 3.0
_PATIENCE = 180.0
_POLL_SECONDS = 0.02


def measure(_: Fleets, *, quick: bool) -> Measurement:
    count, rounds = _QUICK if quick else (ENDPOINTS, ROUNDS)
    gone = _QUICK_GONE_SECONDS if quick else _GONE_SECONDS
    api, table, stream, mode = [], [], [], []
    with control_plane(controllers=False) as plane:
        place = Place(plane)
        serve(place, count)
        with Program(place) as program, Users(place) as users:
            for number in range(rounds):
                program.wait_idle(_PATIENCE)
                api.append(_api_server_gone(place, users, number, gone))
                program.wait_idle(_PATIENCE)
                table.append(_dynamodb_gone(place, users, number, gone))
                program.wait_idle(_PATIENCE)
                applied, streaming = _stream_replaced(place, program, users, number)
                stream.append(applied)
                mode.append(streaming)
    return Measurement(
        [
            Figure("API server back -> change from the outage applied", "s", api),
            Figure("DynamoDB back -> next change applied", "s", table),
            Figure("stream replaced -> next change applied", "s", stream),
            Figure("stream replaced -> new stream in use", "s", mode),
        ],
        [
            f"{count} endpoints in sync, one replica of the program, default settings. Each outage lasts {gone:g} s. "
            "kube-apiserver is killed and restarted, and is back with its first response; the leader loses its lease "
            "in the meantime. DynamoDB Local is suspended (connections stay open, nothing answers). To replace the "
            "stream, it is disabled and enabled again.",
            "A change is applied once the Deployment has its gco.io/revision. The API server is polled every 20 ms.",
        ],
    )


def _api_server_gone(place: Place, users: Users, number: int, gone: float) -> float:
    server = place.plane.servers["kube-apiserver"]
    server.stop()
    time.sleep(gone / 2)
    change = users.scale(name_of(number), 10 + number)
    time.sleep(gone / 2)
    server.start()
    _wait(lambda: _answers(place))
    return _applied(place, change, time.monotonic())


def _answers(place: Place) -> bool:
    try:
        place.plane.kube.get(path_of("Deployment", place.namespace))
    except (KubeError, OSError):
        return False
    return True


def _dynamodb_gone(place: Place, users: Users, number: int, gone: float) -> float:
    server = place.plane.servers["dynamodb"]
    server.freeze()
    try:
        time.sleep(gone)
    finally:
        server.thaw()
    back = time.monotonic()
    return _applied(place, users.scale(name_of(number), 20 + number), back)


def _stream_replaced(place: Place, program: Program, users: Users, number: int) -> tuple[float, float]:
    before = place.turn_stream_off()
    place.turn_stream_on()
    began = time.monotonic()
    applied = _applied(place, users.scale(name_of(number), 30 + number), began)

    def streams() -> bool:
        stream = program.status()["stream"]
        return stream["mode"] == "stream" and stream["arn"] not in {None, before}

    _wait(streams)
    return applied, time.monotonic() - began


def _applied(place: Place, change: Change, began: float) -> float:
    path = path_of("Deployment", place.namespace, change.name)

    def is_applied() -> bool:
        metadata = place.plane.kube.get(path)["metadata"]
        return bool(metadata.get("annotations", {}).get(names.REVISION_ANNOTATION, "") >= change.revision)

    _wait(is_applied)
    return time.monotonic() - began


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not recovered within {_PATIENCE:g} s")
        time.sleep(_POLL_SECONDS)
