"""Answers that are good for a moment: a page that many people watch asks the API server as often as one does."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_GOOD_FOR: Final = 2.0
_REMEMBERED: Final = 64


class Recent(Generic[T]):
    """Answers by name, of a few names at a time. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[str, tuple[float, T]] = {}

    async def of(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer about one name, asked for where there is none that is recent; whatever `ask` raises."""
        now = self._clock()
        if (known := self._answers.pop(name, None)) is None or now - known[0] >= _GOOD_FOR:
            known = (now, await ask())
        self._answers[name] = known
        while len(self._answers) > _REMEMBERED:
            del self._answers[next(iter(self._answers))]
        return known[1]
