"""The Lease as this process last saw it, kept fresh by every answer and by a watch.

Writes are PUTs of what was last seen with their resourceVersion and uid, so a view that is behind costs a conflict and
never does harm.
"""

import asyncio
import math
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import orjson
import structlog

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, Conflict, NotFound, ServerError, UidMismatch
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.leaderelection.record import ObservedRecord, Timing
from gco_stream.model import names
from gco_stream.model.objects import JsonObject

# The server ends a watch after this many seconds; spread, so that a restarted server does not get all at once.
_WATCH_SECONDS: Final = (300, 600)

_log = structlog.get_logger(__name__)


class LeaseLock:
    """One Lease: read, written and followed.

    `timeout`: seconds for one call. `inactivity`: seconds of silence after which the watch is opened anew.
    `on_change` is called whenever the watch says something; it must not block.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        timing: Timing,
        timeout: float,
        inactivity: float,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._client = client
        self._collection_path = f"/apis/{lease.API_VERSION}/namespaces/{namespace}/leases"
        self._path = f"{self._collection_path}/{name}"
        self._name = name
        self._absent = lease.new_lease(namespace, name)
        self._timing = timing
        self._timeout = timeout
        self._inactivity = inactivity
        self._clock = clock
        self._on_change = on_change
        self._raw: JsonObject | None = None
        self._observed: ObservedRecord | None = None
        self.watching = False
        self.stale = True

    @property
    def observed(self) -> ObservedRecord | None:
        """What was seen last; None: nothing yet."""
        return self._observed

    @property
    def raw(self) -> JsonObject:
        """The object as last seen (never change it in place), an empty one where there is none."""
        return self._raw or self._absent

    async def read(self) -> ObservedRecord:
        """Ask the server. Raises ClusterError, but not where there is no Lease."""
        self.stale = False
        try:
            raw = _checked(await self._client.request("GET", self._path, timeout=self._timeout))
        except NotFound:
            return self._store(None)
        except BaseException:
            self.stale = True
            raise
        return self._store(raw)

    async def write(self, raw: JsonObject, *, within: float = math.inf) -> bool:
        """Write the Lease, made of `raw`. False: it is not as it was seen any more, and nothing was written.

        `within`: seconds after which it must not land any more. Raises ClusterError; the write may have happened all
        the same.
        """
        absent = "uid" not in raw["metadata"]
        method, path = ("POST", self._collection_path) if absent else ("PUT", self._path)
        try:
            answer = await self._client.request(
                method,
                path,
                query={"fieldManager": names.FIELD_MANAGER},
                body=orjson.dumps(raw),
                timeout=min(self._timeout, within),
            )
            newer = self._is_newer(_checked(answer))
        except (Conflict, UidMismatch):
            self.stale = True
            return False
        except BaseException:
            self.stale = True
            raise
        if newer:
            self._store(answer)
        return True

    async def watch(self, pause: Callable[[], float]) -> None:
        """Watch the Lease until cancelled; `pause()`: seconds between two tries. What the server answers is retried.

        Without a watch (not allowed, or the server is away) the view is only as fresh as its reads.
        """
        problem = ""
        while True:
            query = {
                "fieldSelector": f"metadata.name={self._name}",
                "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311 - spreads load
            }
            # Without a resourceVersion it begins with the newest state there is.
            events = self._client.watch(self._collection_path, query, inactivity=self._inactivity, on_open=self._opened)
            try:
                async with aclosing(events):
                    async for event in events:
                        self._on_event(event.get("type"), event.get("object"))
                        problem = ""
            except ClusterError as error:
                if error.message != problem:
                    problem = error.message
                    _log.info("the lease is polled while it cannot be watched", reason=problem)
            if self.watching:
                self.watching = False
                self._on_change()
            await asyncio.sleep(pause())

    def _opened(self) -> None:
        # That there is no Lease is nothing that a watch tells.
        self.watching = self.stale = True
        self._on_change()

    def _on_event(self, type_: object, item: object) -> None:
        if type_ == "DELETED":
            self.stale = True
        elif type_ in ("ADDED", "MODIFIED") and self._is_newer(raw := _checked(item)):
            self._store(raw)
        else:
            return
        self._on_change()

    def _is_newer(self, raw: JsonObject) -> bool:
        return self._raw is None or _version(raw) > _version(self._raw)

    def _store(self, raw: JsonObject | None) -> ObservedRecord:
        self._raw = raw
        record = None if raw is None else lease.parse(raw)
        self._observed = lease.observe(self._observed, record, self._clock(), self._timing)
        return self._observed


def _checked(raw: object) -> JsonObject:
    """`raw` if it is a stored object; what a proxy says in the server's place is none. Raises ServerError."""
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(metadata, dict) or not metadata.get("uid"):
        raise ServerError(200, "", "the answer is not a Lease")
    return raw


def _version(raw: JsonObject) -> int:
    return int(raw["metadata"]["resourceVersion"])
