"""Pods of the local control plane become ready and unready as a kubelet's pods do."""

from typing import Any

import pytest

from gco_stream.local.kube_api import KubeApi, path_of

pytestmark = pytest.mark.integration

GATE = "target-health.elbv2.k8s.aws/x"
OTHER_GATE = "example.com/licensed"
STRATEGIC = "application/strategic-merge-patch+json"


class Pod:
    """One pod, and the changes that other controllers make to it."""

    def __init__(
        self, kube: KubeApi, namespace: str, tag: str = "v1", *gates: str, name: str = "model", **annotations: str
    ) -> None:
        self.kube = kube
        self.path = path_of("Pod", namespace, name)
        metadata = {"name": name, "annotations": {f"gco.local/{key}": value for key, value in annotations.items()}}
        spec = {
            "containers": [{"name": name, "image": f"{name}:{tag}"} for name in ("model", "sidecar")],
            "readinessGates": [{"conditionType": gate} for gate in gates],
        }
        kube.create(path_of("Pod", namespace), {"metadata": metadata, "spec": spec})

    def shows(self, **expected: str) -> "Pod":
        """Waits for these conditions: `Ready="True"`, or `Ready="False Reason"`."""

        def found() -> bool:
            return expected.items() <= self.conditions().items()

        self.kube.wait_for(found, what=f"{expected}, but {self.conditions()}")
        return self

    def conditions(self) -> dict[str, str]:
        status = self.kube.get(self.path).get("status", {})
        return {c["type"]: f"{c['status']} {c.get('reason', '')}".strip() for c in status.get("conditions", [])}

    def containers(self, field: str = "ready") -> list[bool]:
        return [container[field] for container in self.kube.get(self.path)["status"]["containerStatuses"]]

    def gate(self, type_: str, status: str) -> "Pod":
        """Sets a readiness gate, as the load balancer's controller does."""
        condition = {"type": type_, "status": status, "reason": "Test"}
        self.kube.patch(f"{self.path}/status", {"status": {"conditions": [condition]}}, content_type=STRATEGIC)
        return self

    def settled(self) -> "Pod":
        """Waits until kwok has processed all earlier events of this pod."""
        namespace = self.kube.get(self.path)["metadata"]["namespace"]
        # kwok processes the events of all pods in order.
        for name in ("later", "still-later"):
            Pod(self.kube, namespace, name=name).shows(Ready="True")
        return self

    def tell(self, ready: str | None) -> "Pod":
        self.kube.patch(self.path, {"metadata": {"annotations": {"gco.local/ready": ready}}})
        return self


def test_a_pod_is_ready_when_the_last_of_its_gates_is_met_and_not_before(kube: KubeApi, namespace: str) -> None:
    pod = Pod(kube, namespace, "v1", GATE, OTHER_GATE)
    pod.shows(ContainersReady="True", Ready="False ReadinessGatesNotReady")
    pod.gate(GATE, "True").gate(OTHER_GATE, "False")
    pod.tell("false").shows(Ready="False ContainersNotReady")
    pod.tell("true").shows(ContainersReady="True", Ready="False ReadinessGatesNotReady")
    pod.gate(OTHER_GATE, "True").shows(ContainersReady="True", Ready="True")
    assert pod.conditions()[GATE] == pod.conditions()[OTHER_GATE] == "True Test"


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_ready_pod_whose_gate_closes_is_not_ready_until_it_opens(kube: KubeApi, namespace: str, status: str) -> None:
    pod = Pod(kube, namespace, "v1", GATE).gate(GATE, "True").shows(Ready="True")
    pod.gate(GATE, status).shows(ContainersReady="True", Ready="False ReadinessGatesNotReady").settled()
    assert pod.conditions()["Ready"] == "False ReadinessGatesNotReady"
    assert pod.containers() == [True, True]
    pod.gate(GATE, "True").shows(Ready="True")


def test_a_met_gate_does_not_make_a_pod_ready_whose_containers_are_not(kube: KubeApi, namespace: str) -> None:
    pod = Pod(kube, namespace, "v1-never-ready", GATE).shows(Ready="False ContainersNotReady")
    pod.gate(GATE, "True").tell("false").shows(**{GATE: "True Test"}, Ready="False ContainersNotReady")
    assert pod.containers() == [False, False]
    pod.tell("true").shows(ContainersReady="True", Ready="True")
    assert pod.conditions()[GATE] == "True Test"


def test_a_gated_pod_that_is_ready_late_waits_for_both(kube: KubeApi, namespace: str) -> None:
    pod = Pod(kube, namespace, "v1-ready-after-1s", GATE)
    pod.shows(ContainersReady="True", Ready="False ReadinessGatesNotReady")
    pod.gate(GATE, "True").shows(Ready="True")


@pytest.mark.parametrize("gates", [(), (GATE,)])
def test_a_pods_readiness_follows_the_annotation_repeatedly(
    kube: KubeApi, namespace: str, gates: tuple[str, ...]
) -> None:
    pod = Pod(kube, namespace, "v1", *gates).shows(ContainersReady="True")
    for gate in gates:
        pod.gate(gate, "True")
    pod.shows(Ready="True")
    for _ in range(3):
        pod.tell("false").shows(ContainersReady="False ContainersNotReady", Ready="False ContainersNotReady")
        assert pod.containers() == [False, False]
        pod.tell("true").shows(ContainersReady="True", Ready="True")
        assert pod.containers() == [True, True]


def test_a_pod_annotated_as_unready_before_its_start_is_never_ready(kube: KubeApi, namespace: str) -> None:
    pod = Pod(kube, namespace, "v1", ready="false").shows(Ready="False ContainersNotReady")
    # A container that was ready once keeps `started: true`.
    assert pod.containers("started") == [False, False]
    pod.tell("true").shows(Ready="True")


@pytest.mark.parametrize(("told", "ready"), [("false", "False ContainersNotReady"), ("true", "True")])
def test_removing_the_annotation_does_not_change_readiness(
    kube: KubeApi, namespace: str, told: str, ready: str
) -> None:
    pod = Pod(kube, namespace).shows(Ready="True").tell("false").shows(Ready="False ContainersNotReady")
    pod.tell(told).shows(Ready=ready).tell(None).settled()
    assert pod.conditions()["Ready"] == ready


def test_the_service_drops_a_pod_that_is_not_ready_any_more(kube: KubeApi, namespace: str) -> None:
    metadata: dict[str, Any] = {"name": "model"}
    spec = {"selector": {"app": "model"}, "ports": [{"port": 80}]}
    kube.create(path_of("Service", namespace), {"metadata": metadata, "spec": spec})
    pod = Pod(kube, namespace).shows(Ready="True")
    kube.patch(pod.path, {"metadata": {"labels": {"app": "model"}}})

    def serving() -> list[bool]:
        slices = kube.list(path_of("EndpointSlice", namespace), labels="kubernetes.io/service-name=model")
        return [one["conditions"]["ready"] for a_slice in slices for one in a_slice.get("endpoints") or []]

    kube.wait_for(lambda: serving() == [True])
    pod.tell("false")
    kube.wait_for(lambda: serving() == [False])
