"""Tests of the judgement whether an endpoint is in its desired state, from its item alone."""

from typing import Any

import pytest

from gco_stream.model.reasons import Reason
from gco_stream.planning.lifecycle.health import HealthStatus, endpoint_health, region_health
from gco_stream.planning.lifecycle.promotion import pending_change
from gco_stream.planning.types.plan import TableChange
from tests.support.items import REGION, item, read

OTHER = "eu-west-1"
UPDATED, REPORTED = "2026-11-21T10:00:00+00:00", "2026-11-21T11:00:00+00:00"


def report(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "replicas_ready": 1, "replicas_desired": 2, "last_sync": REPORTED, **more}


def read_item(reports: dict[str, Any], **attributes: Any) -> Any:
    return read(item(**{"updated_at": UPDATED, "region_status": reports, **attributes}))


@pytest.mark.parametrize(
    ("desired", "state"),
    [("deploying", "running"), ("running", "running"), ("stopped", "stopped"), ("deleted", "deleted")],
)
def test_a_region_in_the_final_state_is_in_the_desired_state(desired: str, state: str) -> None:
    found = region_health(read_item({REGION: report(state)}, desired_state=desired), REGION)
    assert (found.reached, found.reason, found.message, found.since) == (True, "", "", "")


@pytest.mark.parametrize(
    ("reported", "reason", "message", "since"),
    [
        (None, Reason.NOT_REPORTED, "has not reported", UPDATED),
        ({"state": 7}, Reason.NOT_REPORTED, "its report is invalid", UPDATED),
        (report("updating"), Reason.PROGRESSING, "updating, 1 of 2 ready", REPORTED),
        (report("running", intent="1:another"), Reason.OUTDATED_REPORT, "running, for an older spec", UPDATED),
        (report("error", error="denied", reason="Rejected"), "Rejected", "denied", REPORTED),
        (report("error"), "Unknown", "error", REPORTED),
    ],
)
def test_a_region_outside_the_desired_state_has_a_reason_and_a_time(
    reported: dict[str, Any] | None, reason: str, message: str, since: str
) -> None:
    found = region_health(read_item({} if reported is None else {REGION: reported}), REGION)
    assert (found.reached, found.reason, found.message, found.since) == (False, reason, message, since)


def test_a_running_endpoint_with_an_error_needs_attention_but_has_reached_its_state() -> None:
    running = read_item({REGION: report("running", error="the canary was refused", reason="Rejected")})
    found = region_health(running, REGION)
    assert (found.reached, found.is_error, found.reason) == (True, True, "Rejected")
    assert endpoint_health(running).status is HealthStatus.ERROR


def test_a_former_target_needs_attention_until_it_is_deleted() -> None:
    leaving = read_item({REGION: report("running"), OTHER: report("deleting")})
    assert endpoint_health(leaving).message == f"{OTHER}: deleting, no longer a target"
    left = read_item({REGION: report("running"), OTHER: report("deleted", intent="1:another")})
    assert endpoint_health(left).status is HealthStatus.OK
    assert region_health(left, OTHER).reached


def test_one_region_is_judged_without_the_others() -> None:
    both = read_item({REGION: report("running"), OTHER: report("error")}, target_regions=[REGION, OTHER])
    assert endpoint_health(both).status is HealthStatus.ERROR
    assert endpoint_health(both, REGION).status is HealthStatus.OK


def test_an_invalid_item_is_in_its_desired_state_nowhere() -> None:
    found = region_health(read_item({REGION: report("running")}, desired_state="asleep"), REGION)
    assert (found.reached, found.reason) == (False, Reason.INVALID_ITEM)


@pytest.mark.parametrize(
    ("desired", "reports", "change", "waits_for"),
    [
        ("running", {}, None, []),
        ("deploying", {REGION: report("running")}, TableChange.PROMOTE, [OTHER]),
        ("deploying", {REGION: report("running"), OTHER: report("running")}, TableChange.PROMOTE, []),
        ("deleted", {REGION: report("deleted"), "old-1": {"state": 7}}, TableChange.PURGE, [OTHER, "old-1"]),
        ("deleted", {REGION: report("deleted"), OTHER: report("deleted")}, TableChange.PURGE, []),
    ],
)
def test_a_table_change_waits_for_every_region_that_has_not_reached_its_state(
    desired: str, reports: dict[str, Any], change: TableChange | None, waits_for: list[str]
) -> None:
    found, waiting = pending_change(read_item(reports, desired_state=desired, target_regions=[REGION, OTHER]))
    assert (found, [one.region for one in waiting]) == (change, waits_for)
