"""When what is waited for has come."""

from typing import Any

import pytest

from gco_stream.cli.commands.endpoint.wait import Outcome, has_come, situation
from gco_stream.model import wire
from tests.support.items import item, read

TWO = ["us-east-1", "eu-west-1"]


def asked(state: str, reports: dict[str, str], *, intent: str = "") -> Any:
    plain = item(desired_state=state, target_regions=TWO)
    intent = intent or wire.intent_of(wire.encode(plain))
    return read({**plain, "region_status": {name: {"state": told, "intent": intent} for name, told in reports.items()}})


@pytest.mark.parametrize("outcome", [Outcome.RUNNING, Outcome.STOPPED, Outcome.DELETED])
def test_it_has_come_once_every_target_says_so(outcome: Outcome) -> None:
    state = outcome.value
    assert has_come(asked(state, {}), outcome) is None
    assert has_come(asked(state, {"us-east-1": state}), outcome) is None
    assert has_come(asked(state, {"us-east-1": state, "eu-west-1": "error"}), outcome) is None
    assert has_come(asked(state, dict.fromkeys(TWO, state)), outcome) == state


def test_a_deploying_endpoint_that_runs_everywhere_is_running() -> None:
    assert has_come(asked("deploying", dict.fromkeys(TWO, "running")), Outcome.RUNNING) == "running"


def test_a_report_on_a_former_request_does_not_count() -> None:
    assert has_come(asked("running", dict.fromkeys(TWO, "running"), intent="1:before"), Outcome.RUNNING) is None


@pytest.mark.parametrize(("state", "outcome"), [("running", Outcome.STOPPED), ("stopped", Outcome.RUNNING)])
def test_a_report_counts_only_where_that_is_asked(state: str, outcome: Outcome) -> None:
    plain = {name: {"state": outcome.value} for name in TWO}
    assert has_come(read(item(desired_state=state, target_regions=TWO, region_status=plain)), outcome) is None


def test_an_item_that_is_gone_was_deleted() -> None:
    assert has_come(None, Outcome.GONE) == has_come(None, Outcome.DELETED) == "gone"
    assert has_come(None, Outcome.RUNNING) is None
    assert has_come(asked("deleted", dict.fromkeys(TWO, "deleted")), Outcome.GONE) is None


def test_an_error_of_any_region_is_an_error() -> None:
    assert has_come(asked("running", {"us-east-1": "running"}), Outcome.ERROR) is None
    told = has_come(asked("running", {"us-east-1": "running", "eu-west-1": "error"}), Outcome.ERROR)
    assert told is not None
    assert told.startswith("error in eu-west-1")


def test_the_situation_names_every_region() -> None:
    status = {"us-east-1": {"state": "updating", "replicas_ready": 1, "replicas_desired": 2, "error": "slow"}}
    found = read(item(target_regions=TWO, region_status=status))
    assert situation(found) == "asked: deploying, eu-west-1: has not reported, us-east-1: updating 1/2 (slow)"
