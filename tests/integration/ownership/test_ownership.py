"""Ownership of objects on a real API server: which are adopted without a restart, and which are never touched."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from gco_stream.local.kube_api import path_of
from gco_stream.model import wire
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.legacy_objects import GCO, create_as_gco, edit, post, replica_sets, small
from tests.support.items import item, parity_objects

pytestmark = pytest.mark.integration

CANARY = {"image": "registry.example/serve:2.0", "weight": 20, "replicas": 1}
SCALED = {"enabled": True, "min_replicas": 1, "max_replicas": 3}


def runs(world: World, controller: Program, name: str = "chat") -> None:
    controller.until(lambda: world.state(name) == "running", f"{name} is running")


def error(world: World, name: str = "chat") -> str:
    return str(world.report(name).get("error", ""))


def reason(world: World, name: str = "chat") -> str:
    return str(world.report(name).get("reason", ""))


def image(world: World) -> str:
    containers = deployment(world)["spec"]["template"]["spec"]["containers"]
    return str(containers[0]["image"])


def deployment(world: World, name: str = "chat") -> dict[str, Any]:
    found = world.get("Deployment", name)
    assert found is not None, name
    return found


@pytest.mark.parametrize("case", ["vllm-llama", "autoscaled", "cpu-only"])
def test_gcos_objects_are_adopted_and_scaled_without_a_restart(
    case: str, world: World, program: Callable[..., Program]
) -> None:
    name = create_as_gco(world, case)
    count = deployment(world, name)["spec"]["replicas"]
    world.kube.wait_for(lambda: replica_sets(world, name), what="its ReplicaSet exists")
    world.kube.wait_for(lambda: len(world.pods(name)) == count, what="its pods exist")
    # The ReplicaSet's status lists the pods only afterwards.
    sets = world.kube.wait_for(lambda: replica_sets(world, name), what="its ReplicaSet has pods")
    pods = world.pods(name).keys()
    before = deployment(world, name)["spec"]["template"]
    controller = program().wait_working()
    runs(world, controller, name)
    if case != "autoscaled":
        world.user.scale(world.item_of(name), count + 1)
        controller.until(lambda: world.replicas(name) == count + 1, "the Deployment is scaled")
    for kind, other in (("Service", name), ("Ingress", f"inference-{name}")):
        controller.until(partial(is_taken_over, world, kind, other), f"the {kind} is taken over")
    controller.until(
        lambda: deployment(world, name)["metadata"].get("annotations", {}).get("gco.io/template-version") == "0",
        "the Deployment is adopted",
    )
    assert deployment(world, name)["spec"]["template"] == before
    assert pods <= world.pods(name).keys()
    assert replica_sets(world, name) == sets


def is_taken_over(world: World, kind: str, name: str) -> bool:
    """Returns whether this controller owns all fields of the object."""
    found = world.get(kind, name)
    assert found is not None
    managers = {(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]}
    return managers == {("gco-stream", "Apply")}


def test_a_field_set_by_gco_is_removed_when_the_item_drops_it(world: World, program: Callable[..., Program]) -> None:
    create_as_gco(world, "vllm-llama", "chat")
    controller = program().wait_working()
    runs(world, controller)
    world.update_spec("chat", env=None)
    controller.until(lambda: "env" not in world.container("chat"), "the variables are removed")
    spec = deployment(world)["spec"]["template"]["spec"]
    assert "command" not in spec["initContainers"][0]


@pytest.mark.parametrize(
    ("kind", "name", "spec"),
    [
        ("Service", "chat", {"ports": [{"port": 1}], "selector": {"app": "theirs"}}),
        (
            "Ingress",
            "inference-chat",
            {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 1}}}},
        ),
        (
            "Deployment",
            "chat",
            {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "theirs"}},
                "template": {
                    "metadata": {"labels": {"app": "theirs"}},
                    "spec": {"containers": [{"name": "x", "image": "theirs:1"}]},
                },
            },
        ),
        (
            "HorizontalPodAutoscaler",
            "chat",
            {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}, "maxReplicas": 2},
        ),
    ],
)
def test_a_foreign_object_of_the_same_name_is_never_changed(
    kind: str, name: str, spec: dict[str, Any], world: World, controller: Program
) -> None:
    post(world, {"kind": kind, "metadata": {"name": name}, "spec": copy.deepcopy(spec)}, "somebody")
    world.put(small(autoscaling=SCALED))
    controller.until(lambda: world.state("chat") == "error", "the item is rejected")
    assert reason(world) == "ObjectNotOwned"
    controller.until(lambda: f"{kind} {world.namespace}/{name} exists" in error(world), "the report names the object")
    theirs = world.get(kind, name)
    assert theirs is not None
    assert all(entry["manager"] != "gco-stream" for entry in theirs["metadata"]["managedFields"])
    # Nothing that a stop, a start or a change of the item requires may touch the other owner's object.
    world.set_desired_state("chat", "stopped")
    world.update_spec("chat", port=9000)
    controller.until(lambda: world.state("chat") == "error", "the item is still rejected")
    world.put(small("after"))
    runs(world, controller, "after")
    there = world.get(kind, name)
    assert there is not None
    assert (there["metadata"]["uid"], there["spec"]) == (theirs["metadata"]["uid"], theirs["spec"])


def test_a_deployment_that_another_tool_made_with_gcos_labels_is_never_changed(
    world: World, controller: Program
) -> None:
    labels = {"app": "chat", "project": "gco", "gco.io/type": "inference"}
    containers = [{"name": "vllm", "image": "registry.example/vllm:1.0", "ports": [{"containerPort": 8000}]}]
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "chat"}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    metadata = {"name": "chat", "labels": labels}
    made = post(world, {"kind": "Deployment", "metadata": metadata, "spec": spec}, "helm")
    for state in ("deploying", "stopped"):
        world.put(small() if state == "deploying" else {**small(), "desired_state": state})
        controller.until(lambda: reason(world) == "ObjectNotOwned", f"{state}: the item is rejected")
    world.set_desired_state("chat", "deleted")
    controller.until(lambda: world.item("chat") is None, "the item is purged")
    theirs = deployment(world)
    assert (theirs["metadata"]["uid"], theirs["metadata"]["generation"]) == (made["metadata"]["uid"], 1)
    assert {entry["manager"] for entry in theirs["metadata"]["managedFields"]} == {"helm", "kube-controller-manager"}


def test_a_name_shared_by_a_canary_and_an_endpoint_belongs_to_the_first(world: World, controller: Program) -> None:
    world.put(small(canary=CANARY))
    runs(world, controller)
    world.put(small("chat-canary"))
    controller.until(
        lambda: "belongs to the endpoint chat" in error(world, "chat-canary"), "the second endpoint is rejected"
    )
    assert world.state("chat-canary") == "error"
    pods = world.pods("chat").keys()
    world.update_spec("chat", canary=None)
    controller.until(lambda: world.state("chat-canary") == "running", "the second endpoint gets the name", patience=180)
    assert deployment(world, "chat-canary")["metadata"]["annotations"]["gco.io/endpoint"] == "chat-canary"
    others = world.pods("chat-canary").keys()

    # The other order.
    world.update_spec("chat", canary=CANARY)
    controller.until(lambda: "belongs to the endpoint chat-canary" in error(world), "the canary is rejected")
    assert world.state("chat") == "running"
    assert world.pods("chat-canary").keys() == others
    world.set_desired_state("chat-canary", "deleted")
    controller.until(lambda: world.item("chat-canary") is None, "the second endpoint is gone")
    controller.until(lambda: error(world) == "" and world.get("Deployment", "chat-canary"), "the canary is created")
    assert deployment(world, "chat-canary")["metadata"]["annotations"]["gco.io/endpoint"] == "chat"
    assert world.pods("chat").keys() == pods


@pytest.mark.parametrize("state", ["deploying", "stopped", "deleted"])
def test_nothing_is_touched_in_a_namespace_that_is_not_allowed(state: str, world: World, controller: Program) -> None:
    objects = parity_objects("cpu-only")["Deployment/cpu-only"]
    name = f"x-{world.namespace}"
    objects["metadata"].update(name=name, labels={**objects["metadata"]["labels"], "app": name})
    body = {"metadata": {"name": name, "labels": objects["metadata"]["labels"]}, "spec": objects["spec"]}
    body["spec"].update(replicas=0, paused=True)
    path = path_of("Deployment", "default")
    made = world.kube.request("POST", path, body, query={"fieldManager": GCO})
    try:
        plain = item(name, desired_state=state, namespace="default")
        world.table.client.put_item(TableName=world.table.name, Item=wire.encode(plain))
        if state == "deleted":
            controller.until(lambda: world.item(name) is None, "the item is purged")
        else:
            controller.until(lambda: reason(world, name) == "NamespaceNotAllowed", "the item is rejected")
        there = world.kube.get(f"{path}/{name}")
        assert (there["metadata"]["uid"], there["metadata"]["generation"]) == (made["metadata"]["uid"], 1)
        assert "annotations" not in there["metadata"] or not any(
            key.startswith("gco.io/") for key in there["metadata"]["annotations"]
        )
    finally:
        world.kube.delete(f"{path}/{name}")


def test_a_paused_deployment_stays_paused_and_is_reported(world: World, controller: Program) -> None:
    world.put(small())
    runs(world, controller)
    pods = world.pods("chat").keys()
    edit(world, "Deployment", "chat", {"spec": {"paused": True}})
    world.update_spec("chat", image="registry.example/serve:2.0")
    paused = ("updating", "DeploymentPaused")
    controller.until(lambda: image(world) == "registry.example/serve:2.0", "the Deployment has the new image")
    controller.until(lambda: (world.state("chat"), reason(world)) == paused, "the pause is reported")
    assert deployment(world)["spec"]["paused"] is True
    assert world.pods("chat").keys() == pods
    edit(world, "Deployment", "chat", {"spec": {"paused": None}})
    runs(world, controller)
    assert error(world) == ""


def test_another_selector_is_an_error_and_the_deployment_and_its_pods_stay(
    world: World, program: Callable[..., Program]
) -> None:
    labels = {"app": "chat", "project": "gco", "gco.io/type": "inference"}
    selector = {**labels, "tier": "old"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": selector}, "spec": {"containers": [{"name": "inference", "image": "a:1"}]}},
    }
    made = post(world, {"kind": "Deployment", "metadata": {"name": "chat", "labels": labels}, "spec": spec}, GCO)
    world.kube.wait_for(lambda: world.pods("chat"), what="its pod exists")
    pods = world.pods("chat").keys()
    world.put(small())
    controller = program().wait_working()
    controller.until(lambda: world.state("chat") == "error", "the item is rejected")
    assert reason(world) == "SelectorImmutable"
    assert "delete the Deployment" in error(world)
    assert deployment(world)["metadata"]["uid"] == made["metadata"]["uid"]
    assert world.pods("chat").keys() == pods
    world.kube.delete(path_of("Deployment", world.namespace, "chat"))
    runs(world, controller)


def test_stuck_deletions_are_reported_and_a_deployment_on_a_lost_node_is_recreated(
    world: World, controller: Program
) -> None:
    for name in ("lost", "gone"):
        world.put(small(name))
        runs(world, controller, name)
    # A pod on a lost node never terminates, because no kubelet stops it.
    held = world.pods("lost")
    for pod in held.values():
        edit(world, "Pod", pod["metadata"]["name"], {"metadata": {"finalizers": ["example.com/lost-node"]}})
    edit(world, "Deployment", "gone", {"metadata": {"finalizers": ["example.com/hold"]}})
    uid = deployment(world, "lost")["metadata"]["uid"]
    foreground = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
    world.kube.delete(path_of("Deployment", world.namespace, "lost"), foreground)
    world.set_desired_state("gone", "deleted")
    controller.until(lambda: world.state("gone") == "deleting", "deleting is reported")

    controller.until(
        lambda: "finalizer example.com/hold" in error(world, "gone"), "the finalizer is reported", patience=180
    )
    assert world.state("gone") == "deleting"
    assert error(world, "gone").endswith("is terminating and waits for the finalizer example.com/hold")

    def is_new() -> bool:
        found = world.get("Deployment", "lost")
        return found is not None and found["metadata"]["uid"] != uid

    controller.until(is_new, "the Deployment is recreated", patience=180)
    runs(world, controller, "lost")
    deletions = [
        step for line in controller.lines() for step in line.get("steps", ()) if step.startswith("delete Deployment")
    ]
    assert len(deletions) == 2
    edit(world, "Deployment", "gone", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/hold"]}})
    controller.until(lambda: world.item("gone") is None, "its item is purged")
    for pod in held.values():
        edit(
            world,
            "Pod",
            pod["metadata"]["name"],
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/lost-node"]}},
        )
