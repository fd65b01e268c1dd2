"""In-memory API server for one Lease, with resourceVersions, uids, watches and injected faults."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from gco_stream.cluster.api import errors

Raw = dict[str, Any]


@dataclass(frozen=True)
class SentRequest:
    """A request: its time, its timeout in seconds, and the metadata of its body."""

    method: str
    at: float
    timeout: float
    metadata: Raw


class LeaseServer:
    """API server with faults that the test sets.

    `latency`: seconds each way. `event_delay`: seconds by which watches lag. `down`: no responses. `lose_answers`:
    writes are applied but get no response. `refusal`: response to everything except watches. `watchable`: whether
    watches are allowed. `conflicts`: number of writes refused because of their version or uid. `calls`: methods of all
    requests. `sent`: the same requests with the loop's time, the timeout in seconds and the metadata to be written.
    `refused`: those that got `refusal`.
    """

    def __init__(self) -> None:
        self.lease: Raw | None = None
        self.latency = 0.001
        self.down = self.lose_answers = False
        self.watchable = True
        self.event_delay = 0.0
        self.conflicts = 0
        self.refusal: errors.ClusterError | None = None
        self.calls: list[str] = []
        self.sent: list[SentRequest] = []
        self.refused: list[SentRequest] = []
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)
        self._watchers: set[asyncio.Queue[Raw | None]] = set()

    @property
    def spec(self) -> Raw:
        assert self.lease is not None
        spec: Raw = self.lease["spec"]
        return spec

    @property
    def holder(self) -> str:
        return str(self.spec.get("holderIdentity") or "") if self.lease else ""

    def edit(self, annotations: Mapping[str, str] | None = None, **spec: Any) -> None:
        """Edit the Lease as a person would with kubectl."""
        lease = deepcopy(self.lease) or {"metadata": {"name": "leader"}, "spec": {}}
        lease["spec"].update(spec)
        if annotations:
            lease["metadata"].setdefault("annotations", {}).update(annotations)
        self._store(lease, None if self.lease else f"uid-{next(self._uids)}")

    def delete(self) -> None:
        assert self.lease is not None
        lease, self.lease = self.lease, None
        self._tell({"type": "DELETED", "object": lease})

    def break_watches(self) -> None:
        for watcher in self._watchers:
            watcher.put_nowait(None)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,  # noqa: ASYNC109 - same signature as the client
    ) -> Raw:
        del query, content_type
        assert timeout is not None
        self.calls.append(method)
        metadata = deepcopy(body["metadata"]) if body else {}
        sent = SentRequest(method, asyncio.get_running_loop().time(), timeout, metadata)
        self.sent.append(sent)
        if self.down:
            await asyncio.sleep(timeout)
            raise errors.Unreachable(0, "Unreachable", f"{path}: no answer in {timeout:g} s")
        await asyncio.sleep(self.latency)
        if self.refusal:
            self.refused.append(sent)
            raise self.refusal
        answer = deepcopy(self._get() if method == "GET" else self._write(method, deepcopy(body or {})))
        if self.lose_answers and method != "GET":
            await asyncio.sleep(timeout)
            raise errors.Unreachable(0, "Unreachable", f"{path}: no answer in {timeout:g} s")
        await asyncio.sleep(self.latency)
        return answer

    async def watch(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        inactivity: float,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncGenerator[Raw]:
        del path, query
        if not self.watchable or self.down:
            raise errors.Forbidden(403, "Forbidden", "leases is forbidden: cannot watch")
        events: asyncio.Queue[Raw | None] = asyncio.Queue()
        self._watchers.add(events)
        try:
            if self.lease:
                events.put_nowait({"type": "ADDED", "object": deepcopy(self.lease)})
            if on_open:
                on_open()
            while True:
                async with asyncio.timeout(inactivity):
                    event = await events.get()
                await asyncio.sleep(self.latency)
                if event is None:
                    return
                yield event
        except TimeoutError:
            raise errors.WatchStalled(0, "", "silence") from None
        finally:
            self._watchers.discard(events)

    def _get(self) -> Raw:
        if self.lease is None:
            raise errors.NotFound(404, "NotFound", 'leases "leader" not found')
        return self.lease

    def _write(self, method: str, raw: Raw) -> Raw:
        metadata = raw["metadata"]
        if method == "POST":
            if self.lease is not None:
                raise errors.Conflict(409, "AlreadyExists", "exists")
            return self._store(raw, f"uid-{next(self._uids)}")
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        if self.lease is None and uid is None:
            # A PUT without a uid creates a missing Lease.
            return self._store(raw, f"uid-{next(self._uids)}")
        if version is None:
            raise errors.Rejected(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
        known = self.lease["metadata"] if self.lease else {}
        if uid not in {None, known.get("uid")} or version != known.get("resourceVersion"):
            self.conflicts += 1
            raise errors.Conflict(409, "Conflict", "modified")
        for field in ("acquireTime", "renewTime"):
            time = raw["spec"].get(field)
            assert time is None or len(time) == len("2025-11-13T02:13:20.123456Z"), time
        return self._store(raw, None)

    def _store(self, raw: Raw, uid: str | None) -> Raw:
        metadata = {**raw["metadata"], "resourceVersion": str(next(self._versions))}
        if uid:
            metadata["uid"] = uid
        added = self.lease is None
        self.lease = {**raw, "metadata": metadata}
        self._tell({"type": "ADDED" if added else "MODIFIED", "object": self.lease})
        return self.lease

    def _tell(self, event: Raw) -> None:
        for watcher in self._watchers:
            asyncio.get_running_loop().call_later(self.event_delay, watcher.put_nowait, deepcopy(event))
