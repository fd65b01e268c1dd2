"""The health watchdog: when an Ingress is withdrawn, and what restores it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gco_stream.model import names
from gco_stream.model.item.endpoint import DesiredState, Endpoint, RegionState
from gco_stream.model.objects import Kind, ObjectRef, PodHealth
from gco_stream.model.reasons import Reason
from gco_stream.planning.types.decision import FleetLimit, MissingInput
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.policy import Census, FleetState
from gco_stream.planning.types.steps import Apply, Create, Delete
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SimulatedCluster, reported, running

THRESHOLD = POLICY.unhealthy_threshold
ALONE = FleetState(census=Census(running=1, withdrawn=0))
DOWN = PodHealth("chat-1", containers_ready=False, ready=False, reason="CrashLoopBackOff")
GATED = PodHealth("chat-1", containers_ready=True, ready=False, reason="gate", gated=True, has_gates=True)
GATED_DOWN = replace(DOWN, has_gates=True)
DEPLOYMENT = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
INGRESS = "inference-chat"


def ill(spec: dict[str, Any] | None = None, ready: int = 0) -> tuple[SimulatedCluster, Endpoint]:
    """An endpoint that ran and now has this many ready replicas."""
    cluster, asked = running(spec)
    cluster.roll_out("chat", ready=ready)
    return cluster, asked


def seen(cluster: SimulatedCluster, asked: Endpoint) -> Endpoint:
    """Reconciles once more and writes the report."""
    plan = cluster.reconcile(asked)
    return reported(asked, plan, cluster.now)


def clock(cluster: SimulatedCluster) -> str | None:
    return cluster.get(Kind.INGRESS, INGRESS).annotations.get(names.UNREADY_SINCE_ANNOTATION)


def withdrawn(spec: dict[str, Any] | None = None, pods: PodHealth = DOWN) -> tuple[SimulatedCluster, Endpoint]:
    """An endpoint with a withdrawn Ingress, and its item with that status."""
    cluster, asked = ill(spec)
    asked = seen(cluster, asked)
    cluster.wait(THRESHOLD)
    cluster.pods = (pods,)
    asked = reported(asked, cluster.reconcile(asked, ALONE), cluster.now)
    assert cluster.find(Kind.INGRESS, INGRESS) is None
    return cluster, asked


def test_the_clock_runs_while_no_replica_is_ready() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    assert clock(cluster) == cluster.now.isoformat()
    cluster.wait(THRESHOLD - 1)
    cluster.roll_out()
    seen(cluster, asked)
    assert clock(cluster) is None


def test_an_ingress_is_withdrawn_when_no_replica_was_ready_for_the_threshold() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    cluster.wait(THRESHOLD - 1)
    plan = cluster.plan(asked)
    assert not plan.steps
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == pytest.approx(1)
    cluster.wait(1)
    assert cluster.plan(asked).missing_inputs == {MissingInput.PODS, MissingInput.CENSUS}
    cluster.pods = (DOWN,)
    plan = cluster.plan(asked, ALONE)
    [step] = plan.steps
    assert isinstance(step, Delete)
    assert step.ref.kind is Kind.INGRESS
    assert step.withdraws
    assert step.event is not None
    assert (step.event.reason, step.event.warning) == ("IngressWithdrawn", True)


def test_only_the_ingress_is_deleted_and_the_region_reports_the_error() -> None:
    cluster, asked = withdrawn()
    plan = cluster.plan(asked, ALONE)
    assert cluster.find(Kind.DEPLOYMENT, "chat") is not None
    assert cluster.find(Kind.SERVICE, "chat") is not None
    assert plan.report is not None
    assert plan.report.state is RegionState.ERROR
    assert plan.report.reason is Reason.INGRESS_WITHDRAWN
    assert not plan.write_report


def test_a_threshold_of_zero_withdraws_an_ingress_without_a_ready_replica_at_once() -> None:
    cluster, asked = ill()
    cluster.policy = replace(POLICY, unhealthy_threshold=0)
    cluster.pods = (replace(DOWN, containers_ready=True),)
    cluster.reconcile(asked, ALONE)
    assert cluster.find(Kind.INGRESS, INGRESS) is not None
    cluster.pods = (DOWN,)
    cluster.reconcile(asked, ALONE)
    assert cluster.find(Kind.INGRESS, INGRESS) is None


def test_the_clock_survives_restarts_and_replaced_pods() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    started = clock(cluster)
    cluster.wait(THRESHOLD / 2)
    status = {**cluster.objects[DEPLOYMENT].status, "replicas": 2, "updatedReplicas": 1}
    cluster.change(DEPLOYMENT, status=status)
    seen(cluster, asked)
    assert clock(cluster) == started


def test_one_ready_replica_of_four_is_enough() -> None:
    cluster, asked = ill({"replicas": 4}, ready=1)
    asked = seen(cluster, asked)
    cluster.wait(10 * THRESHOLD)
    plan = cluster.plan(asked)
    assert (plan.steps, plan.missing_inputs, clock(cluster)) == ((), frozenset(), None)


def never_ready() -> tuple[SimulatedCluster, Endpoint]:
    """An endpoint with an Ingress that never had a ready replica, as GCO's monitor leaves it."""
    cluster, asked = running()
    entry = asked.region_status[POLICY.region].model_copy(update={"state": RegionState.CREATING})
    asked = asked.model_copy(update={"region_status": {POLICY.region: entry}})
    cluster.roll_out(ready=0)
    return cluster, asked


