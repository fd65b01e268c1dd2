"""Endpoints that are stopped, held, removed and recreated, also while their old objects are still terminating."""

from typing import Any

import pytest

from gco_stream.model.item.endpoint import Endpoint, RegionState, RegionStatus
from gco_stream.model.objects import Kind, ObjectRef, PodHealth
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.policy import Census, FleetState
from gco_stream.planning.types.steps import Step
from tests.support.items import REGION, endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, running, with_spec

DEPLOYMENT = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
NEXT_IMAGE = "registry.example/serve:2.0"


def written(before: Endpoint, state: str, **attributes: Any) -> Endpoint:
    """The endpoint with this state as the last report of the region."""
    entry = RegionStatus(state=RegionState(state), epoch=1, intent=before.intent)
    return before.model_copy(
        update={"region_status": {REGION: entry}, "reported_regions": frozenset({REGION}), **attributes}
    )


def state_of(plan: Plan) -> str:
    assert plan.report is not None
    return str(plan.report.state)


def words(steps: tuple[Step, ...]) -> list[str]:
    return [str(step).partition(":")[0] for step in steps]


@pytest.mark.parametrize(
    ("last", "serving", "state"),
    [
        ("stopped", 0, "creating"),
        ("deleted", 0, "creating"),
        ("deleting", 0, "creating"),
        ("stopping", 0, "creating"),
        ("stopping", 1, "updating"),
        ("error", 1, "updating"),
        ("running", 1, "updating"),
        ("pending", 0, "creating"),
        ("pending", 1, "updating"),
    ],
)
def test_a_pending_rollout_is_updating_only_if_something_serves_or_ran(last: str, serving: int, state: str) -> None:
    cluster, asked = running({"replicas": 2})
    changed = written(with_spec(asked, replicas=2, image=NEXT_IMAGE), last)
    for step in cluster.plan(changed).steps:
        cluster.execute(step)
    cluster.roll_out(ready=serving)
    cluster.reconcile(changed)
    assert state_of(cluster.plan(changed)) == state


@pytest.mark.parametrize("still_serving", [0, 1])
def test_no_traffic_is_routed_to_a_terminating_deployment(still_serving: int) -> None:
    cluster, asked = running()
    for step in cluster.plan(endpoint(desired_state="deleted")).steps:
        cluster.execute(step)
    cluster.roll_out(ready=still_serving)
    going = cluster.objects[DEPLOYMENT]
    assert going.deleting
    cluster.change(DEPLOYMENT, status={**going.status, "readyReplicas": still_serving})
    again = written(asked, "deleting")
    assert words(cluster.plan(again).steps) == [f"create Service {NAMESPACE}/chat"]
    cluster.reconcile(again)
    cluster.pods = (PodHealth("chat-1", containers_ready=False, ready=False),)
    plan = cluster.plan(again, FleetState(census=Census(running=5, withdrawn=0)))
    assert plan.report is not None
    assert (words(plan.steps), state_of(plan), plan.report.error) == ([], "creating", "")
    cluster.collect()
    assert words(cluster.plan(again).steps) == [f"create Deployment {NAMESPACE}/chat"]


@pytest.mark.parametrize(
    ("asked_now", "would"),
    [
        ({"desired_state": "stopped"}, "delete Ingress"),
        ({"desired_state": "deleted"}, "delete Ingress"),
        ({"target_regions": ["eu-west-1"]}, "delete Ingress"),
        ({"spec": {**CANARY, "replicas": 5}}, "apply Deployment"),
    ],
    ids=["stop", "delete", "leave", "change"],
)
def test_a_hold_overrides_any_desired_state_and_shows_what_would_be_done(asked_now: dict[str, Any], would: str) -> None:
    cluster, asked = running(CANARY)
    cluster.reconcile(asked)
    changed = endpoint(**{"spec": CANARY, **asked_now}).model_copy(
        update={"hold": "incident 12", "region_status": asked.region_status, "reported_regions": asked.reported_regions}
    )
    plan = cluster.plan(changed)
    assert (plan.steps, plan.table_change) == ((), None)
    assert plan.report is not None
    assert (plan.report.state, plan.report.error) == (RegionState.PENDING, "held: incident 12")
    assert str(plan.withheld[0]).startswith(would)


def test_a_stopped_canary_has_no_pods_and_restarts_with_its_count() -> None:
    spec = {"canary": {**CANARY["canary"], "replicas": 3}}
    cluster, _ = running(spec)
    cluster.reconcile(endpoint(spec=spec, desired_state="stopped"))
    counts = {ref.name: obj.spec["replicas"] for ref, obj in cluster.objects.items() if ref.kind is Kind.DEPLOYMENT}
    assert counts == {"chat": 0, "chat-canary": 0}
    cluster.reconcile(endpoint(spec=spec))
    counts = {ref.name: obj.spec["replicas"] for ref, obj in cluster.objects.items() if ref.kind is Kind.DEPLOYMENT}
    assert counts == {"chat": 1, "chat-canary": 3}


def test_an_endpoint_is_stopped_only_once_the_canarys_pods_are_gone_too() -> None:
    cluster, _ = running(CANARY)
    stopping = endpoint(spec=CANARY, desired_state="stopped")
    cluster.reconcile(stopping)
    cluster.roll_out("chat")
    assert state_of(cluster.plan(stopping)) == "stopping"
    cluster.roll_out()
    assert state_of(cluster.plan(stopping)) == "stopped"
