"""Rate limiting of calls, and backoff after failed calls."""

import asyncio
import random


class RateLimiter:
    """Keeps the calls of all callers at least `interval` seconds apart."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = asyncio.Lock()
        self._next = float("-inf")

    async def acquire(self) -> None:
        """Waits until the next call may be made."""
        clock = asyncio.get_running_loop().time
        async with self._lock:
            await asyncio.sleep(max(0.0, self._next - clock()))
            self._next = clock() + self._interval


class Backoff:
    """Exponential backoff: delays that double from `base` to `cap` seconds with each consecutive failure, with jitter.

    Jitter keeps callers that failed together from retrying together. It shortens a delay by at most half.
    """

    def __init__(self, rng: random.Random, *, base: float, cap: float) -> None:
        self._rng = rng
        self._base = base
        self._cap = cap
        self._failures = 0

    def after_failure(self) -> float:
        """Records a failure and returns the delay before the next attempt, in seconds."""
        # The exponent is bounded, because a large one would overflow the float.
        delay = min(self._cap, self._base * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return delay * self._rng.uniform(0.5, 1)

    def succeeded(self) -> None:
        """Resets the delay to `base`."""
        self._failures = 0
