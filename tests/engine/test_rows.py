"""What an item shows of itself in the fleet's list."""

from typing import Any

import pytest

from gco_stream.engine.desired import DesiredState
from gco_stream.engine.rows import Rows, row_of_item
from gco_stream.model import wire
from gco_stream.ops.page.values import Row
from tests.items import REGION, item

REPORTED = 1_795_000_000.0


def report(state: str, **more: Any) -> dict[str, Any]:
    return {
        REGION: {
            "state": state,
            "replicas_ready": 1,
            "replicas_desired": 2,
            "last_sync": "2026-11-18T16:26:40+00:00",
            **more,
        }
    }


def row(plain: dict[str, Any]) -> Row:
    return row_of_item(plain["endpoint_name"], wire.encode(plain), REGION)


def test_one_that_runs_as_asked_is_not_wrong() -> None:
    found = row(item(region_status=report("running")))
    assert (found.state, found.ready, found.wanted, found.wrong, found.since) == ("running", 1, 2, "", None)
    assert found.regions == ((REGION, "running"),)


@pytest.mark.parametrize(
    ("plain", "wrong"),
    [
        (item(region_status=report("creating")), "creating, 1 of 2 ready"),
        (item(region_status=report("error", error="ImagePullBackOff")), "ImagePullBackOff"),
        (item(region_status=report("running", error="the canary cannot be made")), "the canary cannot be made"),
        (item(region_status=report("running", intent="1:another")), "running, for what was asked before"),
        (item(desired_state="stopped", region_status=report("running")), "running, 1 of 2 ready"),
        (item(desired_state="deleted", region_status=report("deleting")), "deleting, 1 of 2 ready"),
        (item(), "this region has not reported on it"),
        (item(target_regions=["eu-west-1"], region_status=report("running")), "running, 1 of 2 ready"),
        (item(desired_state="asleep", region_status=report("running")), "'asleep' is no state that can be asked for"),
    ],
)
def test_one_that_is_not_says_why_and_since_when(plain: dict[str, Any], wrong: str) -> None:
    found = row(plain)
    assert found.wrong == wrong
    assert found.since is not None


def test_the_errors_time_is_the_reports() -> None:
    assert row(item(region_status=report("error", error="away"))).since == 1_795_019_200.0


def test_one_that_lives_elsewhere_is_as_asked() -> None:
    found = row(item(target_regions=["eu-west-1"]))
    assert (found.state, found.wrong, found.regions) == ("elsewhere", "", (("eu-west-1", "not reported"),))


@pytest.mark.parametrize(
    "hostile",
    [
        {"region_status": {"NULL": True}},
        {"region_status": {"M": {REGION: {"S": "running"}}}},
        {"region_status": {"M": {REGION: {"M": {"state": {"S": "<b>"}, "replicas_ready": {"N": "1e99"}}}}}},
        {"target_regions": {"N": "1"}, "desired_state": {"M": {}}, "updated_at": {"S": "9" * 400}},
        {"target_regions": {"L": [{"N": "1"}, {"S": "\x1b[2J"}]}, "hold": {"BOOL": True}},
        {
            "region_status": {"M": {REGION: {"M": {"state": {"S": "running"}, "intent": {"S": "1:x"}}}}},
            "spec": {"M": 3},
        },
    ],
)
def test_what_makes_no_sense_in_an_item_breaks_nothing(hostile: dict[str, Any]) -> None:
    found = row_of_item("chat", {**wire.encode(item()), **hostile}, REGION)
    assert found.name == "chat"
    assert "\x1b" not in str(found)


async def test_the_fleet_counts_states_and_regions_and_puts_errors_first() -> None:
    desired = DesiredState(REGION)
    for plain in (
        item("a", region_status=report("running")),
        item("b", region_status=report("updating")),
        item("c", region_status=report("error", error="away"), hold="wait", target_regions=[REGION, "eu-west-1"]),
    ):
        desired.put(wire.encode(plain))
    fleet = await Rows(REGION).of_table(desired, {"b": 5.0}.get, {"x"})
    assert [one.name for one in fleet.rows] == ["a", "b", "c"]
    assert [(one.name, one.since) for one in fleet.wrong] == [("c", 1_795_019_200.0), ("b", 5.0)]
    assert fleet.states == (("running", 1), ("updating", 1), ("error", 1))
    assert fleet.regions == (("eu-west-1", (("not reported", 1),)), (REGION, fleet.states))
    assert fleet.removals == ("x",)
    assert fleet.rows[2].held


async def test_a_row_is_made_anew_only_once_its_item_changes() -> None:
    desired = DesiredState(REGION)
    desired.put(wire.encode(item("a")))
    desired.put(wire.encode(item("b")))
    rows = Rows(REGION)
    before = await rows.of_table(desired, lambda _: None, ())
    desired.put(wire.encode(item("b", region_status=report("running"))))
    rows._made_at = float("-inf")
    after = await rows.of_table(desired, lambda _: None, ())
    assert after.rows[0] is before.rows[0]
    assert after.rows[1].state == "running"
