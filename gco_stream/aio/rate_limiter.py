"""A rate limit that several callers share."""

import asyncio


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
