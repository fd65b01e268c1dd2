from gco_stream.model.objects import Kind, Ownership
from gco_stream.planning.types.policy import FleetState
from gco_stream.planning.types.steps import Apply, UpgradeManagedFields
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, SimulatedCluster, legacy, with_spec


def test_managed_fields_of_gco_are_taken_over_before_the_apply() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    kinds = [type(step) for step in cluster.plan(asked).steps if step.ref.kind is Kind.SERVICE]
    assert kinds == [UpgradeManagedFields, Apply]


def test_a_deployment_of_gco_is_adopted_without_changing_its_template() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    before = cluster.get(Kind.DEPLOYMENT, "chat")
    cluster.reconcile(asked)
    after = cluster.get(Kind.DEPLOYMENT, "chat")
    assert (after.spec, after.generation) == (before.spec, before.generation)
    assert after.annotations["gco.io/template-version"] == "0"
    assert cluster.get(Kind.SERVICE, "chat").ownership.applied


def test_an_adopted_deployment_is_only_scaled_until_its_template_changes() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    cluster.reconcile(asked)
    cluster.reconcile(with_spec(asked, replicas=3))
    deployment = cluster.get(Kind.DEPLOYMENT, "chat")
    assert (deployment.spec["replicas"], deployment.ownership.applied) == (3, False)
    cluster.reconcile(with_spec(asked, env={"A": "1"}))
    deployment = cluster.get(Kind.DEPLOYMENT, "chat")
    assert (deployment.ownership.applied, deployment.annotations["gco.io/template-version"]) == (True, "2")


def test_an_adopted_deployment_with_a_different_image_is_rolled_out_at_once() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    cluster.reconcile(with_spec(asked, image="registry.example/serve:3.0"))
    container = cluster.get(Kind.DEPLOYMENT, "chat").spec["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/serve:3.0"


def test_gco_objects_named_like_a_canary_are_left_to_their_possible_owner() -> None:
    cluster = SimulatedCluster()
    legacy(cluster, endpoint("chat-canary"))
    gone = endpoint(desired_state="deleted")
    assert cluster.plan(gone, FleetState(names_claimed_by_others=frozenset({"chat-canary"}))).steps == ()
    assert cluster.plan(gone).steps == ()


def test_a_canary_of_gco_is_recognized_by_the_ingress() -> None:
    cluster, asked = SimulatedCluster(), endpoint(spec=CANARY)
    legacy(cluster, asked)
    cluster.reconcile(asked)
    for ref, obj in cluster.objects.items():
        plain = {k: v for k, v in obj.annotations.items() if not k.startswith("gco.io/")}
        cluster.change(ref, annotations=plain, ownership=Ownership(legacy=True))
    gone = endpoint(desired_state="deleted")
    assert {step.ref.name for step in cluster.plan(gone).steps} == {"chat", "inference-chat", "chat-canary"}
    claimed = cluster.plan(gone, FleetState(names_claimed_by_others=frozenset({"chat-canary"})))
    assert {step.ref.name for step in claimed.steps} == {"chat", "inference-chat"}
