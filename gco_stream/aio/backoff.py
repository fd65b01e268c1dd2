"""Delays after consecutive failures: exponential, capped, with jitter. The only implementation of them here.

A call that is retried in place uses tenacity (`Retrying`, `AsyncRetrying`). Its wait strategies do not fit the other
callers: they need the attempt's RetryCallState, but these callers continue in a loop, a queue or a plan between two
attempts, and log or store the delay. And tenacity draws its jitter from the global random generator, not from the
caller's seeded one.
"""

import random


def delay_after(failures: int, *, base: float, cap: float) -> float:
    """Seconds to wait after `failures` consecutive failures: `base`, doubled after each further one, at most `cap`."""
    # Bounded, because a large exponent overflows a float.
    return min(cap, base * 2.0 ** min(failures - 1, 32))


def jittered(delay: float, rng: random.Random) -> float:
    """Shortens a delay at random, so that callers that failed together do not retry together.

    By at most half, so that delays still grow.
    """
    return delay * rng.uniform(0.5, 1)


class Backoff:
    """Delays in seconds after the consecutive failures of one caller, with jitter; see `delay_after`."""

    def __init__(self, rng: random.Random, *, base: float, cap: float) -> None:
        self._rng = rng
        self._base = base
        self._cap = cap
        self._failures = 0

    def after_failure(self) -> float:
        """Records a failure and returns the delay before the next attempt, in seconds."""
        self._failures += 1
        return jittered(delay_after(self._failures, base=self._base, cap=self._cap), self._rng)

    def succeeded(self) -> None:
        """Resets the delay to `base`."""
        self._failures = 0
