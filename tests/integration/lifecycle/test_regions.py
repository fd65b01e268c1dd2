"""Promotion and purge with three regions on one table: both depend on the reports of all target regions."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from tests.integration.support.regions import AP, EU, FIRST, REGIONS, SECOND, US, Regions, endpoint_item, three_regions
from tests.support.items import item

pytestmark = pytest.mark.integration
SLOW = "registry.example/serve:1.0-never-ready"
# No program serves this region: it is down, or GCO still manages it.
ELSEWHERE = "sa-east-1"
FOUR = [*REGIONS, ELSEWHERE]


@pytest.fixture(scope="module")
def regions(
    control_plane: ControlPlane, dynamodb_clients: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Regions]:
    with three_regions(control_plane, dynamodb_clients, tmp_path_factory.mktemp("regions")) as made:
        yield made


@pytest.fixture
def name() -> str:
    """The name of an endpoint that only this test uses."""
    return f"e{uuid.uuid4().hex[:10]}"


def running(regions: Regions, name: str, **attributes: Any) -> None:
    regions.put(endpoint_item(name, **attributes))
    regions.until_promoted(name)


def came_up(regions: Regions, name: str, region: str) -> None:
    """Waits for a region's slow pods and makes them ready; pods of the previous image may exist, too."""
    regions.until(lambda: regions[region].pods(name, SLOW), f"{region} has a slow pod")
    regions[region].make_ready(name, image=SLOW)


def test_an_endpoint_is_promoted_once_when_every_region_runs_it(regions: Regions, name: str) -> None:
    running(regions, name)
    regions.until_settled()
    regions.expect_promotions(name, 1)
    for region in regions:
        assert region.objects(name) == {f"Deployment/{name}", f"Service/{name}", f"Ingress/inference-{name}"}
    entries = regions.item(name)["region_status"]
    assert entries.keys() == set(REGIONS)
    assert len({entry["intent"] for entry in entries.values()}) == 1


def test_each_new_intent_is_promoted_once(regions: Regions, name: str) -> None:
    running(regions, name)
    regions.respec(name, image=SECOND)
    regions.until(lambda: len(regions.promotions(name)) == 2, "the new image is promoted")
    regions.ask(name, "stopped")
    regions.until(lambda: regions.until_all_report(name, "stopped"), "all regions report stopped")
    assert regions.desired(name) == "stopped"
    regions.ask(name, "deploying")
    regions.until_promoted(name)
    regions.until_settled()
    regions.expect_promotions(name, 3)


def test_one_slow_region_holds_the_promotion_up(regions: Regions, name: str) -> None:
    regions.put(endpoint_item(name, spec={"region_image_uris": {EU: SLOW}}))
    regions.until(lambda: regions.states(name) == {US: "running", EU: "creating", AP: "running"}, "two regions run it")
    regions.until_settled()
    assert regions.desired(name) == "deploying"
    assert regions[EU].image(name) == SLOW
    assert {regions[US].image(name), regions[AP].image(name)} == {FIRST}
    came_up(regions, name, EU)
    regions.until_promoted(name)
    regions.expect_promotions(name, 1)


def test_a_region_that_still_runs_the_old_image_holds_the_promotion_up(regions: Regions, name: str) -> None:
    running(regions, name)
    regions.respec(name, image=SECOND, region_image_uris={AP: SLOW})
    regions.until(lambda: regions.until_all_report(name, "running", US, EU), "two regions run the new image")
    regions.until(lambda: regions.states(name).get(AP) == "updating", "the third region reports updating")
    regions.until_settled()
    assert regions.desired(name) == "deploying"
    came_up(regions, name, AP)
    regions.until_promoted(name)
    regions.expect_promotions(name, 2)


def test_a_region_added_later_is_waited_for(regions: Regions, name: str) -> None:
    running(regions, name, target_regions=[US], spec={"region_image_uris": {AP: SLOW}})
    assert regions.item(name)["region_status"].keys() == {US}
    assert not regions[AP].objects(name)
    regions.respec(name, target_regions=(US, AP))
    regions.until(lambda: regions.states(name) == {US: "running", AP: "creating"}, "both report for the new intent")
    regions.until_settled()
    assert regions.desired(name) == "deploying"
    came_up(regions, name, AP)
    regions.until_promoted(name)
    regions.expect_promotions(name, 2)
    assert not regions[EU].objects(name)


def test_removing_the_only_slow_region_triggers_the_promotion(regions: Regions, name: str) -> None:
    regions.put(endpoint_item(name, spec={"region_image_uris": {EU: SLOW}}))
    regions.until(lambda: regions.states(name) == {US: "running", EU: "creating", AP: "running"}, "two regions run it")
    regions.respec(name, target_regions=(US, AP))
    regions.until_promoted(name)
    regions.until(lambda: regions.states(name).get(EU) == "deleted", "the third region reports deleted")
    assert not regions[EU].objects(name)
    regions.expect_promotions(name, 1)
    assert regions.states(name) == {US: "running", EU: "deleted", AP: "running"}


