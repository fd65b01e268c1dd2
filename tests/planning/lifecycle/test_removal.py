from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Reason
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Delete
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, SCALED, SimulatedCluster, running


def test_deleting_starts_with_ingress_and_hpa_and_ends_when_all_is_gone() -> None:
    cluster, _ = running({**SCALED, **CANARY})
    gone = endpoint(desired_state="deleted")
    kinds = [step.ref.kind for step in cluster.plan(gone).steps]
    assert kinds == [Kind.INGRESS, Kind.HPA, Kind.SERVICE, Kind.SERVICE, Kind.DEPLOYMENT, Kind.DEPLOYMENT]
    plan = cluster.reconcile(gone)
    assert str(plan.report).startswith("deleting")
    cluster.collect()
    plan = cluster.reconcile(gone)
    assert str(plan.report).startswith("deleted")
    assert cluster.objects == {}


def test_objects_left_without_a_deployment_are_deleted_too() -> None:
    cluster, _ = running()
    del cluster.objects[ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")]
    cluster.reconcile(endpoint(desired_state="deleted"))
    assert cluster.objects == {}


def test_leaving_the_region_removes_the_objects_within_the_budget() -> None:
    cluster, _ = running()
    elsewhere = endpoint(target_regions=["eu-west-1"])
    held = cluster.plan(elsewhere, FleetState(deletions_left=0))
    assert held.steps == ()
    assert held.warnings[0].reason is Reason.REMOVAL_LIMIT_REACHED
    steps = cluster.plan(elsewhere).steps
    assert len(steps) == 3
    assert all(isinstance(step, Delete) and step.spends_budget for step in steps)


def test_an_item_of_another_region_is_ignored() -> None:
    plan = SimulatedCluster().plan(endpoint(target_regions=["eu-west-1"]))
    assert (plan.steps, plan.report) == ((), None)
