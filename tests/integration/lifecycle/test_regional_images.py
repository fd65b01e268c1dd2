"""Images in region_image_uris that GCO's own commands leave behind."""

import pytest

from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.legacy_objects import small
from tests.support.items import REGION

pytestmark = pytest.mark.integration

OLD, NEW, REGIONAL = "us.example/serve:1.0", "us.example/serve:2.0", "eu.example/serve:1.0"


def image(world: World, name: str) -> str | None:
    found = world.get("Deployment", name)
    return None if found is None else str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def warnings(world: World) -> list[str]:
    return [one["reason"] for one in world.report("chat").get("warnings", ())]


def test_gcos_promotion_rolls_out_the_new_image_and_reports_the_stale_one(world: World, controller: Program) -> None:
    spec = {"image": OLD, "region_image_uris": {REGION: REGIONAL}}
    canary = {"image": NEW, "weight": 20, "replicas": 1}
    world.put(small("chat", **spec, canary=canary))
    controller.until(lambda: world.state("chat") == "running", "the endpoint runs")
    controller.until(lambda: image(world, "chat-canary") == NEW, "the canary runs")
    assert (image(world, "chat"), warnings(world)) == (REGIONAL, [])

    # This is what GCO's `promote` does: the canary's image becomes the image, and region_image_uris stay.
    world.put(small("chat", **(spec | {"image": NEW})))
    controller.until(lambda: image(world, "chat") == NEW, "the promoted image is rolled out")
    controller.until(lambda: image(world, "chat-canary") is None, "the canary is removed")
    controller.until(lambda: world.state("chat") == "running", "the endpoint runs again")
    assert warnings(world) == ["RegionImageStale"]

    world.update_spec("chat", env={"A": "1"})
    controller.until(lambda: "env" in str(world.get("Deployment", "chat")), "the change is applied")
    assert image(world, "chat") == NEW


def test_an_updated_image_is_reported_where_a_regional_image_hides_it(world: World, controller: Program) -> None:
    world.put(small("chat", image=OLD, region_image_uris={REGION: REGIONAL}))
    controller.until(lambda: world.state("chat") == "running", "the endpoint runs")
    world.update_spec("chat", image=NEW)
    controller.until(lambda: warnings(world) == ["RegionImageStale"], "the stale image is reported")
    assert image(world, "chat") == REGIONAL
    assert "error" not in world.report("chat")