def test_the_ingress_of_an_endpoint_that_never_ran_gets_the_full_threshold() -> None:
    cluster, asked = never_ready()
    cluster.wait(10 * THRESHOLD)
    asked = seen(cluster, asked)
    assert clock(cluster) == cluster.now.isoformat()
    cluster.wait(THRESHOLD - 1)
    plan = cluster.plan(asked)
    assert (plan.steps, plan.missing_inputs) == ((), frozenset())
    cluster.wait(1)
    assert cluster.plan(asked).missing_inputs


def test_the_withdrawal_of_an_endpoint_that_never_ran_is_reported_first() -> None:
    cluster, asked = never_ready()
    asked = seen(cluster, asked)
    cluster.wait(THRESHOLD)
    cluster.pods = (DOWN,)
    plan = cluster.plan(asked, ALONE)
    assert plan.report is not None
    assert plan.report.reason is Reason.INGRESS_WITHDRAWN
    assert (plan.write_report, plan.report_first) == (True, True)
    asked = reported(asked, plan, cluster.now)
    assert not cluster.plan(asked, ALONE).report_first
    cluster.reconcile(asked, ALONE)
    assert cluster.find(Kind.INGRESS, INGRESS) is None
    plan = cluster.plan(asked, ALONE)
    assert plan.in_sync
    assert plan.report is not None
    assert (plan.report.state, plan.report.reason) == (RegionState.ERROR, Reason.INGRESS_WITHDRAWN)


def test_the_withdrawal_of_an_endpoint_that_ran_does_not_wait_for_the_table() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    cluster.wait(THRESHOLD)
    cluster.pods = (DOWN,)
    plan = cluster.plan(asked, ALONE)
    assert (plan.write_report, plan.report_first) == (True, False)


def test_no_pods_are_listed_for_a_deployment_that_has_none() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    cluster.reconcile(asked)
    assert cluster.plan(asked).missing_inputs == frozenset()
    cluster.roll_out(ready=0)
    assert cluster.plan(asked).missing_inputs == {MissingInput.PODS}


AFTER = {
    "a hold": lambda asked: asked.model_copy(update={"hold": "benchmark"}),
    "an invalid spec": lambda asked: asked.model_copy(update={"spec": None}),
    "a stop": lambda asked: asked.model_copy(update={"desired_state": DesiredState.STOPPED}),
}


@pytest.mark.parametrize("what", AFTER)
def test_a_withdrawn_ingress_is_not_recreated_before_a_pod_is_ready(what: str) -> None:
    cluster, asked = withdrawn()
    meanwhile = seen(cluster, AFTER[what](asked))
    again = asked.model_copy(update={"region_status": meanwhile.region_status})
    for _ in range(3):
        again = seen(cluster, again)
        cluster.roll_out("chat", ready=0)
        cluster.wait(THRESHOLD)
        assert cluster.find(Kind.INGRESS, INGRESS) is None
    cluster.pods = (GATED,)
    assert [(type(step), step.ref.kind) for step in cluster.plan(again).steps] == [(Create, Kind.INGRESS)]


