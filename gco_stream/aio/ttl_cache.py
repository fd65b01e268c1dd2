"""Answers that are good for a moment: a page that many people watch asks the API server as often as one does."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_TTL_SECONDS: Final = 2.0
_MAX_ENTRIES: Final = 64


class TTLCache(Generic[T]):
    """Answers by name, of a few names at a time. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[str, tuple[float, T]] = {}

    async def get_or_fetch(self, name: str, fetch: Callable[[], Awaitable[T]]) -> T:
        """The answer about one name, asked for where there is none that is recent; whatever `fetch` raises."""
        now = self._clock()
        if (cached := self._answers.pop(name, None)) is None or now - cached[0] >= _TTL_SECONDS:
            cached = (now, await fetch())
        self._answers[name] = cached
        while len(self._answers) > _MAX_ENTRIES:
            del self._answers[next(iter(self._answers))]
        return cached[1]
