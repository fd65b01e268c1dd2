from typing import Any

import pytest

from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Reason
from tests.support.items import endpoint
from tests.support.simulated_cluster import NAMESPACE, SimulatedCluster

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
QUOTA = "exceeded quota: small, requested: pods=1, used: pods={used}, limited: pods=3"
STALLED = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def rejected(message: str) -> dict[str, str]:
    return {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}


def reported(*conditions: dict[str, str], ref: ObjectRef = MAIN, ready: int = 0) -> tuple[Any, ...]:
    """The state, reason and error that the region reports while a Deployment has these conditions."""
    cluster, asked = (
        SimulatedCluster(),
        endpoint(spec={"canary": {"image": "registry.example/serve:2.0", "weight": 20}}),
    )
    cluster.reconcile(asked)
    cluster.roll_out()
    cluster.reconcile(asked)
    cluster.roll_out(ref.name, ready=ready)
    status = cluster.objects[ref].status
    cluster.change(ref, status={**status, "conditions": list(conditions)})
    cluster.reconcile(asked)
    report = cluster.plan(asked).report
    assert report is not None
    return report.state, report.reason, report.error


def test_pods_that_cannot_be_created_are_reported() -> None:
    message = f'pods "chat-6f7d8-x2x4z" is forbidden: {QUOTA.format(used=3)}'
    state, reason, error = reported(rejected(message))
    assert (state, reason) == (RegionState.CREATING, Reason.PODS_REJECTED)
    assert error == f"{MAIN}: its pods cannot be created: exceeded quota: small, requested: pods=1"


@pytest.mark.parametrize("other", ['pods "chat-6f7d8-abcde" is forbidden: ', 'pods "chat-99999-x2x4z" is forbidden: '])
def test_the_report_does_not_change_with_each_attempt(other: str) -> None:
    first = reported(rejected(f'pods "chat-6f7d8-x2x4z" is forbidden: {QUOTA.format(used=3)}'))
    assert reported(rejected(other + QUOTA.format(used=2))) == first


def test_a_rejection_without_a_message_has_the_conditions_reason() -> None:
    assert reported(rejected(""))[2].endswith("cannot be created: FailedCreate")


def test_a_rollout_without_progress_is_reported_without_changing_the_state() -> None:
    state, reason, error = reported(STALLED)
    assert (state, reason) == (RegionState.CREATING, Reason.ROLLOUT_STALLED)
    assert error == f"{MAIN}: its rollout has not progressed for 600 s; its pods are not ready"


def test_a_canary_that_does_not_advance_is_reported() -> None:
    canary = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary")
    state, reason, error = reported(STALLED, ref=canary)
    assert (state, reason) == (RegionState.RUNNING, Reason.ROLLOUT_STALLED)
    assert error.startswith(str(canary))


@pytest.mark.parametrize(
    ("condition", "ready"),
    [
        ({**STALLED, "status": "True"}, 0),
        ({**STALLED, "status": "Unknown"}, 0),
        ({**rejected("x"), "status": "False"}, 0),
        # The pods are all ready; the conditions are about to be removed.
        (STALLED, 1),
        (rejected("x"), 1),
    ],
)
def test_other_conditions_are_not_reported(condition: dict[str, str], ready: int) -> None:
    assert reported(condition, ready=ready)[1:] == (None, "")
