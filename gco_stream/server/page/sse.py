"""Change notifications for open pages, sent as server-sent events.

A notification does not contain the change. It causes the page to fetch its content again, so a page that missed
notifications is up to date after its next fetch. Changes in quick succession share a notification. The number of
subscribers is limited.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from gco_stream.aio.events import wait_for_event

MAX_SUBSCRIBERS: Final = 24
MIN_INTERVAL: Final = 0.5
KEEPALIVE: Final = 5.0


class Subscriber:
    """One open page. `name` is the endpoint that it shows, "" for all endpoints."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notified = asyncio.Event()


class ChangeBroadcaster:
    """Notifies subscribers of changes. `version`: the number of changes so far."""

    def __init__(self, *, max_subscribers: int = MAX_SUBSCRIBERS) -> None:
        self._max_subscribers = max_subscribers
        self._subscribers: set[Subscriber] = set()
        self._closed = False
        self.version = 0

    @property
    def is_full(self) -> bool:
        """Whether no more subscribers are accepted."""
        return self._closed or len(self._subscribers) >= self._max_subscribers

    def notify(self, name: str = "") -> None:
        """Notifies subscribers of a change to the endpoint `name`; "" means a change to the replica as a whole."""
        self.version += 1
        for subscriber in self._subscribers:
            if not (name and subscriber.name) or name == subscriber.name:
                subscriber.notified.set()

    @contextmanager
    def subscribe(self, name: str) -> Iterator[Subscriber]:
        """Registers a subscriber until the context exits. `name`: as in `Subscriber`."""
        subscriber = Subscriber(name)
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    def close(self) -> None:
        """Ends all subscriptions and accepts no more, because the process is shutting down."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.notified.set()

    async def changes(
        self, subscriber: Subscriber, *, min_interval: float = MIN_INTERVAL, keepalive: float = KEEPALIVE
    ) -> AsyncIterator[bool]:
        """Yields True after a change, and False after `keepalive` seconds without a change.

        After each value, it waits at least `min_interval` seconds.
        """
        while not self._closed:
            await wait_for_event(subscriber.notified, keepalive)
            if self._closed:
                return
            changed = subscriber.notified.is_set()
            subscriber.notified.clear()
            yield changed
            await asyncio.sleep(min_interval)
