"""The objects of an item are the same as those that GCO created."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import PARITY_CASES, parity_item, parity_objects

_SERVER_ASSIGNED = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")


def as_stored(kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    """Removes what the server assigns, gco.io/ annotations and the deployment controller's annotations."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _SERVER_ASSIGNED}
    annotations = {
        name: value
        for name, value in metadata.pop("annotations", {}).items()
        if not name.startswith(("gco.io/", "deployment.kubernetes.io/"))
    }
    if annotations:
        metadata["annotations"] = annotations
    spec = copy.deepcopy(obj["spec"])
    for assigned in ("clusterIP", "clusterIPs"):
        spec.pop(assigned, None)
    return {"kind": kind, "metadata": metadata, "spec": spec}


def expected(case: str, namespace: str) -> dict[str, Any]:
    objects = parity_objects(case)
    for obj in objects.values():
        obj["metadata"]["namespace"] = namespace
        if not obj["metadata"].get("annotations"):
            obj["metadata"].pop("annotations", None)
        if obj["kind"] == "Deployment":
            # The only difference between the current pod template and GCO's for these items.
            obj["spec"]["template"]["spec"]["enableServiceLinks"] = False
    return objects


def without_shell(obj: dict[str, Any]) -> dict[str, Any]:
    """Removes the command of the init container, which may differ from GCO's."""
    obj = copy.deepcopy(obj)
    for container in obj["spec"].get("template", {}).get("spec", {}).get("initContainers", []):
        container.pop("command", None)
        container.pop("args", None)
    return obj


@pytest.mark.parametrize("case", PARITY_CASES)
def test_the_objects_of_an_item_are_those_of_the_former_system(case: str, world: World, controller: Program) -> None:
    world.put(parity_item(case))
    wanted = expected(case, world.namespace)
    if wanted:
        controller.until(lambda: world.objects().keys() == wanted.keys(), f"{sorted(wanted)} exist")
    if case == "with-canary":
        # The Ingress includes the canary as soon as it is ready; from then on it matches GCO's.
        controller.until(
            lambda: "gco.io/canary" in world.objects()["Ingress/inference-with-canary"]["metadata"]["labels"],
            "the canary is routed",
        )
    if case == "elsewhere":
        # Nothing may happen to this item. The item put after it shows that it has been processed.
        world.put(parity_item("minimal"))
        controller.until(lambda: world.state("minimal") == "running", "the next item runs")
        assert not any("elsewhere" in key for key in world.objects())
        assert world.report("elsewhere") == {}
        return
    controller.until(lambda: world.state(case) in {"running", "stopped"}, "the region reports")
    found = {key: without_shell(as_stored(key.partition("/")[0], obj)) for key, obj in world.objects().items()}
    assert found == {key: without_shell(obj) for key, obj in wanted.items()}


def test_the_model_is_synced_without_a_shell(world: World, controller: Program) -> None:
    world.put(parity_item("vllm-llama"))
    controller.until(lambda: world.get("Deployment", "vllm-llama"), "the Deployment exists")
    deployment = world.get("Deployment", "vllm-llama")
    assert deployment is not None
    (sync,) = deployment["spec"]["template"]["spec"]["initContainers"]
    assert "command" not in sync
    assert sync["args"] == ["s3", "sync", "s3://models-bucket/llama", "/models/vllm-llama", "--quiet"]


FIELDS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], object], object]] = [
    ({"command": ["serve"], "args": ["--x", 1]}, lambda pod: pod["containers"][0]["command"], ["serve"]),
    ({"args": ["--x", 1]}, lambda pod: pod["containers"][0]["args"], ["--x", "1"]),
    ({"port": "9000"}, lambda pod: pod["containers"][0]["ports"][0]["containerPort"], 9000),
    (
        {"env": {"B": 1, "A": True}},
        lambda pod: pod["containers"][0]["env"],
        [{"name": "A", "value": "True"}, {"name": "B", "value": "1"}],
    ),
    (
        {"tolerations": [{"key": "team", "operator": "Exists", "effect": "NoSchedule"}]},
        lambda pod: [toleration["key"] for toleration in pod["tolerations"]],
        ["nvidia.com/gpu", "team"],
    ),
    (
        {"node_selector": {"disk": "ssd"}, "capacity_type": "on-demand"},
        lambda pod: pod["nodeSelector"],
        {"disk": "ssd", "karpenter.sh/capacity-type": "on-demand"},
    ),
    ({"capacity_type": "mixed", "gpu_count": 0}, lambda pod: pod.get("nodeSelector"), None),
    (
        {"resources": {"requests": {"cpu": 2}}, "gpu_count": 4},
        lambda pod: pod["containers"][0]["resources"],
        {
            "requests": {"cpu": "2", "nvidia.com/gpu": "4"},
            "limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "4"},
        },
    ),
    ({"model_path": "/models/x"}, lambda pod: pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "efs-claim"),
    ({"model_source": "hf://x/y"}, lambda pod: (len(pod["volumes"]), pod.get("initContainers")), (1, None)),
    (
        {"image": "vllm/vllm-openai:1", "args": ["--root-path=/elsewhere/"]},
        lambda pod: pod["containers"][0]["readinessProbe"]["httpGet"]["path"],
        "/elsewhere/health",
    ),
    (
        {"image": "ghcr.io/huggingface/text-generation-inference:3", "command": ["mine"]},
        lambda pod: pod["containers"][0]["readinessProbe"]["httpGet"]["path"],
        "/health",
    ),
    ({"gpu_type": "l4"}, lambda pod: sorted(pod["nodeSelector"]), ["eks.amazonaws.com/instance-gpu-manufacturer"]),
]


@pytest.mark.parametrize(("spec", "look", "wanted"), FIELDS, ids=lambda value: None)
def test_every_field_of_the_spec_reaches_the_pods(
    spec: dict[str, Any], look: Callable[[dict[str, Any]], object], wanted: object, world: World, controller: Program
) -> None:
    world.put(parity_item("minimal") | {"spec": {"image": "registry.example/serve:1.0", **spec}})
    controller.until(lambda: world.get("Deployment", "minimal"), "the Deployment exists")
    deployment = world.get("Deployment", "minimal")
    assert deployment is not None
    assert look(deployment["spec"]["template"]["spec"]) == wanted


def test_another_ingress_path_is_the_root_path_too(world: World, controller: Program) -> None:
    item = parity_item("vllm-llama") | {"ingress_path": "/models/llama"}
    world.put(item)
    controller.until(lambda: world.get("Ingress", "inference-vllm-llama"), "the Ingress exists")
    ingress = world.get("Ingress", "inference-vllm-llama")
    assert ingress is not None
    assert ingress["spec"]["rules"][0]["http"]["paths"][0]["path"] == "/models/llama"
    annotations = ingress["metadata"]["annotations"]
    assert annotations["alb.ingress.kubernetes.io/healthcheck-path"] == "/models/llama/health"
    controller.until(lambda: world.get("Deployment", "vllm-llama"), "the Deployment exists")
    assert world.container("vllm-llama")["args"][-2:] == ["--root-path", "/models/llama"]
