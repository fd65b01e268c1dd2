"""News for pages that are open: that something has changed, never what. A page then asks for itself again.

So a page that was away, or lost its connection, has missed nothing once it asks. What comes fast is one piece of news,
and there is room for so many listeners and no more.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

MAX_SUBSCRIBERS: Final = 24
MIN_INTERVAL: Final = 0.5
KEEPALIVE: Final = 5.0


class Subscriber:
    """One open page. `name`: the endpoint that it shows, "" for all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notified = asyncio.Event()


class ChangeBroadcaster:
    """Rings for those who listen; costs nothing while nobody does. `version`: how often it has."""

    def __init__(self, *, max_subscribers: int = MAX_SUBSCRIBERS) -> None:
        self._max_subscribers = max_subscribers
        self._subscribers: set[Subscriber] = set()
        self._closed = False
        self.version = 0

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return self._closed or len(self._subscribers) >= self._max_subscribers

    def notify(self, name: str = "") -> None:
        """Something has changed of an endpoint, or ("") of the whole."""
        self.version += 1
        for subscriber in self._subscribers:
            if not (name and subscriber.name) or name == subscriber.name:
                subscriber.notified.set()

    @contextmanager
    def subscribe(self, name: str) -> Iterator[Subscriber]:
        """A place among the listeners, for as long as the block lasts."""
        subscriber = Subscriber(name)
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    def close(self) -> None:
        """The process ends: whoever listens is let go."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.notified.set()

    async def changes(
        self, subscriber: Subscriber, *, min_interval: float = MIN_INTERVAL, keepalive: float = KEEPALIVE
    ) -> AsyncIterator[bool]:
        """True for news, and after `keepalive` seconds without any False; never twice within `min_interval` seconds."""
        while not self._closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(keepalive):
                    await subscriber.notified.wait()
            if self._closed:
                return
            changed = subscriber.notified.is_set()
            subscriber.notified.clear()
            yield changed
            await asyncio.sleep(min_interval)
