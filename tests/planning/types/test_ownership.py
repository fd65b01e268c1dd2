from dataclasses import replace

import pytest

from gco_stream.model.item.endpoint import Endpoint, RegionState
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject, Ownership
from gco_stream.planning.types.ownership import is_owned_by
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.steps import Apply, Delete
from tests.support.items import endpoint
from tests.support.simulated_cluster import (
    CANARY,
    NAMESPACE,
    POLICY,
    SCALED,
    SimulatedCluster,
    legacy,
    running,
    with_spec,
)

MAIN = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
SHARED = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary")
SHARED_SERVICE = ObjectRef(Kind.SERVICE, NAMESPACE, "chat-canary")
FOREIGN_MAINS = [
    ObjectRef(Kind.SERVICE, NAMESPACE, "chat"),
    ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat"),
    MAIN,
    ObjectRef(Kind.HPA, NAMESPACE, "chat"),
]
_SERVICE_AND_INGRESS = ((Kind.SERVICE, "chat"), (Kind.INGRESS, "inference-chat"))
FOREIGN_CANARYS = [SHARED, SHARED_SERVICE]


def foreign(ref: ObjectRef) -> ObservedObject:
    return ObservedObject(ref, "uid-x", "1", labels={"app": ref.name})


def labelled(ref: ObjectRef, container: str = "inference", *, legacy: bool = False) -> ObservedObject:
    """An object with GCO's labels and no annotations, as another tool or GCO's monitor creates it."""
    spec = {"template": {"spec": {"containers": [{"name": container}]}}} if ref.kind is Kind.DEPLOYMENT else {}
    app = "chat" if ref.kind is Kind.INGRESS else ref.name
    labels = {"app": app, "project": "gco", "gco.io/type": "inference"}
    return ObservedObject(ref, "uid-x", "1", labels=labels, spec=spec, ownership=Ownership(legacy=legacy))


def error(plan: Plan) -> str:
    assert plan.report is not None
    return plan.report.error


def remove(cluster: SimulatedCluster, *refs: ObjectRef) -> None:
    """Removes objects immediately."""
    for ref in refs:
        cluster.objects.pop(ref, None)


@pytest.mark.parametrize("ref", FOREIGN_MAINS)
def test_an_object_of_another_owner_is_never_touched(ref: ObjectRef) -> None:
    cluster = SimulatedCluster()
    cluster.put(foreign(ref))
    for asked in (
        *(endpoint(spec=SCALED, desired_state=state) for state in ("deploying", "stopped", "deleted")),
        endpoint(spec=SCALED, target_regions=["eu-west-1"]),
    ):
        assert all(step.ref != ref for step in cluster.plan(asked).steps)
    plan = cluster.plan(endpoint(spec=SCALED))
    assert plan.report is not None
    assert plan.report.state is RegionState.ERROR
    assert f"{ref} exists and was not created by this controller" in plan.report.error


@pytest.mark.parametrize("ref", FOREIGN_MAINS)
def test_an_object_with_copied_labels_is_never_touched(ref: ObjectRef) -> None:
    cluster = SimulatedCluster()
    cluster.put(labelled(ref))
    for state in ("deploying", "stopped", "deleted"):
        plan = cluster.plan(endpoint(spec=SCALED, desired_state=state))
        assert all(step.ref != ref for step in plan.steps)
    assert f"{ref} exists and was not created by this controller" in error(cluster.plan(endpoint(spec=SCALED)))


def test_a_deployment_is_adopted_only_with_gcos_labels_field_manager_and_container() -> None:
    for one, is_adopted in (
        (labelled(MAIN, legacy=True), True),
        (labelled(MAIN, "vllm", legacy=True), False),
        (labelled(MAIN), False),
        (replace(labelled(MAIN, legacy=True), labels={"app": "chat"}), False),
    ):
        assert is_owned_by(one, endpoint="chat", app="chat", table_arn=POLICY.table_arn) is is_adopted


