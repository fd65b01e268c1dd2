"""The number of devices of an item without gpu_count."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from gco_stream.model import names
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings
from tests.support.items import endpoint
from tests.support.simulated_cluster import NAMESPACE, POLICY, SimulatedCluster

GPU = "nvidia.com/gpu"
MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
OLDER = replace(POLICY, renderings=Renderings(MappingProxyType({1: RENDERINGS.by_version[1]})))


def devices(cluster: SimulatedCluster, device: str = GPU) -> tuple[str | None, str | None]:
    resources = cluster.objects[MAIN].spec["template"]["spec"]["containers"][0]["resources"]
    return resources["requests"].get(device), resources["limits"].get(device)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [({"limits": {GPU: 4}}, ("4", "4")), ({"requests": {GPU: "2"}}, ("2", "2")), ({"limits": {GPU: 0}}, (None, "0"))],
)
def test_the_devices_in_the_resources_are_requested(resources: dict[str, Any], expected: tuple[str, str]) -> None:
    cluster = SimulatedCluster()
    cluster.reconcile(endpoint(spec={"resources": resources}))
    assert devices(cluster) == expected
    assert ("nodeSelector" in cluster.objects[MAIN].spec["template"]["spec"]) is (expected[1] != "0")


def test_gpu_count_overrides_the_resources() -> None:
    cluster = SimulatedCluster()
    cluster.reconcile(endpoint(spec={"gpu_count": 1, "resources": {"limits": {GPU: 4}}}))
    assert devices(cluster) == ("1", "1")


def test_a_deployment_of_the_release_before_keeps_its_devices_until_an_upgrade_is_requested() -> None:
    cluster, asked = SimulatedCluster(OLDER), endpoint(spec={"resources": {"limits": {GPU: 4}}})
    cluster.reconcile(asked)
    cluster.roll_out()
    assert devices(cluster) == ("1", "1")
    cluster.policy = POLICY
    cluster.reconcile(asked)
    assert devices(cluster) == ("1", "1")
    cluster.change(MAIN, annotations={**cluster.objects[MAIN].annotations, names.UPGRADE_ANNOTATION: "2"})
    cluster.reconcile(asked)
    assert devices(cluster) == ("4", "4")
