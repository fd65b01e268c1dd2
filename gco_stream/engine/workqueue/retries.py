"""Names that fail: when each is tried again, and who is woken when what stood in the way is gone.

Endpoints seldom fail alone. Where a server, a namespace, a right or a webhook is missing, all that need it fail of the
same cause, and nobody tells when it is back. So the few that fail are tried often enough and the many take turns, and
whoever gets over a cause wakes the others that wait because of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from gco_stream.engine.workqueue.queue import Backoff

LONGEST_ASKED = 300.0
"""Seconds that a server may ask to wait and is obeyed: whatever stands between may say what it likes."""


@dataclass(slots=True)
class _Failing:
    cause: str = ""
    not_before: float = 0.0
    woken: bool = False


@dataclass(slots=True)
class Retries:
    """Every name that fails now, so bounded by the table's names. `wake` is called with a name and seconds to wait."""

    backoff: Backoff
    wake: Callable[[str, float], None]
    _failing: dict[str, _Failing] = field(default_factory=dict)

    def failed(
        self, name: str, now: float, *, cause: str = "", retry_after: float | None = None, woken: bool = False
    ) -> float:
        """How long to wait before `name` is tried again. Times in seconds, `now` of a monotonic clock.

        `cause`: the same for all that fail of the same thing; "" where it is this name's own. `retry_after`: what the
        server asked for. `woken`: it was tried because another had got over its cause.
        """
        before, asked = self._failing.get(name), min(retry_after or 0.0, LONGEST_ASKED)
        wait = max(self.backoff.failed(name), asked)
        # One that was woken in vain is not woken again before its own time has come: a cause that many share by name
        # only would have all of them tried with each change of one.
        self._failing[name] = _Failing(cause, now + asked, woken)
        if before is not None and before.cause != cause:
            self.over(before.cause, now)
        return wait

    def succeeded(self, name: str, now: float) -> None:
        """The name is fine; what it had failed of no longer stands in the way."""
        self.backoff.succeeded(name)
        before = self._failing.pop(name, None)
        if before is not None:
            self.over(before.cause, now)

    def over(self, cause: str, now: float) -> None:
        """Wakes whoever waits because of this cause."""
        if not cause:
            return
        for name, failing in self._failing.items():
            if failing.cause == cause and not failing.woken:
                failing.woken = True
                self.wake(name, max(0.0, failing.not_before - now))

    def rest(self, name: str, now: float) -> float:
        """Seconds for which the server has asked not to be called for this name again, 0 if it has not."""
        failing = self._failing.get(name)
        return 0.0 if failing is None else max(0.0, failing.not_before - now)