def test_a_report_for_another_intent_does_not_count_for_promotion(regions: Regions, name: str) -> None:
    said = {"state": "running", "replicas_ready": 1, "replicas_desired": 1, "epoch": 1, "intent": "1:of-another-wish"}
    assert regions[EU].program.stop() == 0
    try:
        regions.put(endpoint_item(name, region_status={EU: said}))
        regions.until(lambda: regions.until_all_report(name, "running", US, AP), "the other regions run it")
        regions.until_settled(US, AP)
        assert regions.desired(name) == "deploying"
    finally:
        regions[EU].program.start()
    regions.until_promoted(name)
    regions.expect_promotions(name, 1)


def test_reports_of_gco_count_by_their_state(regions: Regions, name: str) -> None:
    said = {"state": "running", "replicas_ready": 1, "replicas_desired": 1, "last_sync": "2026-11-21T09:00:00+00:00"}
    regions.put(endpoint_item(name, target_regions=FOUR, region_status={ELSEWHERE: said}))
    regions.until_promoted(name)
    regions.expect_promotions(name, 1)
    regions.write(name, region_status=regions.item(name)["region_status"] | {ELSEWHERE: said | {"state": "deleted"}})
    regions.ask(name, "deleted")
    regions.until_gone(name)


def test_the_last_report_of_gco_triggers_the_promotion(regions: Regions, name: str) -> None:
    regions.put(endpoint_item(name, target_regions=FOUR))
    regions.until(lambda: regions.until_all_report(name, "running"), "all other regions run it")
    regions.until_settled()
    assert regions.desired(name) == "deploying"
    said = {"state": "running", "replicas_ready": 1, "replicas_desired": 1, "last_sync": "2026-11-21T09:00:00+00:00"}
    regions.write(name, region_status=regions.item(name)["region_status"] | {ELSEWHERE: said})
    regions.until_promoted(name)


def test_the_item_is_purged_when_every_region_has_deleted_the_endpoint(regions: Regions, name: str) -> None:
    running(regions, name)
    regions.until(lambda: regions[AP].pods(name), "a pod exists")
    regions[AP].keep_pods(name)
    try:
        regions.ask(name, "deleted")
        gone = {US: "deleted", EU: "deleted", AP: "deleting"}
        regions.until(lambda: regions.states(name) == gone, "two regions report deleted")
        regions.until_settled()
        assert regions.desired(name) == "deleted"
        assert regions[AP].objects(name)
    finally:
        regions[AP].keep_pods(name, keep=False)
    regions.until_gone(name)
    last = regions.history(name)[-1]
    assert last.removes
    assert last.states() == dict.fromkeys(REGIONS, "deleted")


def test_a_region_that_is_down_delays_the_purge_until_it_is_back(regions: Regions, name: str) -> None:
    running(regions, name)
    assert regions[EU].program.stop() == 0
    try:
        regions.ask(name, "deleted")
        regions.until(lambda: regions.until_all_report(name, "deleted", US, AP), "the other regions report deleted")
        regions.until_settled(US, AP)
        assert regions.desired(name) == "deleted"
        assert regions[EU].objects(name)
    finally:
        regions[EU].program.start()
    regions.until_gone(name)
    regions[EU].program.wait_working()


def test_a_decommissioned_region_delays_the_purge_until_it_is_forgotten(regions: Regions, name: str) -> None:
    said = {"state": "running", "replicas_ready": 1, "replicas_desired": 1}
    regions.put(endpoint_item(name, target_regions=FOUR, region_status={ELSEWHERE: said}))
    regions.until_promoted(name)
    regions.ask(name, "deleted")
    regions.until(lambda: regions.until_all_report(name, "deleted"), "all other regions report deleted")
    regions.write(name, target_regions=list(REGIONS))
    regions.until(lambda: regions.until_all_report(name, "deleted"), "they report deleted for the current intent")
    regions.until_settled()
    assert regions.item(name)["region_status"][ELSEWHERE] == said
    regions.user.forget_region(regions.seen(name), ELSEWHERE)
    regions.until_gone(name)


def test_a_removed_region_that_is_still_deleting_delays_the_purge(regions: Regions, name: str) -> None:
    running(regions, name)
    regions.until(lambda: regions[EU].pods(name), "a pod exists")
    regions[EU].keep_pods(name)
    try:
        regions.respec(name, target_regions=(US, AP))
        regions.until_promoted(name)
        regions.ask(name, "deleted")
        regions.until(lambda: regions.until_all_report(name, "deleted", US, AP), "its target regions report deleted")
        regions.until_settled()
        assert regions.item(name)["region_status"][EU]["state"] == "deleting"
    finally:
        regions[EU].keep_pods(name, keep=False)
    regions.until_gone(name)


def test_an_endpoint_that_never_ran_is_purged_too(regions: Regions, name: str) -> None:
    regions.put(item(name, target_regions=list(REGIONS), namespace=None, spec={"port": "none"}))
    regions.until(lambda: regions.until_all_report(name, "error"), "every region reports the error")
    regions.ask(name, "deleted")
    regions.until_gone(name)
    regions.expect_promotions(name, 0)
