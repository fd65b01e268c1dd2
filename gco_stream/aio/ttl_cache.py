"""A short-lived cache, so that many viewers of a page cause few API requests."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_TTL: Final = 2.0
_MAX_ENTRIES: Final = 64


class TTLCache(Generic[T]):
    """Cache that keeps values for 2 seconds, at most 64 of them. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[str, tuple[float, T]] = {}

    async def get_or_fetch(self, name: str, fetch: Callable[[], Awaitable[T]]) -> T:
        """Returns the cached value, or the result of `fetch` if there is none or it has expired.

        Errors raised by `fetch` are propagated and not cached.
        """
        now = self._clock()
        if (cached := self._answers.pop(name, None)) is None or now - cached[0] >= _TTL:
            cached = (now, await fetch())
        self._answers[name] = cached
        while len(self._answers) > _MAX_ENTRIES:
            del self._answers[next(iter(self._answers))]
        return cached[1]
