from gco_stream.model.objects import Kind
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, SCALED, SimulatedCluster, running


def test_a_stopped_endpoint_has_no_ingress_no_autoscaler_and_no_pods() -> None:
    cluster, asked = running({**SCALED, **CANARY})
    stopping = endpoint(spec={**SCALED, **CANARY}, desired_state="stopped").model_copy(
        update={"region_status": asked.region_status}
    )
    plan = cluster.reconcile(stopping)
    assert str(plan.report).startswith("stopping")
    cluster.roll_out()
    plan = cluster.reconcile(stopping)
    assert str(plan.report) == "stopped, 0 of 0 ready"
    assert {ref.kind for ref in cluster.objects} == {Kind.SERVICE, Kind.DEPLOYMENT}
    assert {obj.spec["replicas"] for ref, obj in cluster.objects.items() if ref.kind is Kind.DEPLOYMENT} == {0}


def test_no_objects_are_created_for_a_stopped_endpoint_that_never_ran() -> None:
    plan = SimulatedCluster().plan(endpoint(desired_state="stopped"))
    assert (plan.steps, str(plan.report)) == ((), "stopped, 0 of 0 ready")


def test_a_started_endpoint_has_no_ingress_before_its_first_ready_pod() -> None:
    cluster, asked = running()
    cluster.reconcile(endpoint(desired_state="stopped"))
    cluster.roll_out()
    cluster.reconcile(asked)
    assert cluster.find(Kind.INGRESS, "inference-chat") is None
    cluster.roll_out()
    assert [step.ref.kind for step in cluster.plan(asked).steps] == [Kind.INGRESS]


def test_scaling_from_zero_to_one_starts_the_endpoint() -> None:
    cluster, asked = running(desired_state="stopped")
    cluster, asked = running()
    stopped = endpoint(desired_state="stopped")
    cluster.reconcile(stopped)
    assert cluster.get(Kind.DEPLOYMENT, "chat").spec["replicas"] == 0
    cluster.reconcile(asked)
    assert cluster.get(Kind.DEPLOYMENT, "chat").spec["replicas"] == 1