def test_a_report_of_the_previous_release_counts_as_withdrawn() -> None:
    cluster, asked = withdrawn()
    before = {"state": "error", "error": "no replica is ready, and the Ingress is away until one is"}
    asked = endpoint(region_status={POLICY.region: {**before, "last_sync": "", "epoch": 1}})
    plan = cluster.plan(asked, ALONE)
    assert not plan.steps
    assert plan.report is not None
    assert (plan.report.state, plan.report.reason) == (RegionState.ERROR, Reason.INGRESS_WITHDRAWN)
    cluster.roll_out()
    [step] = cluster.plan(asked).steps
    assert isinstance(step, Create)
    assert step.event is not None
    assert step.event.reason == "IngressRestored"


def test_the_ingress_of_a_deployment_that_cannot_be_created_stays_withdrawn() -> None:
    cluster, asked = running()
    del cluster.objects[DEPLOYMENT]
    plan = cluster.plan(asked)
    assert plan.report is not None
    asked = reported(asked, replace(plan, report=replace(plan.report, state=RegionState.ERROR)), cluster.now)
    cluster.pods = ()
    for _ in range(3):
        cluster.wait(THRESHOLD)
        plan = cluster.plan(asked, ALONE)
        for step in plan.steps:
            if step.ref.kind is not Kind.DEPLOYMENT:
                cluster.execute(step)
        plan = cluster.plan(asked, ALONE)
        assert plan.report is not None
        asked = reported(asked, replace(plan, report=replace(plan.report, state=RegionState.ERROR)), cluster.now)
    assert cluster.find(Kind.INGRESS, INGRESS) is None
    assert [step.ref.kind for step in cluster.plan(asked, ALONE).steps] == [Kind.DEPLOYMENT]


def test_a_ready_replica_restores_the_ingress() -> None:
    cluster, asked = withdrawn()
    cluster.pods = None
    cluster.roll_out()
    plan = cluster.plan(asked)
    [step] = plan.steps
    assert isinstance(step, Create)
    assert step.event is not None
    assert (step.event.reason, step.event.warning) == ("IngressRestored", False)
    plan = cluster.reconcile(asked)
    assert plan.report is not None
    assert (plan.report.state, plan.report.error) == (RegionState.RUNNING, "")


def test_ready_containers_restore_the_ingress_despite_an_unmet_readiness_gate() -> None:
    cluster, asked = withdrawn(pods=GATED_DOWN)
    cluster.pods = (GATED_DOWN, GATED)
    plan = cluster.plan(asked)
    assert [(type(step), step.ref.kind) for step in plan.steps] == [(Create, Kind.INGRESS)]


def test_pods_with_readiness_gates_are_checked_every_15_s_after_a_withdrawal() -> None:
    cluster, asked = withdrawn(pods=GATED_DOWN)
    plan = cluster.plan(asked)
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == 15
    cluster.pods = (DOWN,)
    plan = cluster.plan(asked)
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == 60


def test_a_restored_ingress_gets_the_full_threshold_again() -> None:
    cluster, asked = withdrawn(pods=GATED_DOWN)
    cluster.pods = (GATED,)
    asked = reported(asked, cluster.reconcile(asked, ALONE), cluster.now)
    assert clock(cluster) is None or clock(cluster) == cluster.now.isoformat()
    cluster.wait(THRESHOLD - 1)
    assert cluster.find(Kind.INGRESS, INGRESS) is not None
    assert not cluster.plan(asked, ALONE).steps


def test_pods_that_only_the_load_balancer_finds_unhealthy_keep_their_ingress() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    cluster.wait(THRESHOLD)
    cluster.pods = (GATED,)
    plan = cluster.plan(asked, ALONE)
    assert not plan.steps
    assert plan.report is not None
    assert plan.report.state is RegionState.ERROR
    assert "load balancer" in plan.report.error


@pytest.mark.parametrize(
    ("running_ones", "away", "goes"),
    [
        (1, 0, True),
        (1, 1, False),
        (2, 0, True),
        (2, 1, False),
        (3, 1, False),
        (4, 1, True),
        (10, 4, True),
        (10, 5, False),
    ],
)
def test_at_most_half_of_the_running_endpoints_and_at_least_one_are_withdrawn(
    running_ones: int, away: int, goes: bool
) -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    cluster.wait(THRESHOLD)
    cluster.pods = (DOWN,)
    plan = cluster.plan(asked, FleetState(census=Census(running_ones, away)))
    assert bool(plan.steps) is goes
    assert plan.limited_by is (None if goes else FleetLimit.WITHDRAWAL)
    assert bool(plan.warnings) is not goes
    assert plan.report is not None
    assert plan.report.state is RegionState.ERROR


