"""Admission webhooks on the shared API server, like those of other controllers."""

from collections.abc import Callable
from typing import Any

import pytest

from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import APPLY_PATCH, KubeApi, path_of
from tests.integration.support.webhook import CONFIGURATIONS, AdmissionRequest, Webhook, mutating

pytestmark = pytest.mark.integration

GATE = "target-health.elbv2.k8s.aws/x"
STRATEGIC = "application/strategic-merge-patch+json"
Json = dict[str, Any]


def deployment(name: str, **labels: str) -> Json:
    app = {"app": name}
    template = {"metadata": {"labels": app}, "spec": {"containers": [{"name": "main", "image": "model:v1"}]}}
    metadata = {"name": name, "labels": {**app, **labels}}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": app}, "template": template}}


def gated(pod: Json, operation: str) -> list[Json]:
    """Adds a readiness gate, as the AWS Load Balancer Controller does to the pods of its target groups."""
    if operation != "CREATE" or pod["spec"].get("readinessGates"):
        return []
    return [{"op": "add", "path": "/spec/readinessGates", "value": [{"conditionType": GATE}]}]


def insisting(obj: Json, operation: str) -> list[Json]:
    """Overwrites fields at every write, as an image updater or a policy engine does."""
    return [
        {"op": "add", "path": "/metadata/labels/team", "value": "platform"},
        {"op": "add", "path": "/metadata/annotations", "value": {"last": operation}},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "model:pinned"},
    ]


def test_pods_get_a_readiness_gate_that_holds_their_deployment_back(
    kube: KubeApi, namespace: str, webhook: Callable[..., Webhook]
) -> None:
    webhook(gated, "pods")
    kube.create(path_of("Deployment", namespace), deployment("llm"))

    def pod() -> Json:
        return next(iter(kube.list(path_of("Pod", namespace), labels="app=llm")), {"status": {}})

    def conditions() -> dict[str, str]:
        return {c["type"]: c["status"] for c in pod()["status"].get("conditions", [])}

    kube.wait_for(lambda: conditions().get("ContainersReady") == "True")
    assert pod()["spec"]["readinessGates"] == [{"conditionType": GATE}]
    assert conditions()["Ready"] == "False"
    met = {"status": {"conditions": [{"type": GATE, "status": "True"}]}}
    kube.patch(path_of("Pod", namespace, pod()["metadata"]["name"]) + "/status", met, content_type=STRATEGIC)
    path = path_of("Deployment", namespace, "llm")
    kube.wait_for(lambda: kube.get(path)["status"].get("readyReplicas") == 1)


def test_every_write_of_a_deployment_is_changed(kube: KubeApi, namespace: str, webhook: Callable[..., Webhook]) -> None:
    hook = webhook(insisting, "deployments")
    path = path_of("Deployment", namespace, "llm")
    applied = deployment("llm", team="mine") | {"apiVersion": "apps/v1", "kind": "Deployment"}

    def apply() -> Json:
        return kube.patch(path, applied, content_type=APPLY_PATCH, fieldManager="somebody", force="true")

    for write, operation in ((apply, "CREATE"), (apply, "UPDATE"), (lambda: kube.replace(path, applied), "UPDATE")):
        written = write()
        assert written["metadata"]["labels"]["team"] == "platform"
        assert written["metadata"]["annotations"]["last"] == operation
        assert written["spec"]["template"]["spec"]["containers"][0]["image"] == "model:pinned"
    assert [asked for asked in hook.asked if asked.operation == "CREATE"] == [
        AdmissionRequest("CREATE", "Deployment", "llm", dry_run=False)
    ]


def test_the_change_of_a_registered_webhook_can_be_replaced(
    kube: KubeApi, namespace: str, webhook: Callable[..., Webhook]
) -> None:
    hook = webhook(insisting, "deployments")
    hook.change = lambda *_: []
    made = kube.create(path_of("Deployment", namespace), deployment("llm", team="mine"))
    assert made["metadata"]["labels"]["team"] == "mine"


def test_a_write_is_rejected_if_the_change_raises(
    kube: KubeApi, namespace: str, webhook: Callable[..., Webhook]
) -> None:
    def failing(obj: Json, operation: str) -> list[Json]:
        raise ValueError("no")

    webhook(failing, "deployments")
    with pytest.raises(KubeError, match="failed calling webhook") as refused:
        kube.create(path_of("Deployment", namespace), deployment("llm"))
    assert refused.value.status == 500


def test_other_kinds_and_other_namespaces_are_left_alone(
    kube: KubeApi, namespace: str, webhook: Callable[..., Webhook]
) -> None:
    hook = webhook(insisting, "deployments")
    kube.create(path_of("ConfigMap", namespace), {"metadata": {"name": "one"}})
    kube.create(path_of("Service", namespace), {"metadata": {"name": "one"}, "spec": {"ports": [{"port": 80}]}})
    kube.request("POST", path_of("Deployment", "default"), deployment("llm"), query={"dryRun": "All"})
    assert hook.asked == []


def test_a_webhook_is_effective_immediately_and_cleans_up(kube: KubeApi, namespace: str) -> None:
    def team(write: int) -> str:
        made = kube.create(path_of("Deployment", namespace), deployment(f"llm-{write}", team="mine"))
        return str(made["metadata"]["labels"]["team"])

    before = {one["metadata"]["name"] for one in kube.list(CONFIGURATIONS)}
    for turn in range(0, 40, 2):
        with mutating(kube, namespace, insisting, "deployments"):
            assert team(turn) == "platform"
        assert team(turn + 1) == "mine"
    assert {one["metadata"]["name"] for one in kube.list(CONFIGURATIONS)} == before
