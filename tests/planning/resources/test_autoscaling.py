from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Reason
from gco_stream.planning.types.steps import Create
from tests.support.items import endpoint
from tests.support.simulated_cluster import NAMESPACE, SCALED, SimulatedCluster, running, with_spec


def test_with_autoscaling_the_hpas_replica_count_is_no_drift() -> None:
    cluster, asked = running(SCALED)
    ref = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
    assert "f:replicas" not in cluster.objects[ref].ownership.fields["f:spec"]
    cluster.change(ref, spec={**cluster.objects[ref].spec, "replicas": 7})
    assert cluster.plan(asked).steps == ()


def test_enabling_and_disabling_autoscaling_exposes_no_other_count() -> None:
    cluster, asked = running({"replicas": 4})
    seen = []
    for spec in (SCALED | {"replicas": 4}, {"replicas": 4}):
        for step in cluster.plan(with_spec(asked, **spec)).steps:
            cluster.execute(step)
            seen.append(cluster.get(Kind.DEPLOYMENT, "chat").spec["replicas"])
        cluster.reconcile(with_spec(asked, **spec))
    assert set(seen) == {4}
    assert cluster.find(Kind.HPA, "chat") is None


def test_an_autoscaled_endpoint_at_zero_starts_within_its_bounds() -> None:
    cluster, asked = running(SCALED)
    ref = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
    cluster.change(ref, spec={**cluster.objects[ref].spec, "replicas": 0})
    cluster.reconcile(asked)
    assert cluster.objects[ref].spec["replicas"] == 2


def test_an_unknown_metric_gives_a_warning_and_cpu_is_used() -> None:
    plan = SimulatedCluster().plan(endpoint(spec={"autoscaling": {"enabled": True, "metrics": [{"type": "gpu"}]}}))
    step = plan.steps[-1]
    assert isinstance(step, Create)
    assert step.manifest["spec"]["metrics"][0]["resource"]["name"] == "cpu"
    assert {warning.reason for warning in plan.all_warnings} == {Reason.UNKNOWN_METRIC}
    assert any("invalid value 'gpu': must be cpu or memory" in str(warning) for warning in plan.all_warnings)
