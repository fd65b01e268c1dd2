"""Reflector for one collection: lists it page by page, watches it, and lists it again if events may have been missed.

A watch that ends is resumed from its last resourceVersion. The collection is listed again if the server reports that
this version is too old (410), if access is denied, or if the watch receives nothing, although bookmarks are due about
once a minute. A version from the future, which is possible after etcd was restored from a backup, produces neither
events nor an error. Lists have no resourceVersion, so they return the most recent state.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from gco_stream.aio.backoff import Backoff
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import (
    ClusterError,
    Expired,
    Forbidden,
    NotFound,
    ServerError,
    Unauthorized,
    Unreachable,
    WatchStalled,
)
from gco_stream.cluster.api.objects import items_of, version_of
from gco_stream.cluster.paging import list_pages
from gco_stream.model.objects import JsonObject

INACTIVITY_SECONDS: Final = 100
# The server ends a watch after this many seconds; randomized so that watches do not all reconnect at once.
_WATCH_SECONDS: Final = (300, 600)
_MIN_DELAY: Final = 0.2
_MAX_DELAY: Final = 30.0
# Minimum seconds between the starts of two watches, because a load balancer may end every watch after its first event.
_MIN_WATCH_SECONDS: Final = 1.0


class ReflectorStore(Protocol):
    """Store that a Reflector keeps current. Its methods are never called concurrently."""

    def begin_list(self) -> None:
        """Starts a new list. Objects that are stored from now on may be newer than the list."""

    async def add_page(self, items: list[JsonObject]) -> None:
        """Adds a page to the list; may modify `items`."""

    async def end_list(self, version: int) -> None:
        """Completes the list; `version` is its resourceVersion."""

    async def handle_event(self, type_: str, item: JsonObject) -> None:
        """Handles an ADDED, MODIFIED, DELETED or BOOKMARK event."""


@dataclass(frozen=True, slots=True)
class ReflectorSnapshot:
    """State of one collection's list and watch.

    `name`: API path. `age`: seconds since the server last sent anything (None: never). `lists`, `watches`: how many
    were started.
    """

    name: str
    synced: bool
    problem: str | None
    age: float | None
    lists: int
    watches: int


class Reflector:
    """Lists and watches one collection and passes its objects to `store`.

    `on_state` is called whenever `synced` or `problem` may have changed.
    """

    def __init__(
        self,
        client: KubeClient,
        path: str,
        selector: str,
        store: ReflectorStore,
        *,
        on_state: Callable[[], None],
        inactivity: float = INACTIVITY_SECONDS,
    ) -> None:
        self._client = client
        self._path = path
        self._selector = selector
        self._store = store
        self._on_state = on_state
        self._inactivity = inactivity
        self._version: str | None = None
        self._lists = self._watches = 0
        self._last_received: float | None = None
        # Twice the minimum, because jitter may halve a delay.
        self._backoff = Backoff(random.Random(), base=2 * _MIN_DELAY, cap=_MAX_DELAY)  # noqa: S311 - spreads load
        self._delay = 0.0
        self._opened_at: float | None = None
        self._may_be_woken = True
        self.synced = False
        self.problem: str | None = None

    def snapshot(self, now: float) -> ReflectorSnapshot:
        """Returns the current state; `now` is the event loop's time."""
        age = None if self._last_received is None else now - self._last_received
        return ReflectorSnapshot(self._path, self.synced, self.problem, age, self._lists, self._watches)

    async def run(self) -> None:
        """Lists and watches until cancelled; retries every ClusterError."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                    self._set_state(synced=True, problem=None)
                begun = clock()
                await self._watch()
                await asyncio.sleep(begun + _MIN_WATCH_SECONDS - clock())
            except (Expired, WatchStalled) as error:
                self._version = None
                await self._pause(error)
            except (Forbidden, NotFound, Unauthorized) as error:
                # The cached objects can no longer be trusted.
                self._version = None
                self._set_state(synced=False, problem=error.message)
                await self._pause(error)
            except ClusterError as error:
                # The cached objects remain usable but become stale.
                self._set_state(synced=self.synced, problem=error.message)
                await self._pause(error)

    async def _pause(self, error: ClusterError) -> None:
        if self._watch_seconds() > self._delay:
            # A watch of objects that do not change can be healthy without any event.
            self._backoff.succeeded()
        self._delay = delay = self._backoff.after_failure()
        retry_after = error.retry_after or 0
        await asyncio.sleep(retry_after)
        if isinstance(error, Unreachable | ServerError) and self._may_be_woken:
            # At most one early wake-up until the next event: if only this path fails, responses on other paths do not
            # mean that it has recovered.
            self._may_be_woken = await self._client.wait_for_retry(delay - retry_after)
        else:
            await asyncio.sleep(delay - retry_after)

    def _watch_seconds(self) -> float:
        """Returns the seconds since the last watch was accepted, or 0 if none was accepted since the last pause."""
        opened, self._opened_at = self._opened_at, None
        return 0.0 if opened is None else asyncio.get_running_loop().time() - opened

    async def _list(self) -> str:
        self._lists += 1
        self._store.begin_list()
        version = ""
        async for page in list_pages(self._client, self._path, {"labelSelector": self._selector}):
            self._last_received = asyncio.get_running_loop().time()
            items, version = items_of(page), version_of(page.get("metadata"))
            await self._store.add_page(items)
        await self._store.end_list(int(version))
        return version

    async def _watch(self) -> None:
        """Passes events to the store until the watch ends. Each handled event advances the resourceVersion."""
        self._watches += 1
        heard = False
        query = {
            "labelSelector": self._selector,
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311 - spreads load
        }
        events = self._client.watch(self._path, query, inactivity=self._inactivity, on_open=self._opened)
        async with aclosing(events):
            async for event in events:
                type_, item = event.get("type"), event.get("object")
                if not isinstance(type_, str) or not isinstance(item, dict):
                    raise ServerError(200, "", f"watch of {self._path}: received an invalid event")
                version = version_of(item.get("metadata"))
                self._last_received = asyncio.get_running_loop().time()
                await self._store.handle_event(type_, item)
                self._version = version
                self._backoff.succeeded()
                self._may_be_woken = True
                heard = True
        if not heard:
            raise WatchStalled(0, "", f"watch of {self._path} ended without an event")

    def _opened(self) -> None:
        self._opened_at = asyncio.get_running_loop().time()
        self._set_state(synced=self.synced, problem=None)

    def _set_state(self, *, synced: bool, problem: str | None) -> None:
        self.synced, self.problem = synced, problem
        self._on_state()
