"""Retries of failing keys: when each is retried, and which keys are woken once their common cause is gone.

Endpoints seldom fail alone. If a server, a namespace, a permission or a webhook is missing, all endpoints that need it
fail for the same cause, and no event reports that it is back. A few failing keys are therefore retried often and many
take turns, and a key that recovers from a cause wakes the others that wait because of it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gco_stream.aio.backoff import delay_after, jittered

MAX_RETRY_AFTER = 300.0
"""Longest wait that a server may request, in seconds. A proxy in between may send any value."""


class ItemBackoff:
    """Retry delays after consecutive failures of a key: exponential, capped, with jitter. Times in seconds.

    `floor` and `spacing`: if few keys fail, the delay is capped at `floor`. The cap grows with their number, up to
    `cap`, so that about one of them is retried every `spacing` seconds. Holds a count for each failing key, so it is
    bounded by the table's names.
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
        """Counts a failure and returns how long to wait."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        cap = min(self._cap, max(self._floor, self._spacing * len(self._failures)))
        return jittered(delay_after(count, base=self._base, cap=cap), self._rng)

    def failures(self, key: str) -> int:
        """Returns the number of consecutive failures."""
        return self._failures.get(key, 0)

    def succeeded(self, key: str) -> None:
        """Resets the count of failures."""
        self._failures.pop(key, None)


@dataclass(frozen=True, slots=True)
class Backoffs:
    """How long keys wait that fail, and those whose objects are contested."""

    failing: ItemBackoff
    contested: ItemBackoff


@dataclass(slots=True)
class _Failing:
    cause: str = ""
    not_before: float = 0.0
    woken: bool = False


@dataclass(slots=True)
class Retries:
    """All keys that fail now, bounded by the table's names. `wake` is called with a key and the seconds to wait."""

    backoff: ItemBackoff
    wake: Callable[[str, float], None]
    _failing: dict[str, _Failing] = field(default_factory=dict)

    def failed(
        self, key: str, now: float, *, cause: str = "", retry_after: float | None = None, woken: bool = False
    ) -> float:
        """Returns how long to wait before `key` is retried. Times are in seconds of a monotonic clock.

        `cause`: failure key shared by all keys with the same cause, "" if the cause affects only this one.
        `retry_after`: the wait that the server requested. `woken`: this was a retry because another key had recovered
        from the cause.
        """
        before, requested = self._failing.get(key), min(retry_after or 0.0, MAX_RETRY_AFTER)
        wait = max(self.backoff.failed(key), requested)
        # A woken key that fails again is not woken again before its own delay ends. Otherwise, if different causes
        # have the same failure key, each recovery would retry all of its keys.
        self._failing[key] = _Failing(cause, now + requested, woken)
        if before is not None and before.cause != cause:
            self.cause_resolved(before.cause, now)
        return wait

    def succeeded(self, key: str, now: float) -> None:
        """Records that the key succeeded, and wakes those that failed for the same cause."""
        self.backoff.succeeded(key)
        before = self._failing.pop(key, None)
        if before is not None:
            self.cause_resolved(before.cause, now)

    def cause_resolved(self, cause: str, now: float) -> None:
        """Wakes all keys that wait because of this cause."""
        if not cause:
            return
        for key, failing in self._failing.items():
            if failing.cause == cause and not failing.woken:
                failing.woken = True
                self.wake(key, max(0.0, failing.not_before - now))

    def server_wait(self, key: str, now: float) -> float:
        """Returns the rest of the wait that the server requested for this key, in seconds; 0 if there is none."""
        failing = self._failing.get(key)
        return 0.0 if failing is None else max(0.0, failing.not_before - now)
