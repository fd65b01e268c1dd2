"""Tests of the status of endpoints in `top`, and of their order."""

import inspect
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from gco_stream.cli.commands.top import top
from gco_stream.cli.render.fleet_rows import (
    FleetRow,
    Order,
    as_json,
    cells,
    headings,
    in_order,
    row_of,
    summary,
    with_pods,
)
from gco_stream.model import wire
from gco_stream.model.item.endpoint import read_endpoint
from gco_stream.model.objects import PodHealth
from gco_stream.planning.lifecycle.health import HealthStatus
from tests.support.items import REGION, item

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EARLIER = "2026-11-21T11:00:00+00:00"


def standing(**attributes: Any) -> FleetRow:
    return row_of(read_endpoint(wire.encode(item(**attributes))))


def report(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "replicas_ready": 1, "replicas_desired": 1, "last_sync": EARLIER, **more}


@pytest.mark.parametrize(
    ("desired", "state", "status"),
    [
        ("running", "running", HealthStatus.OK),
        ("deploying", "running", HealthStatus.OK),
        ("stopped", "stopped", HealthStatus.OK),
        ("deleted", "deleted", HealthStatus.OK),
        ("running", "updating", HealthStatus.WAITING),
        ("running", "stopped", HealthStatus.WAITING),
        ("stopped", "running", HealthStatus.WAITING),
        ("deleted", "deleting", HealthStatus.WAITING),
        ("running", "error", HealthStatus.ERROR),
    ],
)
def test_the_status_compares_the_report_with_the_desired_state(desired: str, state: str, status: HealthStatus) -> None:
    assert standing(desired_state=desired, region_status={REGION: report(state)}).status is status


def test_a_report_for_an_older_spec_is_waiting() -> None:
    former = report("running", intent="1:of-another-spec", epoch=3)
    one = standing(desired_state="running", region_status={REGION: former})
    assert (one.status, one.message, one.since) == (
        HealthStatus.WAITING,
        f"{REGION}: running, for an older spec",
        one.updated,
    )


def test_a_region_without_a_report_or_no_longer_a_target_is_named() -> None:
    silent = standing(target_regions=[REGION, "eu-west-1"], region_status={REGION: report("running")})
    assert (silent.status, silent.message) == (HealthStatus.WAITING, "eu-west-1: has not reported")
    left = standing(region_status={REGION: report("running"), "mars-1": report("deleting")})
    assert (left.status, left.message) == (HealthStatus.WAITING, "mars-1: deleting, no longer a target")
    gone = standing(region_status={REGION: report("running"), "mars-1": report("deleted")})
    assert gone.status is HealthStatus.OK


def test_the_most_severe_problem_is_shown() -> None:
    status = {REGION: report("error", error="no quota"), "eu-west-1": report("creating")}
    both = {"target_regions": [REGION, "eu-west-1"], "region_status": status}
    assert standing(**both).message == f"{REGION}: no quota"
    assert standing(**both, hold="until Friday").status is HealthStatus.HELD
    assert standing(spec={"replicas": "many"}).status is HealthStatus.ERROR
    assert standing(target_regions=[]).status is HealthStatus.ERROR


def test_the_worst_and_oldest_status_comes_first() -> None:
    def named(name: str, status: HealthStatus, since: str = "", ready: int = 0, updated: str = "") -> FleetRow:
        return FleetRow(name, status, "running", since=since, ready=ready, desired_replicas=2, updated=updated)

    fleet = [
        named("fine", HealthStatus.OK, ready=2, updated="2026-03"),
        named("new", HealthStatus.WAITING, since="2026-02", ready=1),
        named("old", HealthStatus.WAITING, since="2026-01", ready=2),
        named("broken", HealthStatus.ERROR, since="2026-03"),
    ]
    names = {order: [one.name for one in in_order(fleet, order)] for order in Order}
    assert names == {
        Order.STATUS: ["broken", "old", "new", "fine"],
        Order.NAME: ["broken", "fine", "new", "old"],
        Order.UPDATED: ["fine", "broken", "new", "old"],
        Order.READY: ["broken", "new", "fine", "old"],
    }
    assert summary(fleet) == "4 endpoints: 1 ok, 2 waiting, 1 in error, 0 held"


def test_pods_are_counted_and_the_reason_of_an_unready_one_is_shown() -> None:
    pods = {("gco-inference", "chat"): (PodHealth("a", True, True), PodHealth("b", False, False, "ImagePullBackOff"))}
    waiting = with_pods(standing(region_status={REGION: report("creating")}), pods, "gco-inference")
    assert waiting.message == f"{REGION}: creating, 1 of 1 ready; ImagePullBackOff"
    row = dict(zip(headings(pods=True), cells(waiting, NOW, pods=True), strict=True))
    assert (row["PODS"], row["SINCE"], row["READY"]) == ("1/2", "60m", "1/1")
    fine = with_pods(standing(desired_state="running", region_status={REGION: report("running")}), pods, "x")
    assert fine.message == ""
    assert len(headings(pods=False)) == len(cells(fine, NOW, pods=False))


def test_every_key_of_the_json_is_documented() -> None:
    documented = set(re.findall(r"`(\w+)`", inspect.getdoc(top) or ""))
    pods = {("gco-inference", "chat"): (PodHealth("a", True, True),)}
    shown = as_json(with_pods(standing(region_status={REGION: report("creating")}), pods, "gco-inference"))
    assert {*shown, *shown["pods"][0]} <= documented
