"""How long to wait: between calls that share a limit, and after calls that failed."""

import asyncio
import random


class RateLimiter:
    """Calls that are at least `interval` seconds apart, whoever makes them."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = asyncio.Lock()
        self._next = float("-inf")

    async def acquire(self) -> None:
        """Return when the next call may be made."""
        clock = asyncio.get_running_loop().time
        async with self._lock:
            await asyncio.sleep(max(0.0, self._next - clock()))
            self._next = clock() + self._interval


class Backoff:
    """Delays in seconds that double from `base` to `cap` with each failure in a row, each shortened at random.

    At random, so that what failed together does not come back together; by half at the most, so that they still grow.
    """

    def __init__(self, rng: random.Random, *, base: float, cap: float) -> None:
        self._rng = rng
        self._base = base
        self._cap = cap
        self._failures = 0

    def after_failure(self) -> float:
        """The delay before the next try."""
        # The exponent is bounded, since a float's is.
        delay = min(self._cap, self._base * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return delay * self._rng.uniform(0.5, 1)

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0
