"""Items as people and tools write them, on a real API server."""

from collections.abc import Callable
from typing import Any

from tests.integration.support.harness.program import Program
from tests.integration.support.harness.states import INGRESS, running, weights
from tests.integration.support.harness.world import World
from tests.integration.support.webhook import Webhook
from tests.support.items import item

SECOND = "registry.example/serve:2.0"


def pod_spec(world: World, name: str = "chat") -> dict[str, Any]:
    deployment = world.get("Deployment", name)
    assert deployment is not None
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def test_what_the_api_server_accepts_is_accepted(world: World, controller: Program) -> None:
    """kube-apiserver is 1.34, which accepts variable names with any printable ASCII character except =."""
    variables = {"A B": "1", "1A": "2", "a:b/c": "3", "..": "4", "~\"'$(x)": ""}
    running(
        world,
        controller,
        image=" [2001:db8::1]:5000/serve:1.0\n",
        env=variables,
        accelerator="NVIDIA",
        capacity_type="",
        health_check_path="",
        tolerations=[
            {"key": "", "operator": "Exists", "effect": ""},
            {"key": "team", "operator": "", "value": "", "effect": "NoSchedule"},
        ],
    )
    found = pod_spec(world)
    [container] = found["containers"]
    assert container["image"] == "[2001:db8::1]:5000/serve:1.0"
    # The API server omits empty values.
    assert {one["name"]: one.get("value", "") for one in container["env"]} == variables
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"
    assert [one for one in found["tolerations"] if one.get("key") != "nvidia.com/gpu"] == [
        {"operator": "Exists"},
        {"key": "team", "effect": "NoSchedule"},
    ]
    controller.wait_idle()
    steps = [step for line in controller.lines() for step in line.get("steps", ())]
    assert [step for step in steps if "Deployment" in step] == [
        f"create Deployment {world.namespace}/chat: it does not exist"
    ]
    world.update_spec("chat", env={"A B": "1"})
    controller.until(
        lambda: pod_spec(world)["containers"][0]["env"] == [{"name": "A B", "value": "1"}], "the others are removed"
    )


def test_a_reserved_capacity_type_is_a_node_selector(world: World, controller: Program) -> None:
    world.put(item(spec={"gpu_count": 0, "capacity_type": "Reserved "}))
    controller.until(lambda: world.get("Deployment", "chat"), "the Deployment exists")
    assert pod_spec(world)["nodeSelector"] == {"karpenter.sh/capacity-type": "reserved"}


def test_a_request_above_the_default_limit_and_a_limit_below_the_default_request_run(
    world: World, controller: Program
) -> None:
    running(world, controller, resources={"requests": {"memory": "64Gi"}})
    [container] = pod_spec(world)["containers"]
    assert container["resources"] == {"requests": {"memory": "64Gi"}, "limits": {"cpu": "4", "memory": "64Gi"}}
    world.update_spec("chat", resources={"limits": {"cpu": "500m", "memory": "2Gi"}})
    controller.until(
        lambda: pod_spec(world)["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "2Gi"},
        "the requests follow the limits",
    )


def test_text_in_target_regions_is_reported_and_deletes_nothing(world: World, controller: Program) -> None:
    running(world, controller)
    before = world.pods("chat").keys()
    world.put(item(spec={"gpu_count": 0}, target_regions=f"{world.region},eu-west-1"))
    controller.until(lambda: world.report("chat").get("reason") == "InvalidItem", "the item is reported as invalid")
    assert "target_regions: invalid value" in world.report("chat")["error"]
    controller.wait_idle()
    assert {"Deployment/chat", "Service/chat", f"Ingress/{INGRESS}"} <= world.objects().keys()
    assert world.pods("chat").keys() == before


def test_an_invalid_canary_does_not_hold_up_the_main(world: World, controller: Program) -> None:
    running(world, controller, canary={"image": SECOND, "weight": 20})
    controller.until(lambda: weights(world) == {"chat": 80, "chat-canary": 20}, "the canary gets its share")
    canary = world.get("Deployment", "chat-canary")
    world.update_spec("chat", replicas=2, canary={"image": "not an image", "weight": 50})
    controller.until(lambda: world.report("chat").get("replicas_ready") == 2, "the main has two ready replicas")
    controller.until(lambda: (world.item("chat") or {})["desired_state"] == "running", "the endpoint is promoted")
    report = world.report("chat")
    assert (report["state"], report["reason"]) == ("running", "InvalidSpec")
    assert report["error"].startswith("spec.canary.image: invalid value 'not an image'")
    after = world.get("Deployment", "chat-canary")
    assert canary is not None
    assert after is not None
    assert (after["metadata"]["uid"], after["metadata"]["generation"]) == (
        canary["metadata"]["uid"],
        canary["metadata"]["generation"],
    )
    assert weights(world) == {"chat": 80, "chat-canary": 20}
    world.update_spec("chat", canary={"image": SECOND, "weight": 50})
    controller.until(lambda: weights(world) == {"chat": 50, "chat-canary": 50}, "the corrected canary gets its share")
    controller.until(lambda: "error" not in world.report("chat"), "the error is gone")


def test_a_canary_that_the_api_server_rejects_does_not_hold_up_the_main(
    world: World, controller: Program, webhook: Callable[..., Webhook]
) -> None:
    def break_canary(obj: dict[str, Any], _operation: str) -> list[dict[str, Any]]:
        is_canary = obj["metadata"]["name"].endswith("-canary")
        return [{"op": "replace", "path": "/spec/replicas", "value": -1}] if is_canary else []

    webhook(break_canary, "deployments")
    running(world, controller, canary={"image": SECOND})
    report = world.report("chat")
    assert (report["state"], report["reason"]) == ("running", "Rejected")
    assert "Deployment" in report["error"]
    assert "chat-canary" in report["error"]
    assert world.get("Ingress", INGRESS) is not None
    world.update_spec("chat", replicas=2)
    controller.until(lambda: world.replicas("chat") == 2, "the main follows the item")
