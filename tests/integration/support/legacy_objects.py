"""Creates objects as GCO does and edits them as other field managers do, by requests to the API server."""

import copy
from typing import Any

from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.world import World
from tests.support.items import item, parity_item, parity_objects
from tests.support.observed_objects import without_defaults

GCO = "OpenAPI-Generator"
STRATEGIC = "application/strategic-merge-patch+json"


def create_as_gco(world: World, case: str, name: str | None = None) -> str:
    """POSTs the objects of a parity case as GCO's monitor does, puts its item, and returns the endpoint's name."""
    for obj in parity_objects(case).values():
        # The monitor sends only the fields that it sets; nobody owns the server's defaults.
        post(world, _renamed(without_defaults(obj), case, name or case), GCO)
    world.put(_renamed(parity_item(case), case, name or case))
    return name or case


def post(world: World, obj: dict[str, Any], manager: str) -> dict[str, Any]:
    """Creates an object in the test's namespace by a plain POST with this field manager."""
    body = copy.deepcopy(obj)
    body["metadata"] = {key: body["metadata"].get(key) or {} for key in ("labels", "annotations")} | {
        "name": obj["metadata"]["name"]
    }
    for assigned in ("clusterIP", "clusterIPs", "status"):
        body["spec"].pop(assigned, None)
    query = {"fieldManager": manager}
    return world.kube.request("POST", path_of(obj["kind"], world.namespace), body, query=query)


def edit(world: World, kind: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
    """Applies a strategic merge patch as another field manager."""
    path = path_of(kind, world.namespace, name)
    return world.kube.patch(path, patch, content_type=STRATEGIC, fieldManager="somebody")


def small(name: str = "chat", **spec: Any) -> dict[str, Any]:
    """Returns an item whose pods can run on any node."""
    return item(name, spec={"gpu_count": 0, **spec})


def replica_sets(world: World, app: str) -> set[str]:
    """Returns the names of a Deployment's ReplicaSets that have pods."""
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
