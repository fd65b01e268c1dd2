from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from gco_stream.model.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.planning.types.plan import Create, Delete, Part
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, START, SimulatedCluster, running, with_spec

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
CANARYS = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary")
PODS = "foregroundDeletion"


def going(cluster: SimulatedCluster, ref: ObjectRef, *finalizers: str, since: str = START.isoformat()) -> None:
    cluster.change(ref, deleting=True, deleting_since=since, finalizers=finalizers)


def deletions(steps: Sequence[Any]) -> list[Delete]:
    return [step for step in steps if isinstance(step, Delete)]


def test_a_deployment_that_is_to_be_made_anew_is_waited_for_at_most_30_seconds() -> None:
    cluster, asked = running()
    going(cluster, MAIN, PODS)
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


def test_so_is_a_canarys_deployment_as_long_as_there_is_to_be_a_canary() -> None:
    cluster, asked = running(CANARY)
    going(cluster, CANARYS, PODS)
    cluster.wait(31)
    (again,) = deletions(cluster.plan(asked).steps)
    assert (again.ref, again.background, again.part) == (CANARYS, True, Part.CANARY)
    without = with_spec(asked)
    assert [step for step in deletions(cluster.plan(without).steps) if step.ref == CANARYS] == []


@pytest.mark.parametrize("state", ["stopped", "deleted"])
def test_where_nothing_is_to_be_made_anew_it_is_only_waited_for_and_said(state: str) -> None:
    cluster, _ = running()
    asked = endpoint(desired_state=state)
    cluster.reconcile(asked)
    going(cluster, MAIN, PODS)
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
    assert plan.report.error == f"{MAIN} is terminating and waits for its pods to end"


def test_finalizers_of_others_are_named_without_a_time_and_never_touched() -> None:
    cluster, asked = running()
    going(cluster, MAIN, "example.com/b", PODS, "example.com/a")
    cluster.wait(60)
    (again,) = deletions(cluster.plan(asked).steps)
    going(cluster, MAIN, "example.com/b", "example.com/a")
    plan = cluster.plan(asked)
    assert again.background
    assert deletions(plan.steps) == []
    assert plan.report is not None
    assert plan.report.error == f"{MAIN} is terminating and waits for finalizers example.com/a, example.com/b"
    cluster.wait(86_400)
    assert cluster.plan(asked).report == plan.report


@pytest.mark.parametrize(
    "ref", [ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat"), ObjectRef(Kind.SERVICE, NAMESPACE, "chat")]
)
def test_a_hanging_object_of_any_kind_is_told_of_and_the_others_go_on(ref: ObjectRef) -> None:
    cluster, asked = running()
    going(cluster, ref, "elbv2.k8s.aws/resources")
    cluster.wait(31)
    plan = cluster.plan(with_spec(asked, image="registry.example/serve:2.0"))
    assert [step.ref for step in plan.steps] == [MAIN]
    assert plan.report is not None
    assert f"{ref} is terminating and waits for the finalizer elbv2.k8s.aws/resources" in plan.report.error


def test_leaving_the_region_waits_and_says_so_too() -> None:
    cluster, _ = running()
    asked = endpoint(target_regions=["eu-west-1"])
    cluster.reconcile(asked)
    going(cluster, MAIN, PODS, "example.com/hold")
    cluster.wait(31)
    plan = cluster.plan(asked)
    assert plan.steps == ()
    waits = "its pods to end and the finalizer example.com/hold"
    assert str(plan.report) == f"deleting, 0 of 0 ready: {MAIN} is terminating and waits for {waits}"


def test_a_deletion_without_a_time_that_can_be_read_counts_as_long_past() -> None:
    cluster, asked = running()
    going(cluster, MAIN, PODS, since="")
    assert len(deletions(cluster.plan(asked).steps)) == 1


def test_what_is_terminating_and_not_ours_is_nobodys_business_here() -> None:
    cluster, asked = running()
    going(cluster, MAIN, PODS)
    cluster.change(MAIN, annotations={"gco.io/endpoint": "another"})
    cluster.now += timedelta(minutes=5)
    plan = cluster.plan(asked)
    assert deletions(plan.steps) == []
    assert "belongs to the endpoint another" in plan.report.error  # type: ignore[union-attr]
