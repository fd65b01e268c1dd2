"""Tests of the fixtures that other tests use."""

from collections.abc import Callable
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.pytest_plugin import Table

pytestmark = pytest.mark.integration


def deployment(name: str, image: str, replicas: int = 1, **pod: Any) -> dict[str, Any]:
    labels = {"app": name}
    containers = [{"name": "main", "image": image}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, **pod}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def ready(kube: KubeApi, namespace: str, name: str) -> int:
    status = kube.get(path_of("Deployment", namespace, name)).get("status", {})
    return int(status.get("readyReplicas", 0))


def test_it_is_the_kubernetes_that_production_runs(kube: KubeApi) -> None:
    assert kube.get("/version")["gitVersion"] == "v1.34.4"


def test_a_deployment_for_every_kind_of_node_becomes_ready(kube: KubeApi, namespace: str) -> None:
    selectors = {
        "gpu": {"eks.amazonaws.com/instance-gpu-manufacturer": "nvidia"},
        "spot": {"eks.amazonaws.com/instance-gpu-manufacturer": "nvidia", "karpenter.sh/capacity-type": "spot"},
        "neuron": {"accelerator": "neuron"},
        "any": {},
    }
    for name, selector in selectors.items():
        kube.create(
            path_of("Deployment", namespace),
            deployment(name, "model:v1", nodeSelector=selector, serviceAccountName="gco-service-account"),
        )
    kube.wait_for(lambda: all(ready(kube, namespace, name) == 1 for name in selectors), what="every pod is ready")


def test_a_pod_that_mounts_the_model_claim_is_scheduled(kube: KubeApi, namespace: str) -> None:
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "efs-claim"}}]
    kube.create(path_of("Deployment", namespace), deployment("model", "model:v1", volumes=volumes))
    kube.wait_for(lambda: ready(kube, namespace, "model"), what="the pod is ready")


def test_the_image_tag_determines_the_state_of_the_pods(kube: KubeApi, namespace: str) -> None:
    tags = {
        "never": "v1-never-ready",
        "late": "v1-ready-after-1s",
        "pull": "v1-image-pull-error",
        "crash": "v1-crash-loop",
    }
    for name, tag in tags.items():
        kube.create(path_of("Deployment", namespace), deployment(name, f"model:{tag}"))

    def states() -> dict[str, list[str]]:
        return {
            pod["metadata"]["labels"]["app"]: [
                pod["status"]["phase"],
                *(
                    one["state"].get("waiting", {}).get("reason", "")
                    for one in pod["status"].get("containerStatuses", [])
                ),
            ]
            for pod in kube.list(path_of("Pod", namespace))
        }

    expected = {
        "never": ["Running", ""],
        "late": ["Running", ""],
        "pull": ["Pending", "ErrImagePull"],
        "crash": ["Running", "CrashLoopBackOff"],
    }
    kube.wait_for(lambda: states() == expected, what="each pod has the state of its image tag")
    kube.wait_for(lambda: ready(kube, namespace, "late"), what="the late pod is ready")
    assert states() == expected
    assert [ready(kube, namespace, name) for name in ("never", "pull", "crash")] == [0, 0, 0]


def test_the_annotation_makes_a_never_ready_pod_ready(kube: KubeApi, namespace: str) -> None:
    kube.create(path_of("Deployment", namespace), deployment("model", "model:v1-never-ready"))
    (pod,) = kube.wait_for(
        lambda: [p for p in kube.list(path_of("Pod", namespace)) if p["status"]["phase"] == "Running"]
    )
    path = path_of("Pod", namespace, pod["metadata"]["name"])
    kube.patch(path, {"metadata": {"annotations": {"gco.local/ready": "true"}}})
    kube.wait_for(lambda: ready(kube, namespace, "model"), what="the pod is ready")


