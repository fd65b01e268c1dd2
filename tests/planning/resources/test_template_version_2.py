"""Version 2 of the pod template, and Deployments that still have version 1."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings, canary_inputs, main_inputs
from gco_stream.planning.resources.root_path import served_path
from tests.support.items import endpoint
from tests.support.simulated_cluster import NAMESPACE, POLICY, SimulatedCluster, with_spec

OLDER = replace(POLICY, renderings=Renderings(MappingProxyType({1: RENDERINGS.by_version[1]})))
MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
TGI = "registry.example/huggingface/text-generation-inference:3.0"
HEALTH_CHECK = "alb.ingress.kubernetes.io/healthcheck-path"


def running(asked: Endpoint, policy: Any = POLICY) -> SimulatedCluster:
    cluster = SimulatedCluster(policy)
    cluster.reconcile(asked)
    cluster.roll_out()
    cluster.reconcile(asked)
    return cluster


def upgraded(asked: Endpoint) -> SimulatedCluster:
    """A cluster with the endpoint as the release before version 2 created it, now managed by this release."""
    cluster = running(asked, OLDER)
    cluster.policy = POLICY
    return cluster


def pod(cluster: SimulatedCluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get(Kind.DEPLOYMENT, "chat").spec["template"]["spec"]
    return found


def variables(cluster: SimulatedCluster) -> list[str]:
    return [one["name"] for one in pod(cluster)["containers"][0]["env"]]


def health_paths(cluster: SimulatedCluster) -> tuple[str, str]:
    probe = pod(cluster)["containers"][0]["readinessProbe"]["httpGet"]["path"]
    return probe, cluster.get(Kind.INGRESS, "inference-chat").annotations[HEALTH_CHECK]


def ask_for_upgrade(cluster: SimulatedCluster) -> None:
    cluster.change(MAIN, annotations={**cluster.objects[MAIN].annotations, names.UPGRADE_ANNOTATION: "2"})


@pytest.mark.parametrize(
    "spec",
    [
        {"image": TGI},
        {"image": "registry.example/vllm:1.0"},
        {"image": "registry.example/tritonserver:24.01-vllm-python-py3"},
        {"env": {"A": "$(Z)", "Z": "1"}},
        {"canary": {"image": TGI, "weight": 20}},
        {"image": TGI, "canary": {"image": "registry.example/tgi:4", "weight": 20}},
    ],
)
def test_an_upgraded_controller_changes_nothing_that_version_1_created(spec: dict[str, Any]) -> None:
    asked = endpoint(spec=spec)
    cluster = upgraded(asked)
    assert cluster.plan(asked).steps == ()
    assert "enableServiceLinks" not in pod(cluster)


def test_a_lost_version_annotation_restarts_nothing() -> None:
    asked = endpoint(spec={"image": TGI})
    cluster = upgraded(asked)
    kept = {key: value for key, value in cluster.objects[MAIN].annotations.items() if "template" not in key}
    cluster.change(MAIN, annotations=kept)
    before = cluster.objects[MAIN].spec
    cluster.reconcile(asked)
    assert cluster.objects[MAIN].spec == before
    assert cluster.objects[MAIN].annotations[names.TEMPLATE_VERSION_ANNOTATION] == "1"


def test_new_and_changed_endpoints_have_no_service_links() -> None:
    assert pod(running(endpoint()))["enableServiceLinks"] is False
    asked = endpoint()
    cluster = upgraded(asked)
    cluster.reconcile(with_spec(asked, env={"A": "1"}))
    assert pod(cluster)["enableServiceLinks"] is False


@pytest.mark.parametrize(
    ("image", "takes_it"),
    [
        ("vllm/vllm-openai:v0.11.0", True),
        ("registry.example/acme/vllm-custom@sha256:" + "0" * 64, True),
        ("registry.example:5000/VLLM:1", True),
        ("registry.example/huggingface_vllm", True),
        (TGI, False),
        ("registry.example/tgi:1.0", False),
        ("registry.example/postgis:16", False),
        ("registry.example/tritonserver:24.01-vllm-python-py3", False),
        ("registry.example/vllm-team/app:1.0", False),
        ("vllm.example/app:1.0", False),
        ("registry.example/vllmish:1.0", False),
    ],
)
def test_only_images_of_vllm_get_the_root_path(image: str, takes_it: bool) -> None:
    spec = endpoint(spec={"image": "x", "args": ["--max-model-len", "8"]}).spec
    assert spec is not None
    found = served_path(spec, image, "/inference/chat", 2)
    expected = ("--root-path", "/inference/chat") if takes_it else ()
    assert found.args == ("--max-model-len", "8", *expected)
    assert found.prefix == ("/inference/chat" if takes_it else "")


def test_health_checks_ask_where_the_live_template_serves() -> None:
    asked = endpoint(spec={"image": TGI})
    cluster = upgraded(asked)
    assert health_paths(cluster) == ("/inference/chat/health",) * 2
    ask_for_upgrade(cluster)
    cluster.reconcile(asked)
    assert health_paths(cluster) == ("/health",) * 2
    assert health_paths(running(asked)) == ("/health",) * 2


def test_a_referenced_variable_is_first_in_a_new_template() -> None:
    assert variables(running(endpoint(spec={"env": {"A": "$(Z)/x", "B": "1", "Z": "1"}}))) == ["Z", "A", "B"]


def test_a_variable_that_an_existing_one_refers_to_is_added_before_it() -> None:
    asked = endpoint(spec={"env": {"A": "1", "B": "2"}})
    cluster = running(asked)
    cluster.reconcile(with_spec(asked, env={"A": "$(NEW)", "B": "2", "NEW": "1"}))
    assert variables(cluster) == ["NEW", "A", "B"]


def test_an_apply_keeps_the_live_order_where_the_references_allow_it() -> None:
    asked = endpoint(spec={"env": {"B": "1"}})
    cluster = running(asked)
    asked = with_spec(asked, env={"A": "$(B)", "B": "1"})
    cluster.reconcile(asked)
    assert variables(cluster) == ["B", "A"]
    cluster.reconcile(with_spec(asked, env={"A": "1", "B": "1"}))
    assert variables(cluster) == ["B", "A"]


def test_version_1_keeps_its_order_also_in_an_apply() -> None:
    asked = endpoint(spec={"env": {"A": "$(Z)", "Z": "1"}})
    cluster = upgraded(asked)
    labels = {**cluster.objects[MAIN].labels, "project": "other"}
    cluster.change(MAIN, labels=labels)
    cluster.reconcile(asked)
    assert cluster.objects[MAIN].labels["project"] == "gco"
    assert variables(cluster) == ["A", "Z"]


@pytest.mark.parametrize(
    ("gpu_type", "nodes"),
    [
        ("l4", {"eks.amazonaws.com/instance-gpu-name": "l4"}),
        ("g5.xlarge", {"node.kubernetes.io/instance-type": "g5.xlarge"}),
    ],
)
def test_an_honored_gpu_type_is_a_gpu_or_an_instance_type(gpu_type: str, nodes: dict[str, str]) -> None:
    honoring = replace(POLICY, honor_gpu_type=True)
    cluster = running(endpoint(spec={"gpu_type": gpu_type, "node_selector": {"team": "a"}}), honoring)
    assert pod(cluster)["nodeSelector"] == {"team": "a", **nodes}


@pytest.mark.parametrize(
    ("spec", "main", "canary"),
    [
        (
            {"image": TGI, "env": {"B": "$(A)", "A": 1}},
            "68f56c7cb82183008c96d2fec9c5e234",
            "3aeead3ce6b0f9fbef895ab80a580271",
        ),
        (
            {"image": "registry.example/vllm:1.0", "args": ["--x", 1], "model_source": "s3://models/chat"},
            "7295bd139c5f2f50c921813db29d76ea",
            "990c169c7939def92f4c5f4bd8442847",
        ),
        (
            {
                "image": "registry.example/serve:1.0",
                "gpu_type": "l4",
                "capacity_type": "spot",
                "command": ["serve"],
                "port": "9000",
                "tolerations": [{"key": "team", "operator": "Exists"}],
            },
            "8dd40db5912efd45ba14a2ee12d00c77",
            "5b70bbed517b36903e0bb714744e8f6a",
        ),
    ],
)
def test_the_digest_of_an_item_is_the_same_in_every_release(spec: dict[str, Any], main: str, canary: str) -> None:
    # Deployments in users' clusters have these digests. With another one, an upgrade restarts their pods.
    parsed = endpoint(spec=spec).spec
    assert parsed is not None
    inputs = main_inputs("chat", parsed, image=parsed.image, ingress_path="/inference/chat", honor_gpu_type=True)
    assert inputs.hash() == main
    assert canary_inputs(inputs, "registry.example/serve:2.0").hash() == canary
