"""Schedules the retries of failing keys, and retries them early if their common cause is resolved.

Endpoints seldom fail alone. If a server, namespace, permission or webhook is missing, all endpoints that need it fail
for the same cause, and no event reports when it is available again. Therefore, failing keys are retried regularly. When
one of them succeeds, all keys that failed for the same cause are retried as well.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gco_stream.aio.backoff import delay_after, jittered

MAX_RETRY_AFTER = 300.0
"""Longest wait that a server may request, in seconds. A proxy in between may send any value."""


class ItemBackoff:
    """Exponential back-off with jitter for each failing key. All times are in seconds.

    The delay of a key starts at `base` and doubles with each consecutive failure. Its upper limit is `floor` if only a
    few keys fail. The limit grows with the number of failing keys, up to `cap`, so that about one of these keys is
    retried every `spacing` seconds.
    """

    def __init__(
        self,
        *,
        base: float = 0.25,
        cap: float = 300.0,
        floor: float = 300.0,
        spacing: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        self._base, self._cap, self._floor, self._spacing = base, cap, floor, spacing
        self._failures: dict[str, int] = {}
        self._rng = rng or random.Random()  # noqa: S311  (jitter, not a secret)

    def failed(self, key: str) -> float:
        """Counts a failure of the key and returns the delay before its next retry."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        cap = min(self._cap, max(self._floor, self._spacing * len(self._failures)))
        return jittered(delay_after(count, base=self._base, cap=cap), self._rng)

    def failures(self, key: str) -> int:
        """Returns the number of consecutive failures of the key."""
        return self._failures.get(key, 0)

    def succeeded(self, key: str) -> None:
        """Resets the failure count of the key."""
        self._failures.pop(key, None)


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
