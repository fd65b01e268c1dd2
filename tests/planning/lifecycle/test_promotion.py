from dataclasses import replace

import pytest

from gco_stream.model import wire
from gco_stream.model.objects import Observed
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.lifecycle.promotion import may_complete_or_purge
from gco_stream.planning.planner import plan_after_failures
from gco_stream.planning.types.plan import TableChange
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Part
from tests.support.items import REGION, endpoint, item
from tests.support.simulated_cluster import CANARY, SimulatedCluster, reported, running, with_spec


def test_the_last_region_to_run_promotes_and_only_then() -> None:
    cluster, asked = running(target_regions=[REGION, "eu-west-1"])
    assert cluster.plan(asked).table_change is None
    other = reported(asked, cluster.plan(asked), cluster.now, region="eu-west-1")
    assert cluster.plan(other).table_change is TableChange.PROMOTE


def test_a_region_that_runs_an_older_spec_does_not_count_for_promotion() -> None:
    cluster, asked = running()
    stale = asked.region_status[REGION].model_copy(update={"intent": "1:older"})
    plan = cluster.plan(asked.model_copy(update={"region_status": {REGION: stale}}))
    assert plan.table_change is None
    assert plan.write_report


def test_a_report_on_an_older_spec_does_not_count_for_promotion() -> None:
    cluster, asked = running(target_regions=[REGION, "eu-west-1"])
    other = asked.region_status[REGION].model_copy(update={"intent": "1:older"})
    asked = asked.model_copy(update={"region_status": {**asked.region_status, "eu-west-1": other}})
    assert cluster.plan(asked).table_change is None


def test_only_the_state_of_an_entry_written_by_gco_counts() -> None:
    cluster, asked = running()
    plain = asked.region_status[REGION].model_copy(update={"intent": None, "epoch": None})
    plan = cluster.plan(asked.model_copy(update={"region_status": {REGION: plain}}))
    assert (plan.table_change, plan.write_report) == (TableChange.PROMOTE, False)


def test_the_item_is_purged_once_every_region_that_reported_is_deleted() -> None:
    cluster = SimulatedCluster()
    gone = endpoint(desired_state="deleted")
    gone = reported(gone, cluster.plan(gone), cluster.now)
    assert cluster.plan(gone).table_change is TableChange.PURGE
    never_gone = gone.model_copy(update={"reported_regions": frozenset({REGION, "eu-west-1"})})
    assert cluster.plan(never_gone).table_change is None


@pytest.mark.parametrize(
    ("asked", "states", "worth"),
    [
        ("deploying", ["running", "running"], True),
        ("deploying", ["running", "deleted"], True),
        ("deploying", ["running", "creating"], False),
        ("deploying", [], False),
        ("running", ["running"], False),
        ("deleted", ["deleted", "deleted"], True),
        ("deleted", ["deleted", "stopped"], False),
        ("stopped", ["stopped"], False),
    ],
)
def test_a_report_that_may_allow_a_table_change_is_recognized(asked: str, states: list[str], worth: bool) -> None:
    reports = {f"region-{number}": {"state": state} for number, state in enumerate(states)}
    assert may_complete_or_purge(wire.encode(item(desired_state=asked, region_status=reports))) is worth


def test_an_item_whose_status_is_not_a_map_allows_no_table_change() -> None:
    assert not may_complete_or_purge(wire.encode(item(region_status="gone")))
    assert not may_complete_or_purge(wire.encode(item(region_status={"us-east-1": "running"})))


def test_a_rejected_canary_does_not_hold_up_the_promotion() -> None:
    cluster, asked = running()
    asked = with_spec(asked, **CANARY)
    plan = cluster.plan(asked)
    assert {step.part for step in plan.steps} == {Part.CANARY}
    inputs = PlanInputs("chat", asked, Observed(cluster.objects), FleetState(), cluster.now, cluster.policy)
    rejected = {Part.CANARY: Cause(Reason.REJECTED, "no")}
    failed = plan_after_failures(plan, inputs, rejected)
    assert (failed.write_report, failed.table_change) == (True, None)
    written = reported(asked, failed, cluster.now)
    after = plan_after_failures(plan, replace(inputs, item=written), rejected)
    assert (after.write_report, after.table_change) == (False, TableChange.PROMOTE)
    main = plan_after_failures(plan, replace(inputs, item=written), {Part.MAIN: Cause(Reason.REJECTED, "no")})
    assert main.table_change is None
