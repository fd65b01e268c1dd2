"""Records every object of the cluster over the whole run, with the test's own watches.

A watch that breaks (for example because the API server restarted) resumes, or lists again and records what it missed.
"""

import contextlib
import hashlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import urllib3

from gco_stream.local.kube_api import path_of
from tests.chaos.run.records.evidence import KINDS, Event
from tests.support.kube_watches import watch_client

WATCHED = (*KINDS, "Lease")
_RETRY = 0.2
_READ = 300
_SILENT = 2.0


class ClusterLog:
    """Watches all namespaces from `__enter__` on; records only events in `namespaces`."""

    def __init__(self, kubeconfig: Path, namespaces: frozenset[str]) -> None:
        self._server, self._pool = watch_client(kubeconfig, len(WATCHED))
        self._namespaces = namespaces
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._standing: dict[str, dict[str, Event]] = {kind: {} for kind in WATCHED}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._follow, args=(kind,), name=f"watch {kind}") for kind in WATCHED]

    def __enter__(self) -> "ClusterLog":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._pool.clear()

    def events(self) -> tuple[Event, ...]:
        with self._lock:
            return tuple(self._events)

    def live(self, kind: str) -> list[Event]:
        """Returns the live objects of a kind, as far as watches reported them."""
        with self._lock:
            return list(self._standing[kind].values())

    def holder(self) -> str:
        """Returns the holder of the Lease, "" if there is none."""
        return next((str(event.obj["holder"]) for event in self.live("Lease")), "")

    def _follow(self, kind: str) -> None:
        version = ""
        while not self._over.is_set():
            with contextlib.suppress(urllib3.exceptions.HTTPError, OSError, _Broken):
                if not version:
                    version = self._list(kind)
                for seen in self._watch(kind, version):
                    version = seen
                    if self._over.is_set():
                        return
                continue
            self._over.wait(_RETRY)

    def _list(self, kind: str) -> str:
        answer = self._pool.request("GET", self._server + path_of(kind), timeout=10.0)
        if answer.status != 200:
            raise _Broken
        found = orjson.loads(answer.data)
        now = time.time()
        listed = {obj["metadata"]["uid"]: obj for obj in found["items"]}
        with self._lock:
            first = not any(event.kind == kind for event in self._events)
            for uid in self._standing[kind].keys() - listed.keys():
                gone = self._standing[kind].pop(uid)
                self._events.append(_told(now, "DELETED", kind, uid, gone, guessed=True))
        for uid, obj in listed.items():
            known = self._standing[kind].get(uid)
            if known is None or known.obj["version"] != obj["metadata"]["resourceVersion"]:
                self._tell("ADDED" if known is None else "MODIFIED", kind, obj, guessed=not first)
        return str(found["metadata"]["resourceVersion"])

    def _watch(self, kind: str, version: str) -> Any:
        """Yields the resourceVersion after each event, "" if a new list is needed."""
        query = f"watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={_READ}"
        url = f"{self._server}{path_of(kind)}?{query}"
        stream = self._pool.request("GET", url, preload_content=False, timeout=urllib3.Timeout(connect=5, read=_SILENT))
        try:
            if stream.status == 410:
                yield ""
                return
            if stream.status != 200:
                raise _Broken
            yield from self._lines(kind, stream)
        finally:
            stream.close()

    def _lines(self, kind: str, stream: urllib3.BaseHTTPResponse) -> Any:
        rest = b""
        while not self._over.is_set():
            try:
                chunk = stream.read1(1 << 16)
            except urllib3.exceptions.ReadTimeoutError:
                return
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not line:
                    continue
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    yield ""
                    return
                if event["type"] != "BOOKMARK":
                    self._tell(event["type"], kind, event["object"])
                yield event["object"]["metadata"]["resourceVersion"]

    def _tell(self, type_: str, kind: str, obj: Mapping[str, Any], *, guessed: bool = False) -> None:
        metadata = obj["metadata"]
        if metadata.get("namespace") not in self._namespaces:
            return
        reduced = reduce(kind, obj)
        event = Event(
            time.time(), type_, kind, metadata["namespace"], metadata["name"], metadata["uid"], reduced, guessed
        )
        with self._lock:
            self._events.append(event)
            if type_ == "DELETED":
                self._standing[kind].pop(event.uid, None)
            else:
                self._standing[kind][event.uid] = event


class _Broken(Exception):
    """The API server returned an unexpected response."""


def _told(now: float, type_: str, kind: str, uid: str, last: Event, *, guessed: bool) -> Event:
    return Event(now, type_, kind, last.namespace, last.name, uid, last.obj, guessed)


def reduce(kind: str, obj: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of an object that the judges use."""
    metadata, spec = obj["metadata"], obj.get("spec", {})
    if kind == "Lease":
        return {
            "version": metadata["resourceVersion"],
            "holder": spec.get("holderIdentity") or "",
            "acquired": spec.get("acquireTime", ""),
        }
    reduced: dict[str, Any] = {
        "version": metadata["resourceVersion"],
        "labels": metadata.get("labels", {}),
        "annotations": metadata.get("annotations", {}),
        "going": "deletionTimestamp" in metadata,
    }
    if kind == "Deployment":
        template = spec["template"]
        container = template["spec"]["containers"][0]
        reduced |= {
            "replicas": spec.get("replicas", 1),
            "image": container.get("image", ""),
            "template": _digest(template),
            "ready": obj.get("status", {}).get("readyReplicas", 0),
        }
    return reduced


def _digest(template: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
