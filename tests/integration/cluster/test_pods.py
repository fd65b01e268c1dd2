"""Pod health as shown by a real API server, a scheduler and kwok's kubelet."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.pods import pods_of
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.model.objects import PodHealth
from tests.integration.support.harness.program import PATIENCE

pytestmark = pytest.mark.integration

GATE = "target-health.elbv2.k8s.aws/x"
STRATEGIC = "application/strategic-merge-patch+json"


class Pods:
    """The pods of a test, and what the program observes of them."""

    def __init__(self, kube: KubeApi, client: KubeClient, namespace: str) -> None:
        self.kube = kube
        self.client = client
        self.namespace = namespace

    def start(self, name: str, tag: str = "v1", app: str = "llm", **spec: Any) -> str:
        """Creates a pod and returns its path."""
        metadata = {"name": name, "labels": {"app": app}}
        body = {"metadata": metadata, "spec": {"containers": [{"name": "main", "image": f"model:{tag}"}], **spec}}
        self.kube.create(path_of("Pod", self.namespace), body)
        return path_of("Pod", self.namespace, name)

    async def seen(self, app: str = "llm") -> dict[str, PodHealth]:
        return {health.name: health for health in await pods_of(self.client, self.namespace, app, timeout=60)}

    async def sees(self, *expected: PodHealth) -> None:
        """Waits until exactly these pods are observed."""
        wanted = {health.name: health for health in expected}
        deadline = time.monotonic() + PATIENCE
        while (seen := await self.seen()) != wanted:
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(0.05)


@pytest.fixture
async def pods(kube: KubeApi, control_plane: ControlPlane, namespace: str) -> AsyncIterator[Pods]:
    async with KubeClient.connect(kubeconfig=str(control_plane.kubeconfig)) as client:
        yield Pods(kube, client, namespace)


async def test_pod_health_is_observed(pods: Pods) -> None:
    pods.start("ready")
    pods.start("never", "v1-never-ready")
    pods.start("pull", "v1-image-pull-error")
    pods.start("crash", "v1-crash-loop")
    pods.start("gated", readinessGates=[{"conditionType": GATE}])
    pods.start("homeless", nodeSelector={"no": "such-node"})
    pods.start("greedy", containers=[{"name": "main", "image": "m", "resources": {"limits": {"cpu": "90000"}}}])
    pods.start("another", app="another")
    await pods.sees(
        PodHealth("ready", True, True),
        PodHealth("never", False, False, "container main is not ready"),
        PodHealth("pull", False, False, "ImagePullBackOff"),
        PodHealth("crash", False, False, "CrashLoopBackOff (Error)"),
        PodHealth("gated", True, False, f"readiness gate {GATE} is not met", gated=True, has_gates=True),
        PodHealth("homeless", False, False, "Unschedulable: node(s) didn't match Pod's node affinity/selector"),
        PodHealth("greedy", False, False, "Unschedulable: Insufficient cpu"),
    )
    assert list(await pods.seen("another")) == ["another"]
    assert await pods.seen("nobody") == {}


async def test_a_pod_is_seen_to_change(pods: Pods) -> None:
    path = pods.start("llm-1", readinessGates=[{"conditionType": GATE}])
    await pods.sees(PodHealth("llm-1", True, False, f"readiness gate {GATE} is not met", gated=True, has_gates=True))
    met = {"status": {"conditions": [{"type": GATE, "status": "True"}]}}
    pods.kube.patch(f"{path}/status", met, content_type=STRATEGIC)
    await pods.sees(PodHealth("llm-1", True, True, has_gates=True))
    pods.kube.patch(path, {"metadata": {"annotations": {"gco.local/ready": "false"}}})
    await pods.sees(PodHealth("llm-1", False, False, "container main is not ready", has_gates=True))


async def test_pods_that_have_ended_or_are_terminating_are_not_seen(pods: Pods) -> None:
    evicted, done, going, _ = map(pods.start, names := ("evicted", "done", "going", "staying"))
    await pods.sees(*(PodHealth(name, True, True) for name in names))
    for path, phase in ((evicted, "Failed"), (done, "Succeeded")):
        pods.kube.patch(f"{path}/status", {"status": {"phase": phase}})
    pods.kube.patch(going, {"metadata": {"finalizers": ["gco.local/stay"]}})
    pods.kube.delete(going)
    try:
        await pods.sees(PodHealth("staying", True, True))
    finally:
        pods.kube.patch(going, {"metadata": {"finalizers": None}})


async def test_listing_pods_without_permission_raises_forbidden(control_plane: ControlPlane, namespace: str) -> None:
    config = control_plane.kubeconfig_for("nobody", groups=())
    async with KubeClient.connect(kubeconfig=str(config)) as client:
        with pytest.raises(errors.Forbidden):
            await pods_of(client, namespace, "llm", timeout=60)