def test_a_restored_backup_with_annotations_and_labels_is_still_ours() -> None:
    restored = replace(labelled(MAIN), annotations={"gco.io/endpoint": "chat", "gco.io/table": POLICY.table_arn})
    assert is_owned_by(restored, endpoint="chat", app="chat", table_arn=POLICY.table_arn)


def test_an_ingress_is_deleted_if_it_only_routes_to_another_owners_service() -> None:
    service, ingress = (ObjectRef(kind, NAMESPACE, name) for kind, name in _SERVICE_AND_INGRESS)
    cluster, asked = running()
    remove(cluster, service)
    cluster.put(foreign(service))
    assert cluster.plan(asked).steps == ()
    remove(cluster, MAIN)
    (step,) = cluster.plan(asked).steps
    assert isinstance(step, Delete)
    assert step.ref == ingress
    cluster.put(foreign(MAIN))
    assert cluster.plan(asked).steps == ()


def test_an_hpa_of_another_owner_is_ignored_without_autoscaling() -> None:
    cluster, asked = running()
    cluster.put(foreign(ObjectRef(Kind.HPA, NAMESPACE, "chat")))
    plan = cluster.plan(asked)
    assert (plan.steps, error(plan)) == ((), "")


@pytest.mark.parametrize("ref", FOREIGN_CANARYS)
def test_an_object_of_another_owner_with_the_canarys_name_blocks_only_the_canary(ref: ObjectRef) -> None:
    cluster = SimulatedCluster()
    cluster.put(foreign(ref))
    asked = endpoint(spec=CANARY)
    cluster.reconcile(asked)
    cluster.roll_out("chat")
    plan = cluster.reconcile(asked)
    assert plan.report is not None
    assert plan.report.state is RegionState.RUNNING
    assert f"{ref} exists and was not created by this controller" in plan.report.error
    cluster.reconcile(endpoint(desired_state="deleted"))
    cluster.collect()
    assert list(cluster.objects) == [ref]


def test_an_object_of_another_installation_is_foreign() -> None:
    cluster, asked = running()
    ref = ObjectRef(Kind.SERVICE, NAMESPACE, "chat")
    cluster.change(ref, annotations={**cluster.objects[ref].annotations, "gco.io/table": "arn:another"})
    plan = cluster.plan(asked)
    assert plan.steps == ()
    assert "another installation" in error(plan)


def test_an_object_whose_labels_were_removed_is_still_ours_and_is_restored() -> None:
    cluster, asked = running()
    cluster.change(MAIN, labels={"team": "b"})
    (step,) = cluster.plan(asked).steps
    assert isinstance(step, Apply)
    cluster.change(MAIN, ownership=Ownership())
    plan = cluster.plan(asked)
    assert plan.steps == ()
    assert f"{MAIN} " in error(plan)


def test_a_canary_keeps_its_name_if_an_endpoint_of_that_name_is_created_later() -> None:
    cluster, chat = running(CANARY)
    other = endpoint("chat-canary")
    plan = cluster.plan(other)
    assert plan.steps == ()
    assert f"{SHARED} belongs to the endpoint chat" in error(plan)
    for state in ("stopped", "deleted"):
        assert cluster.plan(endpoint("chat-canary", desired_state=state)).steps == ()
    _without_canary(cluster, chat)
    cluster.reconcile(other)
    assert cluster.objects[SHARED].endpoint == "chat-canary"
    plan = cluster.reconcile(chat)
    assert f"{SHARED} belongs to the endpoint chat-canary" in error(plan)
    assert plan.steps == ()


def _without_canary(cluster: SimulatedCluster, chat: Endpoint) -> None:
    cluster.roll_out()
    cluster.reconcile(chat)
    cluster.reconcile(with_spec(chat))
    cluster.wait(31)
    cluster.reconcile(with_spec(chat))
    cluster.collect()
    assert SHARED not in cluster.objects


