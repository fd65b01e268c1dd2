"""Tests of the conditions that `endpoint wait` waits for."""

from typing import Any

import pytest

from gco_stream.cli.commands.endpoint.wait import WaitCondition, condition_met, progress_text
from gco_stream.model import wire
from tests.support.items import item, read

TWO = ["us-east-1", "eu-west-1"]


def reported(state: str, reports: dict[str, str], *, intent: str = "") -> Any:
    plain = item(desired_state=state, target_regions=TWO)
    intent = intent or wire.intent_of(wire.encode(plain))
    return read(
        {**plain, "region_status": {name: {"state": state, "intent": intent} for name, state in reports.items()}}
    )


@pytest.mark.parametrize("outcome", [WaitCondition.RUNNING, WaitCondition.STOPPED, WaitCondition.DELETED])
def test_a_state_is_reached_once_every_target_reports_it(outcome: WaitCondition) -> None:
    state = outcome.value
    assert condition_met(reported(state, {}), outcome) is None
    assert condition_met(reported(state, {"us-east-1": state}), outcome) is None
    assert condition_met(reported(state, {"us-east-1": state, "eu-west-1": "error"}), outcome) is None
    assert condition_met(reported(state, dict.fromkeys(TWO, state)), outcome) == state


def test_a_deploying_endpoint_that_runs_in_all_targets_is_running() -> None:
    assert condition_met(reported("deploying", dict.fromkeys(TWO, "running")), WaitCondition.RUNNING) == "running"


def test_a_report_for_an_older_spec_does_not_count() -> None:
    assert (
        condition_met(reported("running", dict.fromkeys(TWO, "running"), intent="1:before"), WaitCondition.RUNNING)
        is None
    )


@pytest.mark.parametrize(("state", "outcome"), [("running", WaitCondition.STOPPED), ("stopped", WaitCondition.RUNNING)])
def test_a_report_counts_only_if_the_state_is_desired(state: str, outcome: WaitCondition) -> None:
    plain = {name: {"state": outcome.value} for name in TWO}
    assert condition_met(read(item(desired_state=state, target_regions=TWO, region_status=plain)), outcome) is None


def test_a_missing_item_was_deleted() -> None:
    assert condition_met(None, WaitCondition.GONE) == condition_met(None, WaitCondition.DELETED) == "gone"
    assert condition_met(None, WaitCondition.RUNNING) is None
    assert condition_met(reported("deleted", dict.fromkeys(TWO, "deleted")), WaitCondition.GONE) is None


def test_an_error_of_any_region_is_an_error() -> None:
    assert condition_met(reported("running", {"us-east-1": "running"}), WaitCondition.ERROR) is None
    outcome = condition_met(reported("running", {"us-east-1": "running", "eu-west-1": "error"}), WaitCondition.ERROR)
    assert outcome is not None
    assert outcome.startswith("error in eu-west-1")


def test_the_summary_names_every_region() -> None:
    status = {"us-east-1": {"state": "updating", "replicas_ready": 1, "replicas_desired": 2, "error": "slow"}}
    found = read(item(target_regions=TWO, region_status=status))
    assert (
        progress_text(found)
        == "desired: deploying; eu-west-1: has not reported; us-east-1: updating, 1 of 2 ready: slow"
    )