def test_a_refused_withdrawal_is_requeued() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    cluster.wait(THRESHOLD)
    cluster.pods = (DOWN,)
    plan = cluster.plan(asked, FleetState(census=Census(4, 2)))
    assert plan.requeue_after is not None
    assert 0 < plan.requeue_after.after <= 60


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-40T00:00:00+00:00", "2026-11-21T09:00:00"])
def test_an_invalid_clock_is_restarted(text: str) -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    ref = ObjectRef(Kind.INGRESS, NAMESPACE, INGRESS)
    annotations = {**cluster.objects[ref].annotations, names.UNREADY_SINCE_ANNOTATION: text}
    cluster.change(ref, annotations=annotations)
    seen(cluster, asked)
    assert clock(cluster) == cluster.now.isoformat()


def test_a_clock_in_the_future_is_reset_so_that_it_does_not_wait_forever() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked)
    ref = ObjectRef(Kind.INGRESS, NAMESPACE, INGRESS)
    ahead = (cluster.now + timedelta(days=300)).isoformat()
    cluster.change(ref, annotations={**cluster.objects[ref].annotations, names.UNREADY_SINCE_ANNOTATION: ahead})
    seen(cluster, asked)
    assert clock(cluster) == cluster.now.isoformat()


def test_a_withdrawn_endpoint_is_stopped_or_deleted_like_any_other() -> None:
    for state in ("stopped", "deleted"):
        cluster, asked = withdrawn()
        asked = asked.model_copy(update={"desired_state": endpoint(desired_state=state).desired_state})
        plan = cluster.reconcile(asked)
        assert plan.missing_inputs == frozenset()
        assert plan.report is not None
        assert not plan.report.error


def test_a_withdrawn_endpoint_keeps_its_canary_without_traffic() -> None:
    cluster, asked = withdrawn(CANARY)
    cluster.roll_out("chat-canary")
    cluster.reconcile(asked)
    assert cluster.find(Kind.INGRESS, INGRESS) is None
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is not None


def test_a_restored_ingress_has_the_ready_canarys_share() -> None:
    cluster, asked = withdrawn(CANARY)
    cluster.roll_out()
    cluster.reconcile(asked)
    assert "weighted-routing" in str(cluster.get(Kind.INGRESS, INGRESS).spec)


def test_a_new_endpoint_is_creating_without_error_until_its_first_ready_pod() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    plan = cluster.reconcile(asked)
    assert cluster.find(Kind.INGRESS, INGRESS) is None
    asked = reported(asked, plan, cluster.now)
    cluster.roll_out(ready=0)
    cluster.wait(10 * THRESHOLD)
    cluster.pods = (DOWN,)
    plan = cluster.plan(asked)
    assert plan.report is not None
    assert (plan.report.state, plan.report.reason) == (RegionState.CREATING, None)
    cluster.pods = (GATED,)
    assert [type(step) for step in cluster.plan(asked).steps] == [Create]


def test_a_held_endpoint_is_never_withdrawn() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked).model_copy(update={"hold": "benchmark"})
    cluster.wait(10 * THRESHOLD)
    cluster.pods = (DOWN,)
    assert not cluster.plan(asked, ALONE).steps


def test_an_endpoint_with_an_invalid_spec_is_never_withdrawn() -> None:
    cluster, asked = ill()
    asked = seen(cluster, asked).model_copy(update={"spec": None})
    cluster.wait(10 * THRESHOLD)
    cluster.pods = (DOWN,)
    assert not cluster.plan(asked, ALONE).steps


def test_the_clock_is_written_only_once() -> None:
    cluster, asked = ill()
    plan: Plan = cluster.plan(asked)
    assert [(type(step), step.ref.kind) for step in plan.steps] == [(Apply, Kind.INGRESS)]
    asked = seen(cluster, asked)
    cluster.wait(THRESHOLD / 2)
    assert cluster.plan(asked).in_sync
