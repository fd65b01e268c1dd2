from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.planning.types.steps import Create, Delete, Part
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, START, SimulatedCluster, running, with_spec

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
CANARYS = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary")
PODS = "foregroundDeletion"


def terminate(cluster: SimulatedCluster, ref: ObjectRef, *finalizers: str, since: str = START.isoformat()) -> None:
    cluster.change(ref, deleting=True, deleting_since=since, finalizers=finalizers)


def deletions(steps: Sequence[Any]) -> list[Delete]:
    return [step for step in steps if isinstance(step, Delete)]


def test_a_deployment_to_recreate_is_waited_for_at_most_30_seconds() -> None:
    cluster, asked = running()
    terminate(cluster, MAIN, PODS)
    cluster.wait(29)
    plan = cluster.plan(asked)
    assert deletions(plan.steps) == []
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == 1
    cluster.wait(1)
    (again,) = deletions(cluster.plan(asked).steps)
    assert (again.ref, again.uid, again.background) == (MAIN, cluster.objects[MAIN].uid, True)
    assert not again.spends_budget
    assert again.event is not None
    del cluster.objects[MAIN]
    assert any(isinstance(step, Create) and step.ref == MAIN for step in cluster.plan(asked).steps)


def test_a_canarys_deployment_to_recreate_is_waited_for_at_most_30_seconds() -> None:
    cluster, asked = running(CANARY)
    terminate(cluster, CANARYS, PODS)
    cluster.wait(31)
    (again,) = deletions(cluster.plan(asked).steps)
    assert (again.ref, again.background, again.part) == (CANARYS, True, Part.CANARY)
    without = with_spec(asked)
    assert [step for step in deletions(cluster.plan(without).steps) if step.ref == CANARYS] == []


@pytest.mark.parametrize("state", ["stopped", "deleted"])
def test_a_stuck_deletion_is_only_reported_if_nothing_is_recreated(state: str) -> None:
    cluster, _ = running()
    asked = endpoint(desired_state=state)
    cluster.reconcile(asked)
    terminate(cluster, MAIN, PODS)
    soon = cluster.plan(asked)
    assert soon.requeue_after is not None
    assert soon.requeue_after.after == 30
    assert soon.report is not None
    assert soon.report.error == ""
    cluster.wait(30)
    plan = cluster.plan(asked)
    assert plan.steps == ()
    assert plan.report is not None
    assert plan.report.state is {"deleted": RegionState.DELETING, "stopped": RegionState.STOPPING}[state]
    assert plan.report.error == f"{MAIN} is terminating and waits for its pods to terminate"


def test_other_finalizers_are_reported_without_a_time_and_never_touched() -> None:
    cluster, asked = running()
    terminate(cluster, MAIN, "example.com/b", PODS, "example.com/a")
    cluster.wait(60)
    (again,) = deletions(cluster.plan(asked).steps)
    terminate(cluster, MAIN, "example.com/b", "example.com/a")
    plan = cluster.plan(asked)
    assert again.background
    assert deletions(plan.steps) == []
    assert plan.report is not None
    assert plan.report.error == f"{MAIN} is terminating and waits for the finalizers example.com/a, example.com/b"
    cluster.wait(86_400)
    assert cluster.plan(asked).report == plan.report


@pytest.mark.parametrize(
    "ref", [ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat"), ObjectRef(Kind.SERVICE, NAMESPACE, "chat")]
)
def test_a_stuck_deletion_of_any_kind_is_reported_and_blocks_nothing_else(ref: ObjectRef) -> None:
    cluster, asked = running()
    terminate(cluster, ref, "elbv2.k8s.aws/resources")
    cluster.wait(31)
    plan = cluster.plan(with_spec(asked, image="registry.example/serve:2.0"))
    assert [step.ref for step in plan.steps] == [MAIN]
    assert plan.report is not None
    assert f"{ref} is terminating and waits for the finalizer elbv2.k8s.aws/resources" in plan.report.error


def test_a_stuck_deletion_is_reported_when_the_endpoint_leaves_the_region() -> None:
    cluster, _ = running()
    asked = endpoint(target_regions=["eu-west-1"])
    cluster.reconcile(asked)
    terminate(cluster, MAIN, PODS, "example.com/hold")
    cluster.wait(31)
    plan = cluster.plan(asked)
    assert plan.steps == ()
    waits = "its pods to terminate and the finalizer example.com/hold"
    assert str(plan.report) == f"deleting, 0 of 0 ready: {MAIN} is terminating and waits for {waits}"


def test_a_deletion_without_a_valid_time_counts_as_long_past() -> None:
    cluster, asked = running()
    terminate(cluster, MAIN, PODS, since="")
    assert len(deletions(cluster.plan(asked).steps)) == 1


def test_a_terminating_object_of_another_owner_is_left_unchanged() -> None:
    cluster, asked = running()
    terminate(cluster, MAIN, PODS)
    cluster.change(MAIN, annotations={"gco.io/endpoint": "another"})
    cluster.now += timedelta(minutes=5)
    plan = cluster.plan(asked)
    assert deletions(plan.steps) == []
    assert plan.report is not None
    assert "belongs to the endpoint another" in plan.report.error