def test_an_endpoint_keeps_its_name_until_it_is_gone_and_the_canary_gets_it_then() -> None:
    cluster, other = running(name="chat-canary")
    chat = endpoint(spec=CANARY)
    cluster.reconcile(chat)
    cluster.roll_out()
    plan = cluster.reconcile(chat)
    assert plan.report is not None
    assert plan.report.state is RegionState.RUNNING
    assert f"{SHARED} belongs to the endpoint chat-canary" in plan.report.error
    assert cluster.objects[SHARED].endpoint == "chat-canary"
    assert cluster.plan(other).steps == ()
    cluster.reconcile(endpoint(desired_state="deleted"))
    assert not cluster.objects[SHARED].deleting
    cluster.reconcile(endpoint("chat-canary", desired_state="deleted"))
    cluster.collect()
    plan = cluster.reconcile(chat)
    assert cluster.objects[SHARED].endpoint == "chat"
    assert error(plan) == ""


def test_a_terminating_owner_still_owns_the_name() -> None:
    cluster, _ = running(name="chat-canary")
    cluster.reconcile(endpoint("chat-canary", desired_state="deleted"))
    assert cluster.objects[SHARED].deleting
    plan = cluster.reconcile(endpoint(spec=CANARY))
    assert SHARED_SERVICE not in cluster.objects
    assert "belongs to the endpoint chat-canary" in error(plan)


@pytest.mark.parametrize("state", ["deploying", "stopped", "deleted"])
def test_nothing_in_a_namespace_that_is_not_allowed_is_touched(state: str) -> None:
    cluster, _ = running()
    cluster.policy = replace(POLICY, namespaces=("team-b",))
    plan = cluster.plan(endpoint(desired_state=state))
    assert plan.steps == ()
    assert plan.report is not None
    if state == "deleted":
        assert plan.report.state is RegionState.DELETED
    else:
        assert f"namespace: invalid value '{NAMESPACE}': must be one of team-b" in plan.report.error


def test_a_different_selector_is_an_error_and_nothing_is_deleted() -> None:
    cluster, asked = running()
    spec = {**cluster.objects[MAIN].spec, "selector": {"matchLabels": {"app": "other"}}}
    cluster.change(MAIN, spec=spec)
    plan = cluster.plan(with_spec(asked, image="registry.example/serve:2.0"))
    assert plan.steps == ()
    assert error(plan) == (
        f"{MAIN} selects pods by {{'app': 'other'}}, and a selector cannot be changed; "
        "delete the Deployment so that it is recreated"
    )


def test_a_paused_deployment_stays_paused_and_is_reported_if_it_blocks_a_rollout() -> None:
    cluster, asked = running()
    cluster.change(MAIN, spec={**cluster.objects[MAIN].spec, "paused": True})
    cluster.roll_out()
    plan = cluster.plan(asked)
    assert (plan.steps, error(plan)) == ((), "")
    asked = with_spec(asked, image="registry.example/serve:2.0")
    for step in cluster.plan(asked).steps:
        assert isinstance(step, Apply)
        assert "paused" not in step.manifest["spec"]
        cluster.execute(step)
    status = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    standing = cluster.objects[MAIN]
    status["observedGeneration"] = standing.generation
    cluster.change(MAIN, spec={**standing.spec, "paused": True}, generation=standing.generation, status=status)
    cluster.change(MAIN, status={**status, "observedGeneration": cluster.objects[MAIN].generation})
    plan = cluster.plan(asked)
    assert plan.steps == ()
    assert plan.report is not None
    assert plan.report.state is RegionState.UPDATING
    assert plan.report.error == f"{MAIN} is paused (spec.paused); nothing is rolled out until it is resumed"


def test_a_field_set_by_gco_and_dropped_from_the_item_later_is_removed() -> None:
    cluster, asked = SimulatedCluster(), endpoint(spec={"env": {"KEEP": "1", "DROP": "2"}})
    legacy(cluster, asked)
    cluster.reconcile(asked)
    cluster.reconcile(with_spec(asked, env={"KEEP": "1"}))
    container = cluster.objects[MAIN].spec["template"]["spec"]["containers"][0]
    assert [variable["name"] for variable in container["env"]] == ["KEEP"]
