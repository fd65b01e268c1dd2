"""Names that fail: when each is tried again, and who is woken when what stood in the way is gone.

Endpoints seldom fail alone. Where a server, a namespace, a right or a webhook is missing, all that need it fail of the
same cause, and nobody tells when it is back. So the few that fail are tried often enough and the many take turns, and
whoever gets over a cause wakes the others that wait because of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from gco_stream.engine.workqueue.queue import ItemBackoff

MAX_RETRY_AFTER = 300.0
"""Seconds that a server may ask to wait and is obeyed: whatever stands between may say what it likes."""


@dataclass(slots=True)
class _Failing:
    cause: str = ""
    not_before: float = 0.0
    woken: bool = False


@dataclass(slots=True)
class Retries:
    """Every name that fails now, so bounded by the table's names. `wake` is called with a name and seconds to wait."""

    backoff: ItemBackoff
    wake: Callable[[str, float], None]
    _failing: dict[str, _Failing] = field(default_factory=dict)

    def failed(
        self, key: str, now: float, *, cause: str = "", retry_after: float | None = None, woken: bool = False
    ) -> float:
        """How long to wait before `key` is tried again. Times in seconds, `now` of a monotonic clock.

        `cause`: the same for all that fail of the same thing; "" where it is this name's own. `retry_after`: what the
        server asked for. `woken`: it was tried because another had got over its cause.
        """
        before, requested = self._failing.get(key), min(retry_after or 0.0, MAX_RETRY_AFTER)
        wait = max(self.backoff.failed(key), requested)
        # One that was woken in vain is not woken again before its own time has come: a cause that many share by name
        # only would have all of them tried with each change of one.
        self._failing[key] = _Failing(cause, now + requested, woken)
        if before is not None and before.cause != cause:
            self.cause_resolved(before.cause, now)
        return wait

    def succeeded(self, key: str, now: float) -> None:
        """The name is fine; what it had failed of no longer stands in the way."""
        self.backoff.succeeded(key)
        before = self._failing.pop(key, None)
        if before is not None:
            self.cause_resolved(before.cause, now)

    def cause_resolved(self, cause: str, now: float) -> None:
        """Wakes whoever waits because of this cause."""
        if not cause:
            return
        for key, failing in self._failing.items():
            if failing.cause == cause and not failing.woken:
                failing.woken = True
                self.wake(key, max(0.0, failing.not_before - now))

    def server_wait(self, key: str, now: float) -> float:
        """Seconds for which the server has asked not to be called for this name again, 0 if it has not."""
        failing = self._failing.get(key)
        return 0.0 if failing is None else max(0.0, failing.not_before - now)
