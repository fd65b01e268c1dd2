"""Tests of the rows of the fleet page and of their cache."""

import asyncio
from typing import Any

import pytest

from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import wire
from gco_stream.model.item.endpoint import read_endpoint
from gco_stream.model.reasons import Reason
from gco_stream.server.page.fleet_table import FleetTable, row_of_item
from gco_stream.server.page.view_models import Fleet, Row
from tests.support.items import REGION, item

REPORTED = 1_795_000_000.0
WITHDRAWN_BEFORE_REASONS = "no replica is ready, and the Ingress is away until one is"


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
    return row_of_item(read_endpoint(wire.encode(plain)), REGION)


def test_an_endpoint_in_its_desired_state_has_no_reason() -> None:
    found = row(item(region_status=report("running")))
    assert (found.state, found.ready, found.desired_replicas, found.since) == ("running", 1, 2, None)
    assert (found.reason, found.message) == ("", "")
    assert found.regions == ((REGION, "running"),)


@pytest.mark.parametrize(
    ("plain", "reason", "message"),
    [
        (item(region_status=report("creating")), Reason.PROGRESSING, "creating, 1 of 2 ready"),
        (
            item(region_status=report("running", intent="1:another")),
            Reason.OUTDATED_REPORT,
            "running, for an older spec",
        ),
        (item(desired_state="stopped", region_status=report("running")), Reason.PROGRESSING, "running, 1 of 2 ready"),
        (item(desired_state="deleted", region_status=report("deleting")), Reason.PROGRESSING, "deleting, 1 of 2 ready"),
        (item(), Reason.NOT_REPORTED, "has not reported"),
        (
            item(target_regions=["eu-west-1"], region_status=report("running")),
            Reason.PROGRESSING,
            "running, no longer a target",
        ),
        (
            item(desired_state="asleep", region_status=report("running")),
            Reason.INVALID_ITEM,
            "desired_state: invalid value 'asleep': must be deploying, running, stopped or deleted",
        ),
    ],
)
def test_an_endpoint_that_needs_attention_has_a_reason_and_a_time(
    plain: dict[str, Any], reason: Reason, message: str
) -> None:
    found = row(plain)
    assert (found.reason, found.message) == (reason, message)
    assert found.since is not None


@pytest.mark.parametrize("state", ["error", "running"])
@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({"reason": "Rejected", "error": "denied by a policy"}, "Rejected"),
        ({"reason": "ReasonOfALaterRelease", "error": "something new"}, "ReasonOfALaterRelease"),
        ({"error": WITHDRAWN_BEFORE_REASONS}, "IngressWithdrawn"),
        ({"error": "ImagePullBackOff"}, "Unknown"),
    ],
)
def test_a_stored_error_is_shown_with_its_reason(state: str, stored: dict[str, Any], reason: str) -> None:
    found = row(item(region_status=report(state, **stored)))
    assert (found.state, found.reason, found.message) == (state, reason, stored["error"])


def test_a_stored_reason_is_kept_printable_and_short() -> None:
    found = row(item(region_status=report("error", reason="\x1b[2J" + "x" * 9999, error="away")))
    assert "\x1b" not in found.reason
    assert len(found.reason) < 500


def test_a_reason_without_an_error_is_not_shown() -> None:
    found = row(item(region_status=report("running", reason="Rejected")))
    assert (found.reason, found.message) == ("", "")


def test_the_time_of_an_error_is_the_time_of_the_report() -> None:
    assert row(item(region_status=report("error", error="away"))).since == 1_795_019_200.0


def test_an_endpoint_in_other_regions_only_needs_no_attention() -> None:
    found = row(item(target_regions=["eu-west-1"]))
    assert (found.state, found.reason, found.regions) == ("elsewhere", "", (("eu-west-1", "not reported"),))


@pytest.mark.parametrize(
    "hostile",
    [
        {"region_status": {"NULL": True}},
        {"region_status": {"M": {REGION: {"S": "running"}}}},
        {"region_status": {"M": {REGION: {"M": {"state": {"S": "<b>"}, "replicas_ready": {"N": "1e99"}}}}}},
        {"target_regions": {"N": "1"}, "desired_state": {"M": {}}, "updated_at": {"S": "9" * 400}},
        {"target_regions": {"L": [{"N": "1"}, {"S": "\x1b[2J"}]}, "hold": {"BOOL": True}},
        {"region_status": {"M": {REGION: {"M": {"state": {"S": "running"}, "intent": {"S": "1:x"}}}}}},
    ],
)
def test_invalid_attributes_of_an_item_are_tolerated(hostile: dict[str, Any]) -> None:
    found = row_of_item(read_endpoint({**wire.encode(item()), **hostile}), REGION)
    assert found.name == "chat"
    assert "\x1b" not in str(found)


