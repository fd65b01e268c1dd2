"""A bare loop that only sends the same applies as the controller would to an empty cluster.

Its duration is that of the API server, and serves as the baseline for the controller. It also loads the fleets of other
benchmarks.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import aiohttp
import orjson

from bench.place import Place
from gco_stream.cluster.api.config import ClusterConfig
from gco_stream.cluster.api.objects import object_path
from gco_stream.model import names
from gco_stream.model.item.endpoint import read_endpoint
from gco_stream.model.objects import JsonObject, Kind, Observed, ObservedObject, Ownership, ref_of
from gco_stream.model.wire import WireItem
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Create, Step

USER = "bare-loop"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_QUERY = f"?fieldManager={names.FIELD_MANAGER}&force=true"


class Request:
    """One PATCH request, ready to send."""

    __slots__ = ("body", "content_type", "path")

    def __init__(self, path: str, body: JsonObject, content_type: str = _APPLY) -> None:
        self.path, self.body, self.content_type = path, orjson.dumps(body), content_type


def creations(item: WireItem, place: Place) -> list[Request]:
    """The requests with which the controller creates the objects of an item, in the same order.

    The Ingress is not among them: it waits for a ready pod.
    """
    return [_creation(manifest) for manifest in _from_nothing(item, place)]


def running(item: WireItem, place: Place) -> list[Request]:
    """`creations`, the status that the Deployment controller writes once every pod is ready, and then the Ingress."""
    manifests = _from_nothing(item, place)
    deployment = next(manifest for manifest in manifests if manifest["kind"] == Kind.DEPLOYMENT)
    name = item["endpoint_name"]["S"]
    path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments/{name}/status"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        for kind, reason, message in (
            ("Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
            (
                "Progressing",
                "NewReplicaSetAvailable",
                f'ReplicaSet "{name}-5d4f8c7b9d" has successfully progressed.',
            ),
        )
    ]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    status = {"observedGeneration": 1, **counts, "conditions": conditions}
    observed = _observed(deployment, status)
    routes = [
        _creation(step.manifest)
        for step in _steps(item, place, Observed({observed.ref: observed}))
        if isinstance(step, Create) and step.ref.kind is Kind.INGRESS
    ]
    return [*map(_creation, manifests), Request(path, {"status": status}, _MERGE), *routes]


def send(place: Place, endpoints: Iterable[Sequence[Request]], *, at_once: int) -> None:
    """Sends the requests of each endpoint in order, for `at_once` endpoints concurrently, as the user `bare-loop`."""
    # Prepares everything before it sends the first request.
    waiting, access = deque(endpoints), place.access(USER)
    with asyncio.Runner() as runner:
        runner.run(_send(access, waiting, at_once))


async def _send(access: ClusterConfig, waiting: deque[Sequence[Request]], at_once: int) -> None:
    connector = aiohttp.TCPConnector(limit=at_once, ssl=access.tls)
    async with aiohttp.ClientSession(access.configuration.host, connector=connector) as session:

        async def work() -> None:
            while waiting:
                for request in waiting.popleft():
                    query = _QUERY if request.content_type == _APPLY else ""
                    async with session.patch(
                        request.path + query, data=request.body, headers={"Content-Type": request.content_type}
                    ) as response:
                        answer = await response.read()
                        if response.status >= 300:
                            raise RuntimeError(f"{request.path}: {response.status} {answer[:500]!r}")

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())


def _from_nothing(item: WireItem, place: Place) -> list[JsonObject]:
    steps = _steps(item, place, Observed({}))
    if not all(isinstance(step, Create) for step in steps):
        raise ValueError(f"an empty cluster needs more than creations for {item['endpoint_name']}")
    return [step.manifest for step in steps if isinstance(step, Create)]


def _steps(item: WireItem, place: Place, observed: Observed) -> tuple[Step, ...]:
    name = item["endpoint_name"]["S"]
    inputs = PlanInputs(name, read_endpoint(item), observed, FleetState(), datetime.now(UTC), place.policy)
    return plan_endpoint(inputs).steps


def _observed(manifest: JsonObject, status: JsonObject) -> ObservedObject:
    """The object as the program sees it once it is applied."""
    metadata = manifest["metadata"]
    return ObservedObject(
        ref_of(manifest),
        uid=metadata["name"],
        resource_version="1",
        generation=1,
        labels=metadata["labels"],
        annotations=metadata["annotations"],
        spec=manifest["spec"],
        status=status,
        ownership=Ownership(applied=True),
    )


def _creation(manifest: JsonObject) -> Request:
    if manifest["kind"] not in set(Kind):
        raise ValueError(manifest["kind"])
    # An apply that can only create, in the same form as gco_stream.cluster.writer sends it.
    named = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "1"}}
    return Request(object_path(ref_of(manifest)), named)