def test_a_status_that_a_test_writes_into_a_running_pod_stays(kube: KubeApi, namespace: str) -> None:
    kube.create(path_of("Deployment", namespace), deployment("model", "model:v1"))
    kube.wait_for(lambda: ready(kube, namespace, "model"))
    (pod,) = kube.list(path_of("Pod", namespace))
    path = path_of("Pod", namespace, pod["metadata"]["name"]) + "/status"
    unready = {"type": "Ready", "status": "False", "reason": "Test"}
    kube.patch(path, {"status": {"conditions": [unready]}}, content_type="application/strategic-merge-patch+json")
    kube.wait_for(lambda: ready(kube, namespace, "model") == 0)
    kube.create(path_of("Deployment", namespace), deployment("other", "model:v1"))
    kube.wait_for(lambda: ready(kube, namespace, "other"))
    assert ready(kube, namespace, "model") == 0


def test_containers_are_ready_and_the_pod_is_not_while_a_readiness_gate_is_closed(
    kube: KubeApi, namespace: str
) -> None:
    gates = [{"conditionType": "target-health.elbv2.k8s.aws/x"}]
    kube.create(path_of("Deployment", namespace), deployment("model", "model:v1", readinessGates=gates))

    def conditions() -> dict[str, str]:
        pods = kube.list(path_of("Pod", namespace))
        return {c["type"]: c["status"] for pod in pods for c in pod["status"].get("conditions", [])}

    kube.wait_for(lambda: conditions().get("ContainersReady") == "True")
    assert conditions()["Ready"] == "False"


def test_the_audit_log_separates_the_controllers_calls_from_others(
    control_plane: ControlPlane, controller_env: dict[str, str], controller_user: str, namespace: str
) -> None:
    audit = control_plane.audit
    mark = audit.mark()
    with KubeApi.from_kubeconfig(controller_env["KUBECONFIG"]) as controller:
        controller.list(path_of("Deployment", namespace))
        control_plane.kube.list(path_of("Service", namespace))
    (call,) = audit.calls(mark, user=controller_user)
    assert (call.verb, call.resource, call.namespace, call.status) == ("list", "deployments", namespace, 200)
    assert [c.resource for c in audit.calls(mark, namespace=namespace)] == ["deployments", "services"]


def test_a_user_without_groups_may_do_only_what_rbac_allows(control_plane: ControlPlane, namespace: str) -> None:
    with KubeApi.from_kubeconfig(control_plane.kubeconfig_for("nobody", groups=())) as nobody:
        with pytest.raises(KubeError) as refused:
            nobody.list(path_of("Deployment", namespace))
        assert refused.value.status == 403


def test_the_table_has_a_stream_of_both_images(table: Table) -> None:
    described = table.client.describe_table(TableName=table.name)["Table"]
    assert described["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert table.streams.describe_stream(StreamArn=table.stream_arn)["StreamDescription"]["TableName"] == table.name


def test_servers_can_be_killed_and_restarted_without_losing_objects(
    disposable_control_plane: Callable[..., ControlPlane],
) -> None:
    plane = disposable_control_plane(controllers=False, dynamodb=False)
    assert set(plane.servers) == {"etcd", "kube-apiserver"}
    plane.kube.create(path_of("ConfigMap", "default"), {"metadata": {"name": "kept"}})
    for name in ("kube-apiserver", "etcd", "kube-apiserver"):
        before = plane.servers[name].pids
        plane.restart(name)
        assert not set(before) & set(plane.servers[name].pids)
    assert plane.kube.get(path_of("ConfigMap", "default", "kept"))["metadata"]["name"] == "kept"


def test_a_frozen_api_server_resumes_when_thawed(
    disposable_control_plane: Callable[..., ControlPlane],
) -> None:
    plane = disposable_control_plane(controllers=False, dynamodb=False)
    plane.servers["kube-apiserver"].freeze()
    with pytest.raises(TimeoutError):
        plane.kube.request("GET", "/version", timeout=0.5)
    plane.servers["kube-apiserver"].thaw()
    plane.kube.wait_for(plane.kube.healthy)
