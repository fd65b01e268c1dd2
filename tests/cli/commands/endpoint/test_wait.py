"""When what is waited for has come."""

from typing import Any

import pytest

from gco_stream.cli.commands.endpoint.wait import WaitCondition, condition_met, progress_text
from gco_stream.model import wire
from tests.support.items import item, read

TWO = ["us-east-1", "eu-west-1"]


def asked(state: str, reports: dict[str, str], *, intent: str = "") -> Any:
    plain = item(desired_state=state, target_regions=TWO)
    intent = intent or wire.intent_of(wire.encode(plain))
    return read({**plain, "region_status": {name: {"state": told, "intent": intent} for name, told in reports.items()}})


@pytest.mark.parametrize("outcome", [WaitCondition.RUNNING, WaitCondition.STOPPED, WaitCondition.DELETED])
def test_it_has_come_once_every_target_says_so(outcome: WaitCondition) -> None:
    state = outcome.value
    assert condition_met(asked(state, {}), outcome) is None
    assert condition_met(asked(state, {"us-east-1": state}), outcome) is None
    assert condition_met(asked(state, {"us-east-1": state, "eu-west-1": "error"}), outcome) is None
    assert condition_met(asked(state, dict.fromkeys(TWO, state)), outcome) == state


def test_a_deploying_endpoint_that_runs_everywhere_is_running() -> None:
    assert condition_met(asked("deploying", dict.fromkeys(TWO, "running")), WaitCondition.RUNNING) == "running"


def test_a_report_on_a_former_request_does_not_count() -> None:
    assert (
        condition_met(asked("running", dict.fromkeys(TWO, "running"), intent="1:before"), WaitCondition.RUNNING) is None
    )


@pytest.mark.parametrize(("state", "outcome"), [("running", WaitCondition.STOPPED), ("stopped", WaitCondition.RUNNING)])
def test_a_report_counts_only_where_that_is_asked(state: str, outcome: WaitCondition) -> None:
    plain = {name: {"state": outcome.value} for name in TWO}
    assert condition_met(read(item(desired_state=state, target_regions=TWO, region_status=plain)), outcome) is None


def test_an_item_that_is_gone_was_deleted() -> None:
    assert condition_met(None, WaitCondition.GONE) == condition_met(None, WaitCondition.DELETED) == "gone"
    assert condition_met(None, WaitCondition.RUNNING) is None
    assert condition_met(asked("deleted", dict.fromkeys(TWO, "deleted")), WaitCondition.GONE) is None


def test_an_error_of_any_region_is_an_error() -> None:
    assert condition_met(asked("running", {"us-east-1": "running"}), WaitCondition.ERROR) is None
    told = condition_met(asked("running", {"us-east-1": "running", "eu-west-1": "error"}), WaitCondition.ERROR)
    assert told is not None
    assert told.startswith("error in eu-west-1")


def test_the_situation_names_every_region() -> None:
    status = {"us-east-1": {"state": "updating", "replicas_ready": 1, "replicas_desired": 2, "error": "slow"}}
    found = read(item(target_regions=TWO, region_status=status))
    assert progress_text(found) == "asked: deploying, eu-west-1: has not reported, us-east-1: updating 1/2 (slow)"
