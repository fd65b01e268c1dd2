"""Restarts that nobody asked for: how often a pod template was put back that another program had changed.

An image updater changes a Deployment a second or an hour after we have put it back, never within one reconcile. Each
round restarts GPU pods, so after a few of them it is the other program that has its way, and people are told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from gco_stream.model import names
from gco_stream.model.objects import ObjectRef
from gco_stream.planning.policies.contested import MAX_ATTEMPTS

WINDOW = 3600.0
"""Seconds within which restarts of the same template count together: longer than updaters wait between looks."""


@dataclass(slots=True)
class _Restart:
    digest: str
    times: list[float] = field(default_factory=list)


class RestartTracker:
    """Remembers the last template of each Deployment that was put back; `clock` gives monotonic seconds.

    In memory only: after TRIES of them the object itself is marked. At most one entry a Deployment, and none that is
    older than the window once another comes.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_ref: dict[ObjectRef, _Restart] = {}

    def limit_reached(self, ref: ObjectRef, digest: str) -> bool:
        """Whether this template was put back so often, and lately, that once more is of no use."""
        restart = self._by_ref.get(ref)
        return restart is not None and restart.digest == digest and len(self._recent(restart)) >= MAX_ATTEMPTS

    def record(self, ref: ObjectRef, digest: str, *, corrects: bool) -> None:
        """The Deployment was given this template. `corrects`: the item's template was the same before.

        The first of a new template is what the user asked for. Whoever changes it back may change our marks back with
        it, so a second one of the same counts as a correction whatever the marks say.
        """
        restart = self._by_ref.get(ref)
        if restart is None or restart.digest != digest:
            restart, seen = _Restart(digest), False
        else:
            seen = True
        if seen or corrects:
            restart.times = [*self._recent(restart), self._clock()]
        self._by_ref = {of: one for of, one in self._by_ref.items() if not one.times or self._recent(one)}
        self._by_ref[ref] = restart

    def forget(self, ref: ObjectRef) -> None:
        """It is told by the object itself, or wanted anew."""
        self._by_ref.pop(ref, None)

    def forget_endpoint(self, name: str) -> None:
        """The endpoint is gone."""
        for ref in [ref for ref in self._by_ref if ref.name in {name, names.canary_name(name)}]:
            del self._by_ref[ref]

    def _recent(self, restart: _Restart) -> list[float]:
        return [at for at in restart.times if self._clock() - at < WINDOW]
