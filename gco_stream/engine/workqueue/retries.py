"""Schedules the retries of failing keys, and retries them early if their common cause is resolved.

Endpoints seldom fail alone. If a server, namespace, permission or webhook is missing, all endpoints that need it fail
for the same cause, and no event reports when it is available again. Therefore, failing keys are retried regularly. When
one of them succeeds, all keys that failed for the same cause are retried as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from gco_stream.engine.workqueue.queue import ItemBackoff

MAX_RETRY_AFTER = 300.0
"""Longest wait that a server may request, in seconds. A proxy in between may send any value."""


@dataclass(frozen=True, slots=True)
class Backoffs:
    """The back-off of failing keys, and of keys whose objects are contested."""

    failing: ItemBackoff
    contested: ItemBackoff


@dataclass(slots=True)
class _Failing:
    cause: str = ""
    not_before: float = 0.0
    woken: bool = False


@dataclass(slots=True)
class Retries:
    """The keys that currently fail. `wake` is called with a key to retry early and the seconds until that retry."""

    backoff: ItemBackoff
    wake: Callable[[str, float], None]
    _failing: dict[str, _Failing] = field(default_factory=dict)

    def failed(
        self, key: str, now: float, *, cause: str = "", retry_after: float | None = None, woken: bool = False
    ) -> float:
        """Records a failure of `key` and returns the seconds until its retry. `now`: seconds of a monotonic clock.

        `cause`: failure key shared by all keys that fail for the same cause, "" if the cause affects only this key.
        `retry_after`: seconds that the server asked to wait. `woken`: the failed attempt was an early retry.
        """
        before, requested = self._failing.get(key), min(retry_after or 0.0, MAX_RETRY_AFTER)
        wait = max(self.backoff.failed(key), requested)
        # If an early retry fails, the key waits for its regular retry. Different causes can have the same failure key,
        # and each recovery would otherwise retry all keys that share it.
        self._failing[key] = _Failing(cause, now + requested, woken)
        if before is not None and before.cause != cause:
            self.cause_resolved(before.cause, now)
        return wait

    def succeeded(self, key: str, now: float) -> None:
        """Records a success of the key, and wakes the keys that failed for the same cause."""
        self.backoff.succeeded(key)
        before = self._failing.pop(key, None)
        if before is not None:
            self.cause_resolved(before.cause, now)

    def cause_resolved(self, cause: str, now: float) -> None:
        """Wakes all keys that failed for this cause, except those that have already been woken."""
        if not cause:
            return
        for key, failing in self._failing.items():
            if failing.cause == cause and not failing.woken:
                failing.woken = True
                self.wake(key, max(0.0, failing.not_before - now))

    def server_wait(self, key: str, now: float) -> float:
        """Returns the remaining seconds of the wait that the server requested for this key, or 0."""
        failing = self._failing.get(key)
        return 0.0 if failing is None else max(0.0, failing.not_before - now)
