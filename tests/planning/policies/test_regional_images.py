"""The image in a region whose entry in region_image_uris is older than spec.image."""

from typing import Any

import pytest

from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint, RegionState
from gco_stream.model.objects import Kind, ObjectRef, Observed
from gco_stream.planning.explain.explanation import explain
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from tests.support.items import REGION, endpoint
from tests.support.simulated_cluster import NAMESPACE, SimulatedCluster

OLD, NEW, NEWEST = "us.example/serve:1.0", "us.example/serve:2.0", "us.example/serve:3.0"
REGIONAL = "eu.example/serve:1.0"
MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
DRAIN = 31.0
SUPERSEDED = names.SUPERSEDED_IMAGE_ANNOTATION


def spec(image: str = OLD, *, regional: str = REGIONAL, **fields: Any) -> dict[str, Any]:
    return {"image": image, "region_image_uris": {REGION: regional}, **fields}


def settle(cluster: SimulatedCluster, asked: Endpoint) -> None:
    for _ in range(4):
        cluster.reconcile(asked)
        cluster.roll_out()
        cluster.collect()
        cluster.wait(DRAIN)


def image(cluster: SimulatedCluster, name: str = "chat") -> str:
    return str(cluster.get(Kind.DEPLOYMENT, name).spec["template"]["spec"]["containers"][0]["image"])


def promoted(weight: int = 20) -> tuple[SimulatedCluster, Endpoint]:
    """An endpoint whose canary was promoted as GCO's command does: region_image_uris stay as they were."""
    cluster = SimulatedCluster()
    canary = {"image": NEW, "weight": weight, "replicas": 1}
    settle(cluster, endpoint(spec=spec(canary=canary)))
    assert (image(cluster), image(cluster, "chat-canary")) == (REGIONAL, NEW)
    asked = endpoint(spec=spec(NEW))
    settle(cluster, asked)
    return cluster, asked


@pytest.mark.parametrize("weight", [20, 0])
def test_a_promoted_image_is_rolled_out_although_the_regional_one_is_stale(weight: int) -> None:
    cluster, asked = promoted(weight)
    assert image(cluster) == NEW
    assert ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary") not in cluster.objects
    assert cluster.objects[MAIN].annotations[SUPERSEDED] == REGIONAL
    report = cluster.plan(asked).report
    assert report is not None
    assert (report.state, report.error) == (RegionState.RUNNING, "")
    assert [str(one.reason) for one in report.warnings] == ["RegionImageStale"]


def test_the_explanation_names_the_image_that_runs() -> None:
    cluster, asked = promoted()
    inputs = PlanInputs("chat", asked, Observed(cluster.objects), FleetState(), cluster.now, cluster.policy)
    assert explain(inputs, plan_endpoint(inputs)).desired["image"] == NEW


def test_later_changes_keep_the_promoted_image() -> None:
    cluster, _ = promoted()
    settle(cluster, endpoint(spec=spec(NEW, env={"A": "1"})))
    assert image(cluster) == NEW
    settle(cluster, endpoint(spec=spec(NEWEST)))
    assert image(cluster) == NEWEST


def test_a_new_regional_image_is_used_again() -> None:
    cluster, _ = promoted()
    settle(cluster, endpoint(spec=spec(NEW, regional="eu.example/serve:2.0")))
    assert image(cluster) == "eu.example/serve:2.0"
    assert SUPERSEDED not in cluster.objects[MAIN].annotations
    settle(cluster, endpoint(spec=spec(NEW, regional="eu.example/serve:1.5")))
    assert image(cluster) == "eu.example/serve:1.5"


def test_an_updated_image_does_not_replace_a_regional_one_without_a_promotion() -> None:
    cluster = SimulatedCluster()
    settle(cluster, endpoint(spec=spec()))
    asked = endpoint(spec=spec(NEW))
    settle(cluster, asked)
    assert image(cluster) == REGIONAL
    report = cluster.plan(asked).report
    assert report is not None
    assert [str(one.reason) for one in report.warnings] == ["RegionImageStale"]


def test_a_canary_that_was_removed_without_a_promotion_changes_nothing() -> None:
    cluster = SimulatedCluster()
    settle(cluster, endpoint(spec=spec(canary={"image": NEW, "weight": 20})))
    settle(cluster, endpoint(spec=spec()))
    assert image(cluster) == REGIONAL


def test_an_image_of_another_repository_is_never_superseded() -> None:
    cluster = SimulatedCluster()
    settle(cluster, endpoint(spec=spec(regional="eu.example/other:1.0", canary={"image": NEW, "weight": 20})))
    settle(cluster, endpoint(spec=spec(NEW, regional="eu.example/other:1.0")))
    assert image(cluster) == "eu.example/other:1.0"


def test_a_promoted_endpoint_can_be_stopped_and_started() -> None:
    cluster, asked = promoted()
    settle(cluster, endpoint(spec=spec(NEW), desired_state="stopped"))
    assert cluster.objects[MAIN].annotations[SUPERSEDED] == REGIONAL
    settle(cluster, asked)
    assert image(cluster) == NEW


def test_rest_after_a_promotion_is_silent() -> None:
    cluster, asked = promoted()
    assert cluster.plan(asked).steps == ()
