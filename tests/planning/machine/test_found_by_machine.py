"""Regression tests for bugs found by tests/planning/machine/test_lifecycle_machine.py."""

from datetime import timedelta

import pytest

from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint, RegionState
from gco_stream.model.objects import Kind, ObservedObject, Ownership, PodHealth
from gco_stream.planning.types.policy import Census, FleetState
from gco_stream.planning.types.steps import Annotate, Create, Delete
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, SimulatedCluster, reported, running, with_spec

MAIN, CANARYS, INGRESS = "chat", "chat-canary", "inference-chat"
LONG_AGO = "2020-01-01T00:00:00+00:00"
COUNTED = FleetState(census=Census(running=4, withdrawn=0))


def with_canary(**changes: object) -> dict[str, dict[str, object]]:
    return {"canary": {**CANARY["canary"], **changes}}


def serving_canary() -> tuple[SimulatedCluster, Endpoint]:
    cluster, asked = running(CANARY)
    assert names.CANARY_LABEL in cluster.get(Kind.INGRESS, INGRESS).labels
    return cluster, asked


def annotated(cluster: SimulatedCluster, name: str, value: str) -> ObservedObject:
    """Sets an annotation of the Ingress as another field manager."""
    ingress = cluster.get(Kind.INGRESS, INGRESS)
    return cluster.change(ingress.ref, annotations={**ingress.annotations, name: value})


def test_a_canary_scaled_to_zero_drains_before_its_pods_stop() -> None:
    cluster, asked = serving_canary()
    empty = with_spec(asked, **with_canary(replicas=0))
    plan = cluster.reconcile(empty)
    assert names.CANARY_LABEL not in cluster.get(Kind.INGRESS, INGRESS).labels
    assert cluster.get(Kind.DEPLOYMENT, CANARYS).spec["replicas"] == 1
    assert plan.requeue_after is not None
    cluster.wait(plan.requeue_after.after)
    cluster.reconcile(empty)
    assert cluster.get(Kind.DEPLOYMENT, CANARYS).spec["replicas"] == 0
    assert names.DRAINING_SINCE_ANNOTATION not in cluster.get(Kind.INGRESS, INGRESS).annotations


def test_a_restarted_canary_gets_no_traffic_from_its_readiness_before_the_stop() -> None:
    cluster, asked = serving_canary()
    cluster.reconcile(endpoint(spec=CANARY, desired_state="stopped"))
    assert cluster.get(Kind.DEPLOYMENT, CANARYS).spec["replicas"] == 0
    assert cluster.get(Kind.DEPLOYMENT, CANARYS).status["readyReplicas"] == 1
    for step in cluster.plan(asked).steps:
        cluster.execute(step)
    cluster.roll_out("chat")
    [made] = [step for step in cluster.plan(asked).steps if step.ref.kind is Kind.INGRESS]
    assert isinstance(made, Create)


def test_a_canary_set_to_weight_0_still_drains_when_removed_right_after() -> None:
    cluster, asked = serving_canary()
    cluster.reconcile(with_spec(asked, **with_canary(weight=0)))
    cluster.wait(1)
    removed = with_spec(asked)
    plan = cluster.reconcile(removed)
    assert cluster.find(Kind.DEPLOYMENT, CANARYS)
    assert plan.requeue_after is not None
    cluster.wait(plan.requeue_after.after)
    cluster.reconcile(removed)
    assert cluster.get(Kind.DEPLOYMENT, CANARYS).deleting


@pytest.mark.parametrize("edited", [LONG_AGO, "nonsense", "2036-01-01T00:00:00+00:00"])
def test_an_edited_drain_clock_neither_shortens_nor_prolongs_a_removal(edited: str) -> None:
    cluster, asked = serving_canary()
    annotated(cluster, names.DRAINING_SINCE_ANNOTATION, edited)
    removed = with_spec(asked)
    plan = cluster.reconcile(removed)
    assert not cluster.get(Kind.DEPLOYMENT, CANARYS).deleting
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == cluster.policy.canary_drain
    cluster.wait(cluster.policy.canary_drain)
    cluster.reconcile(removed)
    assert cluster.get(Kind.DEPLOYMENT, CANARYS).deleting


def test_a_canary_route_without_its_label_is_still_drained() -> None:
    cluster, asked = serving_canary()
    ingress = cluster.get(Kind.INGRESS, INGRESS)
    cluster.change(
        ingress.ref, labels={name: value for name, value in ingress.labels.items() if name != names.CANARY_LABEL}
    )
    assert not [step for step in cluster.plan(with_spec(asked)).steps if isinstance(step, Delete)]


@pytest.mark.parametrize("clock", [names.UNREADY_SINCE_ANNOTATION, names.DRAINING_SINCE_ANNOTATION])
def test_a_clock_set_by_another_manager_is_removed_before_it_expires(clock: str) -> None:
    cluster, asked = running()
    annotated(cluster, clock, LONG_AGO)
    plan = cluster.plan(asked)
    assert [type(step) for step in plan.steps] == [Annotate]
    cluster.reconcile(asked)
    assert cluster.get(Kind.INGRESS, INGRESS).annotations.get(clock) is None


def unready(cluster: SimulatedCluster) -> None:
    cluster.roll_out(ready=0)
    cluster.pods = (PodHealth("chat-1", containers_ready=False, ready=False, reason="it starts"),)


def test_the_ingress_of_a_recreated_item_gets_the_full_threshold() -> None:
    cluster, _ = running()
    cluster.wait(86_400)
    unready(cluster)
    again = endpoint(created_at=cluster.now.isoformat())
    plan = cluster.reconcile(again, COUNTED)
    assert cluster.find(Kind.INGRESS, INGRESS)
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == cluster.policy.unhealthy_threshold
    cluster.wait(plan.requeue_after.after)
    again = reported(again, plan, cluster.now)
    again = reported(again, cluster.reconcile(again, COUNTED), cluster.now)
    cluster.reconcile(again, COUNTED)
    assert not cluster.find(Kind.INGRESS, INGRESS)


@pytest.mark.parametrize("state", [RegionState.PENDING, RegionState.CREATING])
def test_an_endpoint_that_served_but_never_rolled_out_gets_the_full_threshold(state: RegionState) -> None:
    cluster, asked = running({"replicas": 3})
    entry = asked.region_status["us-east-1"].model_copy(update={"state": state, "replicas_ready": 1})
    asked = asked.model_copy(update={"region_status": {"us-east-1": entry}})
    cluster.now += timedelta(days=1)
    unready(cluster)
    cluster.reconcile(asked, COUNTED)
    assert cluster.find(Kind.INGRESS, INGRESS)


def test_an_unannotated_main_of_another_item_is_not_taken_for_a_canary() -> None:
    cluster, asked = running()
    cluster.reconcile(endpoint(CANARYS))
    for ref in [ref for ref in cluster.objects if ref.name == CANARYS]:
        cluster.change(ref, annotations={}, ownership=Ownership(applied=True))
    claimed = FleetState(names_claimed_by_others=frozenset({CANARYS}))
    plan = cluster.plan(with_spec(asked, **CANARY), claimed)
    assert not [step for step in plan.steps if step.ref.name == CANARYS]
    assert plan.report is not None
    assert CANARYS in plan.report.error
