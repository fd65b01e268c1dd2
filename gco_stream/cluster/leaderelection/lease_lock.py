"""Client for one Lease, which it caches and updates from every response and from a watch.

Updates send the cached Lease's resourceVersion and uid, so a stale cache can only cause a conflict.
"""

import asyncio
import math
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import structlog

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError, Conflict, NotFound, ServerError, UidMismatch
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.leaderelection.record import LeaseRef, ObservedRecord, Timing
from gco_stream.model import names
from gco_stream.model.objects import JsonObject

# The server ends a watch after this many seconds; randomized so that watches do not all reconnect at once.
_WATCH_SECONDS: Final = (300, 600)

_log = structlog.get_logger(__name__)


class LeaseLock:
    """Reads, writes and watches one Lease.

    `timeout`: seconds for one call. `clock` returns monotonic seconds. `on_change` is called when the watch opens, ends
    or reports a change; it must not block.
    """

    def __init__(
        self,
        client: KubeClient,
        ref: LeaseRef,
        timing: Timing,
        *,
        timeout: float,
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._client = client
        self._collection_path, self._path = ref.collection_path, ref.path
        self._name = ref.name
        self._absent = lease.new_lease(ref.namespace, ref.name)
        self._timing = timing
        self._timeout = timeout
        self._clock = clock
        self._on_change = on_change
        self._raw: JsonObject | None = None
        self._observed: ObservedRecord | None = None
        self.watching = False
        self.stale = True

    @property
    def observed(self) -> ObservedRecord | None:
        """Last observation of the Lease; None before the first one."""
        return self._observed

    @property
    def raw(self) -> JsonObject:
        """Last observed object, or a Lease without a spec if there is none. Do not modify it in place."""
        return self._raw or self._absent

    async def read(self) -> ObservedRecord:
        """Reads the Lease from the server. A missing Lease is not an error. Raises ClusterError."""
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
        """Creates or updates the Lease. Returns False on a conflict, in which case nothing was written.

        `within`: upper limit for the timeout, in seconds. Raises ClusterError, in which case the write may still have
        been applied.
        """
        absent = "uid" not in raw["metadata"]
        method, path = ("POST", self._collection_path) if absent else ("PUT", self._path)
        try:
            answer = await self._client.request(
                method,
                path,
                query={"fieldManager": names.FIELD_MANAGER},
                body=raw,
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
        """Watches the Lease until cancelled and retries after every ClusterError.

        `pause` returns the seconds to wait before the next attempt. While there is no watch (access is denied, or the
        server is down), the cached Lease is only as current as the last response.
        """
        problem = ""
        while True:
            query = {
                "fieldSelector": f"metadata.name={self._name}",
                "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311 - spreads load
            }
            # Without a resourceVersion, the watch starts with the most recent state.
            events = self._client.watch(
                self._collection_path, query, inactivity=self._timing.inactivity, on_open=self._opened
            )
            try:
                async with aclosing(events):
                    async for event in events:
                        self._on_event(event.get("type"), event.get("object"))
                        problem = ""
            except ClusterError as error:
                if error.message != problem:
                    problem = error.message
                    _log.info("lease watch failed; polling until it recovers", error=problem)
            if self.watching:
                self.watching = False
                self._on_change()
            await asyncio.sleep(pause())

    def _opened(self) -> None:
        # A watch does not report that the Lease does not exist, so the Lease must be read.
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
    """Returns `raw` if it is an object with a uid and not, for example, a proxy's response. Raises ServerError."""
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(metadata, dict) or not metadata.get("uid"):
        raise ServerError(200, "", "the response is not a Lease")
    return raw


def _version(raw: JsonObject) -> int:
    return int(raw["metadata"]["resourceVersion"])
