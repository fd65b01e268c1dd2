"""Rollouts that do not advance, on a real controller-manager."""

import pytest

from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.legacy_objects import small

pytestmark = pytest.mark.integration


def test_pods_that_a_limit_rejects_are_reported(world: World, controller: Program) -> None:
    path = f"/api/v1/namespaces/{world.namespace}/limitranges"
    limits = [{"type": "Container", "max": {"memory": "1Gi"}}]
    world.kube.create(path, {"metadata": {"name": "small"}, "spec": {"limits": limits}})
    world.put(small("chat"))
    controller.until(lambda: world.report("chat").get("reason") == "PodsRejected", "the rejection is reported")
    report = world.report("chat")
    assert "pods cannot be created: maximum memory usage per Container is 1Gi" in report["error"]
    assert report["state"] == "creating"
    world.update_spec("chat", resources={"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}})
    controller.until(lambda: world.state("chat") == "running" and "error" not in world.report("chat"), "it recovers")


def test_a_stalled_rollout_is_reported(world: World, controller: Program) -> None:
    world.put(small("chat"))
    controller.until(lambda: world.state("chat") == "running", "the endpoint runs")
    world.kube.patch(
        f"/apis/apps/v1/namespaces/{world.namespace}/deployments/chat", {"spec": {"progressDeadlineSeconds": 2}}
    )
    world.update_spec("chat", image="registry.example/serve:2.0-never-ready")
    controller.until(lambda: world.report("chat").get("reason") == "RolloutStalled", "the stalled rollout is reported")
    assert "has not progressed for 2 s" in world.report("chat")["error"]
    assert world.state("chat") == "updating"
    world.update_spec("chat", image="registry.example/serve:3.0")
    controller.until(lambda: world.state("chat") == "running" and "error" not in world.report("chat"), "it recovers")
