"""What the former system leaves behind, and the hands of other people on objects: by requests to the API server."""

import copy
from typing import Any

from gco_stream.local.kube_api import path_of
from tests.integration.conftest import World
from tests.support.items import item, parity_item, parity_objects
from tests.support.observed_objects import without_defaults

GCO = "OpenAPI-Generator"
STRATEGIC = "application/strategic-merge-patch+json"


def create_as_gco(world: World, case: str, name: str | None = None) -> str:
    """The objects of one of parity's cases, POSTed as GCO's monitor does, and its item; the endpoint's name."""
    for obj in parity_objects(case).values():
        # The monitor sends what it sets; what the server adds is nobody's.
        post(world, _renamed(without_defaults(obj), case, name or case), GCO)
    world.put(_renamed(parity_item(case), case, name or case))
    return name or case


def post(world: World, obj: dict[str, Any], manager: str) -> dict[str, Any]:
    """An object made by a plain POST of this manager in the test's namespace."""
    body = copy.deepcopy(obj)
    body["metadata"] = {key: body["metadata"].get(key) or {} for key in ("labels", "annotations")} | {
        "name": obj["metadata"]["name"]
    }
    for assigned in ("clusterIP", "clusterIPs", "status"):
        body["spec"].pop(assigned, None)
    query = {"fieldManager": manager}
    return world.kube.request("POST", path_of(obj["kind"], world.namespace), body, query=query)


def edit(world: World, kind: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
    """Somebody's strategic merge patch."""
    path = path_of(kind, world.namespace, name)
    return world.kube.patch(path, patch, content_type=STRATEGIC, fieldManager="somebody")


def small(name: str = "chat", **spec: Any) -> dict[str, Any]:
    """An item whose pods run anywhere."""
    return item(name, spec={"gpu_count": 0, **spec})


def replica_sets(world: World, app: str) -> set[str]:
    """The names of all ReplicaSets of a Deployment that have pods."""
    path = path_of("Deployment", world.namespace).replace("deployments", "replicasets")
    return {
        one["metadata"]["name"] for one in world.kube.list(path, labels=f"app={app}") if one["status"].get("replicas")
    }


def _renamed(value: Any, before: str, after: str) -> Any:
    if isinstance(value, dict):
        return {key: _renamed(inner, before, after) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, before, after) for inner in value]
    return value.replace(before, after) if isinstance(value, str) else value