async def test_the_fleet_has_counts_and_lists_errors_first() -> None:
    items = ItemCache(REGION)
    for plain in (
        item("a", region_status=report("running")),
        item("b", region_status=report("updating")),
        item("c", region_status=report("error", error="away"), hold="wait", target_regions=[REGION, "eu-west-1"]),
    ):
        items.put(wire.encode(plain))
    fleet = await FleetTable(REGION, int).from_items(items, {"b": 5.0}.get, {"x"})
    assert [one.name for one in fleet.rows] == ["a", "b", "c"]
    assert [(one.name, one.since) for one in fleet.needs_attention] == [("c", 1_795_019_200.0), ("b", 5.0)]
    assert fleet.states == (("running", 1), ("updating", 1), ("error", 1))
    assert fleet.regions == (("eu-west-1", (("not reported", 1),)), (REGION, fleet.states))
    assert fleet.removals == ("x",)
    assert fleet.rows[2].held


class FleetTableFixture:
    """Rows of a table with two items, with a clock and a version that the test controls."""

    def __init__(self) -> None:
        self.now = 100.0
        self.version = 0
        self.rows = FleetTable(REGION, lambda: self.version, lambda: self.now)
        self.desired = ItemCache(REGION)
        for name in ("a", "b"):
            self.desired.put(wire.encode(item(name)))

    async def fleet(self) -> Fleet:
        return await self.rows.from_items(self.desired, lambda _: None, ())

    def change(self, name: str) -> None:
        self.desired.put(wire.encode(item(name, region_status=report("running"))))
        self.version += 1


async def test_a_row_is_recomputed_only_after_its_item_changes() -> None:
    kept = FleetTableFixture()
    before = await kept.fleet()
    kept.change("b")
    kept.now += 1
    after = await kept.fleet()
    assert after.rows[0] is before.rows[0]
    assert after.rows[1].state == "running"


async def test_the_fleet_is_cached_while_nothing_changes() -> None:
    kept = FleetTableFixture()
    before = await kept.fleet()
    kept.now += 1
    assert await kept.fleet() is before
    kept.now += 10
    assert await kept.fleet() is not before


async def test_a_request_after_a_change_sees_it_and_concurrent_requests_share_one_update() -> None:
    kept = FleetTableFixture()
    await kept.fleet()
    kept.now += 60
    kept.change("b")
    found = await asyncio.gather(*(kept.fleet() for _ in range(20)))
    assert {id(one) for one in found} == {id(found[0])}
    assert found[0].rows[1].state == "running"


async def test_a_change_right_after_an_update_is_delayed_but_not_missed() -> None:
    kept = FleetTableFixture()
    await kept.fleet()
    kept.change("a")
    began = asyncio.get_running_loop().time()
    found = await kept.fleet()
    assert found.rows[0].state == "running"
    assert asyncio.get_running_loop().time() - began > 0.3


async def test_a_cancelled_update_leaves_no_old_fleet_that_counts_as_current() -> None:
    kept = FleetTableFixture()
    await kept.fleet()
    for number in range(2000):
        kept.desired.put(wire.encode(item(f"e{number}", region_status=report("running"))))
    kept.version += 1
    kept.now += 60
    update = asyncio.create_task(kept.fleet())
    # The update yields to the event loop while it reads the items.
    for _ in range(5):
        await asyncio.sleep(0)
    assert not update.done()
    update.cancel()
    assert len((await kept.fleet()).rows) == len(kept.desired)


async def test_the_event_loop_runs_while_many_items_are_read() -> None:
    kept = FleetTableFixture()
    for number in range(6000):
        kept.desired.put(wire.encode(item(f"e{number}", region_status=report("running", intent="1:another"))))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    busy = asyncio.create_task(others())
    fleet = await kept.fleet()
    busy.cancel()
    assert len(fleet.needs_attention) == 6002
    assert turns > 4
