"""What was there in between: all that a watch showed of an endpoint's objects, and every state that a region reported.

Looking again and again misses what lasts for a moment; a watch and the table's stream hold all of it.
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
from tests.integration.conftest import World
from tests.support.kube_watches import watch_client

GONE = "(the item is gone)"
_KINDS = ("Deployment", "ReplicaSet", "Ingress")
_CATCH_UP_SECONDS = 120.0
# Longer than any test: a watch that breaks off would miss what comes after.
_READ_SECONDS = 1800.0


class WatchHistory:
    """The Deployment `name`, its ReplicaSets and its Ingress, watched from entering to leaving."""

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
            # From another thread than the one that reads: closing alone would wait for it.
            with contextlib.suppress(OSError, RuntimeError, urllib3.exceptions.HTTPError):
                # The last: the server has ended it already.
                stream.shutdown()
        for thread in self._threads:
            thread.join()
        for stream in self._open:
            stream.close()
        self._pool.clear()

    def replicas(self) -> list[int]:
        """spec.replicas of the Deployment in every event until now, without repetitions in a row."""
        return _in_turn(obj["spec"]["replicas"] for obj in self._until_now("Deployment"))

    def ready(self) -> list[int]:
        """status.readyReplicas of the Deployment likewise."""
        return _in_turn(obj.get("status", {}).get("readyReplicas", 0) for obj in self._until_now("Deployment"))

    def sets(self) -> list[list[int]]:
        """The same for each of its ReplicaSets, the oldest first."""
        counts: dict[str, list[int]] = {}
        for obj in self._until_now("ReplicaSet"):
            counts.setdefault(obj["metadata"]["name"], []).append(obj["spec"]["replicas"])
        return [_in_turn(each) for each in counts.values()]

    def routed(self, annotation: str) -> list[str]:
        """What the Ingress said by an annotation, "" where it had none; nothing where there never was an Ingress."""
        return _in_turn(
            (obj["metadata"].get("annotations") or {}).get(annotation, "") for obj in self._until_now("Ingress")
        )

    def _until_now(self, kind: str) -> list[dict[str, Any]]:
        """Every state seen so far, once the watch has shown what the API server answers now."""
        labels = f"app={self._name}"
        now = {
            (one["metadata"]["uid"], one["metadata"]["resourceVersion"])
            for one in self._world.kube.list(self._path(kind), labels=labels)
        }

        def caught_up() -> bool:
            return now <= {(one["metadata"]["uid"], one["metadata"]["resourceVersion"]) for one in self._events[kind]}

        with self._news:
            assert self._news.wait_for(caught_up, _CATCH_UP_SECONDS), f"the watch of {kind} does not show {now}"
            return list(self._events[kind])

    def _path(self, kind: str) -> str:
        return path_of(kind, self._world.namespace)

    def _follow(self, kind: str, stream: urllib3.BaseHTTPResponse) -> None:
        rest = b""
        # The other thread's shutdown ends the stream in the middle.
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            for chunk in stream.stream(1 << 16):
                # A socket that is being shut down gives what TLS has not decrypted.
                if self._over.is_set():
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                events = [orjson.loads(line) for line in lines if line]
                with self._news:
                    self._events[kind] += [event["object"] for event in events]
                    self._news.notify_all()


def history(world: World, name: str) -> list[str]:
    """Every state that the region reported of an endpoint since its table was made, from the table's stream.

    Without repetitions in a row; "" where an item without a report was put, GONE where the item was removed.
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
    # boto3 shows an empty map of a stream's record as {}, so only what is looked for is decoded.
    statuses = record["dynamodb"]["NewImage"].get("region_status", {}).get("M", {})
    return str(wire.decode_value(statuses[region])["state"]) if region in statuses else ""


def _in_turn(values: Any) -> list[Any]:
    return [value for value, _ in groupby(values)]
