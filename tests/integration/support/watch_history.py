"""Records everything that a watch showed of an endpoint's objects, and every state that a region reported.

Polling misses short-lived states; a watch and the table's stream contain all of them.
"""

import contextlib
import threading
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import orjson
import urllib3

from gco_stream.local.kube_api import path_of
from gco_stream.model import wire
from tests.integration.support.harness.world import World
from tests.support.kube_watches import watch_client

GONE = "(the item is gone)"
_KINDS = ("Deployment", "ReplicaSet", "Ingress")
_CATCH_UP_SECONDS = 120.0
# Longer than any test: a watch that times out would miss later events.
_READ_SECONDS = 1800.0


class WatchHistory:
    """Watches the Deployment `name`, its ReplicaSets and its Ingress from enter to exit."""

    def __init__(self, kubeconfig: Path, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._server, self._pool = watch_client(kubeconfig, len(_KINDS))
        self._news = threading.Condition()
        self._events: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _KINDS}
        self._open: list[urllib3.BaseHTTPResponse] = []
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()

    def __enter__(self) -> Self:
        for kind in _KINDS:
            answer = self._world.kube.request("GET", self._path(kind), query={"labelSelector": f"app={self._name}"})
            self._events[kind] += answer["items"]
            url = (
                f"{self._server}{self._path(kind)}?watch=1&labelSelector=app%3D{self._name}"
                f"&resourceVersion={answer['metadata']['resourceVersion']}"
            )
            stream = self._pool.request(
                "GET", url, preload_content=False, timeout=urllib3.Timeout(connect=30, read=_READ_SECONDS)
            )
            assert stream.status == 200, stream.data
            self._open.append(stream)
            self._threads.append(threading.Thread(target=self._follow, args=(kind, stream)))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for stream in self._open:
            # `close` alone would block on the thread that reads the stream.
            with contextlib.suppress(OSError, RuntimeError, urllib3.exceptions.HTTPError):
                # Raised if the server has already ended the stream.
                stream.shutdown()
        for thread in self._threads:
            thread.join()
        for stream in self._open:
            stream.close()
        self._pool.clear()

    def replicas(self) -> list[int]:
        """Returns spec.replicas of the Deployment in every event so far, without consecutive duplicates."""
        return _in_turn(obj["spec"]["replicas"] for obj in self._until_now("Deployment"))

    def ready(self) -> list[int]:
        """Returns status.readyReplicas of the Deployment in every event so far, without consecutive duplicates."""
        return _in_turn(obj.get("status", {}).get("readyReplicas", 0) for obj in self._until_now("Deployment"))

    def sets(self) -> list[list[int]]:
        """Returns the same as `replicas` for each ReplicaSet, oldest first."""
        counts: dict[str, list[int]] = {}
        for obj in self._until_now("ReplicaSet"):
            counts.setdefault(obj["metadata"]["name"], []).append(obj["spec"]["replicas"])
        return [_in_turn(each) for each in counts.values()]

    def routed(self, annotation: str) -> list[str]:
        """Returns the values of an Ingress annotation so far, "" if it was missing; empty if there was no Ingress."""
        return _in_turn(
            (obj["metadata"].get("annotations") or {}).get(annotation, "") for obj in self._until_now("Ingress")
        )

    def _until_now(self, kind: str) -> list[dict[str, Any]]:
        """Returns every state seen so far, once the watch has caught up with the API server."""
        labels = f"app={self._name}"
        now = {
            (one["metadata"]["uid"], one["metadata"]["resourceVersion"])
            for one in self._world.kube.list(self._path(kind), labels=labels)
        }

        def caught_up() -> bool:
            return now <= {(one["metadata"]["uid"], one["metadata"]["resourceVersion"]) for one in self._events[kind]}

        with self._news:
            assert self._news.wait_for(caught_up, _CATCH_UP_SECONDS), f"the watch of {kind} did not catch up with {now}"
            return list(self._events[kind])

    def _path(self, kind: str) -> str:
        return path_of(kind, self._world.namespace)

    def _follow(self, kind: str, stream: urllib3.BaseHTTPResponse) -> None:
        rest = b""
        # `__exit__` shuts the stream down while it is being read.
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            for chunk in stream.stream(1 << 16):
                # A socket that is being shut down returns bytes that TLS has not decrypted.
                if self._over.is_set():
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                events = [orjson.loads(line) for line in lines if line]
                with self._news:
                    self._events[kind] += [event["object"] for event in events]
                    self._news.notify_all()


def history(world: World, name: str) -> list[str]:
    """Returns every state that the region reported of an endpoint since the table was created, from its stream.

    Consecutive duplicates are dropped. The state is "" for an item without a report, and GONE for a removed item.
    """
    streams, arn = world.table.streams, world.table.stream_arn
    states = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        answer = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        iterator = answer["ShardIterator"]
        while iterator:
            page = streams.get_records(ShardIterator=iterator)
            states += [_state(record, world.region) for record in page["Records"] if _is_about(record, name)]
            iterator = page.get("NextShardIterator") if page["Records"] else None
    return _in_turn(states)


def _is_about(record: dict[str, Any], name: str) -> bool:
    return bool(record["dynamodb"]["Keys"]["endpoint_name"]["S"] == name)


def _state(record: dict[str, Any], region: str) -> str:
    if record["eventName"] == "REMOVE":
        return GONE
    # boto3 shows an empty map in a stream record as {}, so only the wanted value is decoded.
    statuses = record["dynamodb"]["NewImage"].get("region_status", {}).get("M", {})
    return str(wire.decode_value(statuses[region])["state"]) if region in statuses else ""


def _in_turn(values: Any) -> list[Any]:
    return [value for value, _ in groupby(values)]
