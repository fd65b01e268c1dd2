"""One collection followed for ever: listed page by page, then watched, listed again whenever the watch may have lost
something.

A watch that was cut off goes on from its last resourceVersion. It is listed again, without a resourceVersion (so the
answer is the newest there is), where the server says the version is too old (410), and where it fell silent: bookmarks
come about every minute, and a version from the future (etcd restored from a backup) is answered by silence alone.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from gco_stream.cluster.client import KubeClient
from gco_stream.cluster.errors import ClusterError, Expired, Forbidden, NotFound, ServerError, Silence, Unauthorized
from gco_stream.model.objects import JsonObject

# Every collection is listed at once, and a page's dicts take megabytes: 500 a page cost 30 MiB for good.
PAGE: Final = 100
INACTIVITY_SECONDS: Final = 100
# The server ends a watch after this long; spread, so that a restarted server does not get them all at once.
_WATCH_SECONDS: Final = (300, 600)
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 30.0


class Sink(Protocol):
    """Who takes what a watch finds out. Calls come one after another."""

    def begin(self) -> None:
        """A new list begins; what is written from now on may be newer than it."""

    async def page(self, items: list[JsonObject]) -> None:
        """A page of the list; the items are not needed afterwards."""

    async def end(self) -> None:
        """The list is complete."""

    async def event(self, type_: str, item: JsonObject) -> None:
        """ADDED, MODIFIED, DELETED or BOOKMARK."""


@dataclass(frozen=True, slots=True)
class WatchSnapshot:
    """How one watch is doing. `age`: seconds since the server last sent anything; None: never."""

    name: str
    synced: bool
    problem: str | None
    age: float | None
    lists: int
    watches: int


class Watch:
    """Follows one collection for a sink."""

    def __init__(
        self,
        client: KubeClient,
        path: str,
        selector: str,
        sink: Sink,
        *,
        on_state: Callable[[], None],
        inactivity: float = INACTIVITY_SECONDS,
    ) -> None:
        self._client = client
        self._path = path
        self._selector = selector
        self._sink = sink
        self._on_state = on_state
        self._inactivity = inactivity
        self._version: str | None = None
        self._lists = self._watches = 0
        self._heard: float | None = None
        self._failures = 0
        self.synced = False
        self.problem: str | None = None

    def snapshot(self, now: float) -> WatchSnapshot:
        """Its state; `now` is the running loop's time."""
        age = None if self._heard is None else now - self._heard
        return WatchSnapshot(self._path, self.synced, self.problem, age, self._lists, self._watches)

    async def run(self) -> None:
        """List and watch until cancelled; whatever the server answers is retried."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                    self._now(synced=True, problem=None)
                await self._follow()
                continue
            except (Expired, Silence) as error:
                self._version = None
                pause = error.retry_after
            except (Forbidden, NotFound, Unauthorized) as error:
                # Nothing that we hold of it can be trusted any more.
                self._version = None
                self._now(synced=False, problem=error.message)
                pause = error.retry_after
            except ClusterError as error:
                # What we hold is only getting old.
                self._now(synced=self.synced, problem=error.message)
                pause = error.retry_after
            self._failures += 1
            delay = min(_FIRST_DELAY * 2 ** min(self._failures, 10), _LONGEST_DELAY)
            await asyncio.sleep(max(pause or 0, delay * random.uniform(0.5, 1)))  # noqa: S311 - spreads load

    async def _list(self) -> str:
        self._lists += 1
        self._sink.begin()
        query = {"labelSelector": self._selector, "limit": str(PAGE)}
        while True:
            answer = await self._client.request("GET", self._path, query=query)
            self._heard = asyncio.get_running_loop().time()
            metadata, items = answer.get("metadata"), answer.pop("items", False)
            if items is False or not isinstance(metadata, dict) or not metadata.get("resourceVersion"):
                # An answer without a list is no empty list: it would show a cluster with nothing in it.
                raise ServerError(200, "", f"{self._path}: the answer is not a list")
            await self._sink.page(items or [])
            if not metadata.get("continue"):
                await self._sink.end()
                return str(metadata["resourceVersion"])
            query["continue"] = metadata["continue"]

    async def _follow(self) -> None:
        """Pass a watch's events on until it ends; the version moves on with what the sink has taken."""
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
                item = event["object"]
                self._heard = asyncio.get_running_loop().time()
                await self._sink.event(event["type"], item)
                self._version = item["metadata"]["resourceVersion"]
                self._failures = 0
                heard = True
        if not heard:
            raise Silence(0, "", f"watch of {self._path} ended without an event")

    def _opened(self) -> None:
        self._now(synced=self.synced, problem=None)

    def _now(self, *, synced: bool, problem: str | None) -> None:
        self.synced, self.problem = synced, problem
        self._on_state()
