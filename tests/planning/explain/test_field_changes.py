from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.planning.types.steps import Apply, Create, Replace
from tests.support.simulated_cluster import NAMESPACE, running, with_spec


def test_scaling_changes_the_replicas_and_nothing_else() -> None:
    cluster, asked = running()
    plan = cluster.plan(with_spec(asked, replicas=3))
    assert [str(step) for step in plan.steps] == [
        "apply Deployment gco-inference/chat: spec.replicas: is 1, should be 3"
    ]


def test_an_env_variable_dropped_from_the_item_is_dropped_from_the_pods() -> None:
    cluster, asked = running({"env": {"A": "1", "B": "2"}})
    cluster.reconcile(with_spec(asked, env={"B": "2"}))
    container = cluster.get(Kind.DEPLOYMENT, "chat").spec["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "B", "value": "2"}]


def test_drift_in_any_field_that_we_own_is_corrected() -> None:
    cluster, asked = running()
    ref = ObjectRef(Kind.SERVICE, NAMESPACE, "chat")
    before = cluster.objects[ref]
    cluster.change(ref, spec={**before.spec, "selector": {"app": "hijacked"}})
    plan = cluster.plan(asked)
    assert "spec.selector" in str(plan.steps[0])
    cluster.reconcile(asked)
    assert cluster.get(Kind.SERVICE, "chat").spec["selector"] == {"app": "chat"}


def test_a_renumbered_service_port_is_replaced() -> None:
    cluster, asked = running()
    ref = ObjectRef(Kind.SERVICE, NAMESPACE, "chat")
    port = {"port": 81, "targetPort": 8000, "protocol": "TCP"}
    cluster.change(ref, spec={**cluster.objects[ref].spec, "ports": [port]})
    (step,) = cluster.plan(asked).steps
    assert isinstance(step, Replace)
    cluster.reconcile(asked)
    assert [one["port"] for one in cluster.objects[ref].spec["ports"]] == [80]


def test_a_selector_that_differs_is_an_error_and_never_a_recreation() -> None:
    cluster, asked = running()
    ref = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
    spec = {**cluster.objects[ref].spec, "selector": {"matchLabels": {"app": "old"}}}
    cluster.change(ref, spec=spec)
    plan = cluster.plan(asked)
    assert plan.steps == ()
    assert plan.report is not None
    assert "a selector cannot be changed" in plan.report.error


def test_an_object_that_is_terminating_is_waited_for() -> None:
    cluster, asked = running()
    cluster.change(ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat"), deleting=True)
    plan = cluster.plan(asked)
    assert all(step.ref.kind is not Kind.DEPLOYMENT for step in plan.steps)
    cluster.collect()
    # The Ingress has no ready replicas now, so its clock starts.
    assert [(type(step), step.ref.kind) for step in cluster.plan(asked).steps] == [
        (Apply, Kind.INGRESS),
        (Create, Kind.DEPLOYMENT),
    ]
