"""Dates revisions of the cluster, so that judges need not trust the time at which a watch delivered an event.

On a busy machine a watch may be seconds late. Every write of the metronome gets a resourceVersion from the API server,
and resourceVersions of all kinds have one order: whatever has a lower one happened before the response to that write.
"""

import contextlib
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import KubeApi
from tests.chaos.run.records.evidence import Event

_PATH = "/api/v1/namespaces/default/configmaps"
_NAME = "metronome"
_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Beat:
    """A write with this resourceVersion, and the time at which its response arrived."""

    version: int
    answered: float


class Metronome:
    """Writes an object of its own, several times a second, from `__enter__` to `__exit__`."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kube = KubeApi.from_kubeconfig(kubeconfig)
        self._lock = threading.Lock()
        self._beats: list[Beat] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metronome")

    def __enter__(self) -> "Metronome":
        self._kube.create(_PATH, {"metadata": {"name": _NAME}})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._kube.close()

    def beats(self) -> tuple[Beat, ...]:
        with self._lock:
            return tuple(self._beats)

    def _run(self) -> None:
        number = 0
        while not self._over.wait(_PAUSE):
            number += 1
            with contextlib.suppress(KubeError, ConnectionError, TimeoutError):
                answer = self._kube.patch(f"{_PATH}/{_NAME}", {"data": {"beat": str(number)}})
                beat = Beat(int(answer["metadata"]["resourceVersion"]), time.time())
                with self._lock:
                    self._beats.append(beat)


def dated(events: Iterable[Event], beats: Iterable[Beat]) -> tuple[Event, ...]:
    """Returns the events, each not later than the first beat with a higher resourceVersion.

    An event that was found by a list has the resourceVersion of an earlier event, so it keeps its time.
    """
    ordered = sorted(beats, key=lambda beat: beat.version)
    versions = [beat.version for beat in ordered]
    # The earliest response to a beat or any later one.
    answered = list(accumulate((beat.answered for beat in reversed(ordered)), min))[::-1]
    found = []
    for event in events:
        position = bisect_right(versions, int(event.obj["version"]))
        late = not event.guessed and position < len(answered) and answered[position] < event.at
        found.append(replace(event, at=answered[position]) if late else event)
    return tuple(found)
