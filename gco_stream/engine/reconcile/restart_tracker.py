"""Counts unrequested restarts: how often a pod template was restored after another program had changed it.

An image updater may change a Deployment again a second or an hour after it was restored, so the rounds of a single
reconcile do not reveal the conflict. Each restore restarts GPU pods. Therefore, after a few restores, the other
program's change is left in place and reported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from gco_stream.model import names
from gco_stream.model.objects import ObjectRef
from gco_stream.planning.policies.contested import MAX_ATTEMPTS

WINDOW = 3600.0
"""Seconds within which restarts for the same template are counted: longer than the polling interval of updaters."""


@dataclass(slots=True)
class _Restart:
    digest: str
    times: list[float] = field(default_factory=list)


class RestartTracker:
    """Tracks the last applied template of each Deployment and when it was restored. `clock`: monotonic seconds.

    The state is only in memory, because the Deployment itself is annotated after MAX_ATTEMPTS restarts. `record` drops
    the entries whose restarts are all older than WINDOW.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_ref: dict[ObjectRef, _Restart] = {}

    def limit_reached(self, ref: ObjectRef, digest: str) -> bool:
        """Returns whether the template with this digest was restored MAX_ATTEMPTS times in the last WINDOW seconds."""
        restart = self._by_ref.get(ref)
        return restart is not None and restart.digest == digest and len(self._recent(restart)) >= MAX_ATTEMPTS

    def record(self, ref: ObjectRef, digest: str, *, corrects: bool) -> None:
        """Records that this template was applied to the Deployment. `corrects`: the item's template is unchanged.

        The first apply of a new template is not counted, because the user requested it. A second apply of the same
        template is always counted: a program that reverts the template may also revert the annotation from which
        `corrects` is derived.
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
        """Drops the entry of a Deployment that is now annotated as contested."""
        self._by_ref.pop(ref, None)

    def forget_endpoint(self, name: str) -> None:
        """Drops the entries of a deleted endpoint's Deployments."""
        for ref in [ref for ref in self._by_ref if ref.name in {name, names.canary_name(name)}]:
            del self._by_ref[ref]

    def _recent(self, restart: _Restart) -> list[float]:
        return [at for at in restart.times if self._clock() - at < WINDOW]
