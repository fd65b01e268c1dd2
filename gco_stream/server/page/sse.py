"""News for pages that are open: that something has changed, never what. A page then asks for itself again.

So a page that was away, or lost its connection, has missed nothing once it asks. What comes fast is one piece of news,
and there is room for so many listeners and no more.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

MOST_LISTENERS: Final = 24
SPACING: Final = 0.5
REPEAT: Final = 5.0


class Listener:
    """One open page. `name`: the endpoint that it shows, "" for all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rung = asyncio.Event()


class Bell:
    """Rings for those who listen; costs nothing while nobody does. `rings`: how often it has."""

    def __init__(self, *, most: int = MOST_LISTENERS) -> None:
        self._most = most
        self._listeners: set[Listener] = set()
        self._closed = False
        self.rings = 0

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return self._closed or len(self._listeners) >= self._most

    def ring(self, name: str = "") -> None:
        """Something has changed of an endpoint, or ("") of the whole."""
        self.rings += 1
        for listener in self._listeners:
            if not (name and listener.name) or name == listener.name:
                listener.rung.set()

    @contextmanager
    def listening(self, name: str) -> Iterator[Listener]:
        """A place among the listeners, for as long as the block lasts."""
        listener = Listener(name)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """The process ends: whoever listens is let go."""
        self._closed = True
        for listener in self._listeners:
            listener.rung.set()

    async def news(
        self, listener: Listener, *, spacing: float = SPACING, repeat: float = REPEAT
    ) -> AsyncIterator[bool]:
        """True for news, and after `repeat` seconds without any False; never twice within `spacing` seconds."""
        while not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(repeat):
                    await listener.rung.wait()
            if self._closed:
                return
            rang = listener.rung.is_set()
            listener.rung.clear()
            yield rang
            await asyncio.sleep(spacing)
