from dataclasses import replace
from typing import Any

import pytest

from gco_stream.model.endpoint import Endpoint, RegionState
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject, Ownership
from gco_stream.planning.policy import Fleet
from gco_stream.planning.steps import Apply, Create, Delete, HandOver, Replace, TableChange
from tests.items import PARITY_CASES, REGION, endpoint, item, parity_item, parity_objects, read
from tests.planning.simulated import NAMESPACE, POLICY, SimulatedCluster, reported

CANARY = {"canary": {"image": "registry.example/serve:2.0", "weight": 20, "replicas": 1}}
SCALED = {"replicas": 2, "autoscaling": {"enabled": True, "min_replicas": 2, "max_replicas": 8}}


def running(spec: dict[str, Any] | None = None, **attributes: Any) -> tuple[SimulatedCluster, Endpoint]:
    """A cluster in which the endpoint has been made and rolled out, and the item that says so."""
    cluster, asked = SimulatedCluster(), endpoint(spec=spec, **attributes)
    cluster.reconcile(asked)
    cluster.roll_out()
    made = cluster.reconcile(asked)
    return cluster, reported(asked, made, cluster.now)


def with_spec(before: Endpoint, **spec: Any) -> Endpoint:
    """The user's next item: another spec, the status as reported before."""
    return endpoint(spec=spec).model_copy(
        update={"region_status": before.region_status, "reported_regions": before.reported_regions}
    )


@pytest.mark.parametrize("case", PARITY_CASES)
def test_the_objects_of_a_real_item_are_those_that_the_former_system_made(case: str) -> None:
    cluster, asked = SimulatedCluster(), read(parity_item(case))
    assert isinstance(asked, Endpoint)
    cluster.reconcile(asked)
    expected = set(parity_objects(case))
    assert {f"{ref.kind}/{ref.name}" for ref in cluster.objects} == expected


def test_objects_are_made_in_the_order_service_ingress_deployment_autoscaler() -> None:
    made = SimulatedCluster().plan(endpoint(spec=SCALED))
    assert [step.ref.kind for step in made.steps] == [Kind.SERVICE, Kind.INGRESS, Kind.DEPLOYMENT, Kind.HPA]
    assert all(isinstance(step, Create) for step in made.steps)


def test_an_endpoint_in_sync_needs_nothing() -> None:
    cluster, asked = running(CANARY)
    cluster.reconcile(asked)
    assert cluster.plan(asked).steps == ()


@pytest.mark.parametrize(
    "spec", [{}, CANARY, SCALED, {"replicas": 0}, {"model_source": "s3://b/m", "env": {"B": "1", "A": "2"}}]
)
def test_a_plan_carried_out_leaves_nothing_to_do(spec: dict[str, Any]) -> None:
    cluster, asked = running(spec)
    cluster.reconcile(asked)
    assert cluster.plan(asked).steps == ()


def test_creating_becomes_running_once_every_replica_is_new_and_available() -> None:
    cluster, asked = SimulatedCluster(), endpoint(spec={"replicas": 2})
    made = cluster.reconcile(asked)
    assert str(made.report) == "creating, 0 of 2 ready"
    asked = reported(asked, made, cluster.now)
    cluster.roll_out(ready=1)
    assert cluster.plan(asked).report.state is RegionState.CREATING  # type: ignore[union-attr]
    cluster.roll_out()
    assert str(cluster.plan(asked).report) == "running, 2 of 2 ready"


def test_a_change_is_reported_as_updating_until_it_is_rolled_out() -> None:
    cluster, asked = running()
    asked = with_spec(asked, image="registry.example/serve:2.0")
    made = cluster.reconcile(asked)
    assert made.report is not None
    assert made.report.state is RegionState.UPDATING
    assert made.write_report


def test_an_unchanged_report_is_not_written_again() -> None:
    cluster, asked = running()
    assert not cluster.plan(asked).write_report
    cluster.wait(86_400)
    assert not cluster.plan(asked).write_report


def test_counts_alone_are_reported_at_most_every_interval() -> None:
    cluster, asked = running({"replicas": 4})
    cluster.change(
        ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat"),
        status={
            "observedGeneration": 1,
            "replicas": 4,
            "updatedReplicas": 4,
            "availableReplicas": 4,
            "readyReplicas": 3,
        },
    )
    made = cluster.plan(asked)
    assert (made.write_report, made.look_again.after) == (False, POLICY.status_interval)  # type: ignore[union-attr]
    cluster.wait(POLICY.status_interval)
    assert cluster.plan(asked).write_report


def test_a_heartbeat_is_reported_when_it_is_due() -> None:
    cluster, asked = running()
    cluster.policy = replace(POLICY, status_heartbeat=60)
    assert not cluster.plan(asked).write_report
    cluster.wait(60)
    assert cluster.plan(asked).write_report


def test_scaling_changes_the_replicas_and_nothing_else() -> None:
    cluster, asked = running()
    made = cluster.plan(with_spec(asked, replicas=3))
    assert [str(step) for step in made.steps] == [
        "apply Deployment gco-inference/chat: spec.replicas: is 1, should be 3"
    ]


def test_a_replica_count_from_zero_to_one_starts_the_endpoint() -> None:
    cluster, asked = running(desired_state="stopped")
    cluster, asked = running()
    stopped = endpoint(desired_state="stopped")
    cluster.reconcile(stopped)
    assert cluster.get(Kind.DEPLOYMENT, "chat").spec["replicas"] == 0
    cluster.reconcile(asked)
    assert cluster.get(Kind.DEPLOYMENT, "chat").spec["replicas"] == 1


def test_an_env_variable_dropped_from_the_item_is_dropped_from_the_pods() -> None:
    cluster, asked = running({"env": {"A": "1", "B": "2"}})
    cluster.reconcile(with_spec(asked, env={"B": "2"}))
    container = cluster.get(Kind.DEPLOYMENT, "chat").spec["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "B", "value": "2"}]


def test_drift_in_any_field_that_is_ours_is_put_back() -> None:
    cluster, asked = running()
    ref = ObjectRef(Kind.SERVICE, NAMESPACE, "chat")
    before = cluster.objects[ref]
    cluster.change(ref, spec={**before.spec, "selector": {"app": "hijacked"}})
    made = cluster.plan(asked)
    assert "spec.selector" in str(made.steps[0])
    cluster.reconcile(asked)
    assert cluster.get(Kind.SERVICE, "chat").spec["selector"] == {"app": "chat"}


def test_a_stopped_endpoint_has_no_ingress_no_autoscaler_and_no_pods() -> None:
    cluster, asked = running({**SCALED, **CANARY})
    stopping = endpoint(spec={**SCALED, **CANARY}, desired_state="stopped").model_copy(
        update={"region_status": asked.region_status}
    )
    made = cluster.reconcile(stopping)
    assert str(made.report).startswith("stopping")
    cluster.roll_out()
    made = cluster.reconcile(stopping)
    assert str(made.report) == "stopped, 0 of 0 ready"
    assert {ref.kind for ref in cluster.objects} == {Kind.SERVICE, Kind.DEPLOYMENT}
    assert {obj.spec["replicas"] for ref, obj in cluster.objects.items() if ref.kind is Kind.DEPLOYMENT} == {0}


def test_a_stopped_endpoint_that_never_ran_makes_no_objects() -> None:
    made = SimulatedCluster().plan(endpoint(desired_state="stopped"))
    assert (made.steps, str(made.report)) == ((), "stopped, 0 of 0 ready")


def test_a_start_makes_the_ingress_before_the_first_pod() -> None:
    cluster, asked = running()
    cluster.reconcile(endpoint(desired_state="stopped"))
    cluster.roll_out()
    kinds = [step.ref.kind for step in cluster.plan(asked).steps]
    assert kinds == [Kind.INGRESS, Kind.DEPLOYMENT]


def test_under_on_ready_the_ingress_is_made_with_the_first_ready_replica() -> None:
    cluster, asked = SimulatedCluster(replace(POLICY, ingress_on_ready=True)), endpoint()
    cluster.reconcile(asked)
    assert cluster.find(Kind.INGRESS, "inference-chat") is None
    cluster.roll_out()
    cluster.reconcile(asked)
    assert cluster.find(Kind.INGRESS, "inference-chat") is not None


def test_an_endpoint_with_a_broken_spec_keeps_its_objects_and_says_why() -> None:
    cluster, asked = running()
    broken = endpoint(spec={"port": 0}).model_copy(update={"region_status": asked.region_status})
    made = cluster.plan(broken)
    assert made.steps == ()
    assert made.report is not None
    assert made.report.state is RegionState.ERROR
    assert "spec.port: 0 is not allowed" in made.report.error
    assert made.report.ready == 1


@pytest.mark.parametrize("state", ["stopped", "deleted"])
def test_an_endpoint_with_a_broken_spec_can_be_stopped_and_deleted(state: str) -> None:
    cluster, _ = running(CANARY)
    cluster.reconcile(endpoint(spec={"port": 0}, desired_state=state))
    cluster.collect()
    left = {obj.spec.get("replicas") for ref, obj in cluster.objects.items() if ref.kind is Kind.DEPLOYMENT}
    assert left == ({0} if state == "stopped" else set())


def test_deleting_takes_route_and_scaler_first_and_is_deleted_only_when_all_is_gone() -> None:
    cluster, _ = running({**SCALED, **CANARY})
    gone = endpoint(desired_state="deleted")
    kinds = [step.ref.kind for step in cluster.plan(gone).steps]
    assert kinds == [Kind.INGRESS, Kind.HPA, Kind.SERVICE, Kind.SERVICE, Kind.DEPLOYMENT, Kind.DEPLOYMENT]
    made = cluster.reconcile(gone)
    assert str(made.report).startswith("deleting")
    cluster.collect()
    made = cluster.reconcile(gone)
    assert str(made.report).startswith("deleted")
    assert cluster.objects == {}


def test_objects_left_without_a_deployment_are_deleted_too() -> None:
    cluster, _ = running()
    del cluster.objects[ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")]
    cluster.reconcile(endpoint(desired_state="deleted"))
    assert cluster.objects == {}


def test_leaving_the_region_removes_the_objects_within_the_budget() -> None:
    cluster, _ = running()
    elsewhere = endpoint(target_regions=["eu-west-1"])
    held = cluster.plan(elsewhere, Fleet(deletions_left=0))
    assert held.steps == ()
    assert "limit on removals" in held.warnings[0]
    steps = cluster.plan(elsewhere).steps
    assert len(steps) == 3
    assert all(isinstance(step, Delete) and step.spends_budget for step in steps)


def test_an_item_of_another_region_concerns_nobody_here() -> None:
    made = SimulatedCluster().plan(endpoint(target_regions=["eu-west-1"]))
    assert (made.steps, made.report) == ((), None)


def test_a_namespace_that_is_not_allowed_is_refused() -> None:
    made = SimulatedCluster().plan(endpoint(namespace="kube-system"))
    assert made.steps == ()
    assert made.report is not None
    assert "namespace: 'kube-system' is not allowed; allowed: gco-inference" in made.report.error


def test_a_changed_namespace_is_refused_while_objects_stand_in_the_old_one() -> None:
    cluster, _ = running()
    cluster.policy = replace(POLICY, namespaces=(NAMESPACE, "team-b"))
    made = cluster.plan(endpoint(namespace="team-b"))
    assert made.steps == ()
    assert made.report is not None
    assert "objects stand in gco-inference" in made.report.error


def test_a_held_endpoint_is_left_as_it_is_and_says_so() -> None:
    cluster, asked = running()
    made = cluster.plan(with_spec(asked, replicas=5).model_copy(update={"hold": "incident 12"}))
    assert made.steps == ()
    assert str(made.report) == "pending, 1 of 5 ready: held: incident 12"
    assert "held: would apply Deployment gco-inference/chat" in made.notes[0]


FOREIGN_KINDS = [(Kind.SERVICE, "chat"), (Kind.INGRESS, "inference-chat"), (Kind.DEPLOYMENT, "chat")]


@pytest.mark.parametrize(("kind", "name"), FOREIGN_KINDS)
def test_an_object_of_somebody_else_is_never_touched(kind: Kind, name: str) -> None:
    cluster = SimulatedCluster()
    foreign = ObservedObject(ObjectRef(kind, NAMESPACE, name), "uid-x", "1", labels={"app": name})
    cluster.put(foreign)
    for state in ("deploying", "stopped", "deleted"):
        made = cluster.plan(endpoint(desired_state=state))
        assert all(step.ref != foreign.ref for step in made.steps)
    made = cluster.plan(endpoint())
    assert made.report is not None
    assert made.report.state is RegionState.ERROR
    assert f"{kind} gco-inference/{name} exists and is not this controller's" in made.report.error


def test_an_object_of_another_installation_is_foreign() -> None:
    cluster, asked = running()
    ref = ObjectRef(Kind.SERVICE, NAMESPACE, "chat")
    cluster.change(ref, annotations={**cluster.objects[ref].annotations, "gco.io/table": "arn:another"})
    made = cluster.plan(asked)
    assert made.steps == ()
    assert "another installation" in made.report.error  # type: ignore[union-attr]


def test_of_two_endpoints_that_want_one_name_the_first_keeps_it() -> None:
    cluster, _ = running(CANARY)
    made = cluster.plan(endpoint("chat-canary"))
    assert made.steps == ()
    assert "belongs to the endpoint chat" in made.report.error  # type: ignore[union-attr]


def test_a_selector_that_differs_is_an_error_and_never_a_recreation() -> None:
    cluster, asked = running()
    ref = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
    spec = {**cluster.objects[ref].spec, "selector": {"matchLabels": {"app": "old"}}}
    cluster.change(ref, spec=spec)
    made = cluster.plan(asked)
    assert made.steps == ()
    assert "a selector cannot be changed" in made.report.error  # type: ignore[union-attr]


def test_an_object_that_is_terminating_is_waited_for() -> None:
    cluster, asked = running()
    cluster.change(ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat"), deleting=True)
    made = cluster.plan(asked)
    assert all(step.ref.kind is not Kind.DEPLOYMENT for step in made.steps)
    cluster.collect()
    assert [step.ref.kind for step in cluster.plan(asked).steps] == [Kind.DEPLOYMENT]


def test_autoscaling_owns_the_replicas_and_an_hpas_choice_is_no_drift() -> None:
    cluster, asked = running(SCALED)
    ref = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
    assert "f:replicas" not in cluster.objects[ref].ownership.fields["f:spec"]
    cluster.change(ref, spec={**cluster.objects[ref].spec, "replicas": 7})
    assert cluster.plan(asked).steps == ()


def test_autoscaling_on_and_off_never_passes_through_another_count() -> None:
    cluster, asked = running({"replicas": 4})
    seen = []
    for spec in (SCALED | {"replicas": 4}, {"replicas": 4}):
        for step in cluster.plan(with_spec(asked, **spec)).steps:
            cluster.take(step)
            seen.append(cluster.get(Kind.DEPLOYMENT, "chat").spec["replicas"])
        cluster.reconcile(with_spec(asked, **spec))
    assert set(seen) == {4}
    assert cluster.find(Kind.HPA, "chat") is None


def test_an_autoscaled_endpoint_at_zero_is_started_within_its_bounds() -> None:
    cluster, asked = running(SCALED)
    ref = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
    cluster.change(ref, spec={**cluster.objects[ref].spec, "replicas": 0})
    cluster.reconcile(asked)
    assert cluster.objects[ref].spec["replicas"] == 2


def test_an_unknown_metric_is_a_warning_and_cpu() -> None:
    made = SimulatedCluster().plan(endpoint(spec={"autoscaling": {"enabled": True, "metrics": [{"type": "gpu"}]}}))
    manifest = made.steps[-1].manifest  # type: ignore[union-attr]
    assert manifest["spec"]["metrics"][0]["resource"]["name"] == "cpu"
    assert any("'gpu' is not known" in warning for warning in made.warnings)


def test_the_last_region_to_run_promotes_and_only_then() -> None:
    cluster, asked = running(target_regions=[REGION, "eu-west-1"])
    assert cluster.plan(asked).table_change is None
    other = reported(asked, cluster.plan(asked), cluster.now, region="eu-west-1")
    assert cluster.plan(other).table_change is TableChange.PROMOTE


def test_a_region_that_runs_something_older_does_not_count_for_promotion() -> None:
    cluster, asked = running()
    stale = asked.region_status[REGION].model_copy(update={"intent": "1:older"})
    made = cluster.plan(asked.model_copy(update={"region_status": {REGION: stale}}))
    assert made.table_change is None
    assert made.write_report


def test_an_entry_of_the_former_system_counts_by_its_state() -> None:
    cluster, asked = running()
    plain = asked.region_status[REGION].model_copy(update={"intent": None, "epoch": None})
    made = cluster.plan(asked.model_copy(update={"region_status": {REGION: plain}}))
    assert (made.table_change, made.write_report) == (TableChange.PROMOTE, False)


def test_the_item_is_purged_when_every_region_that_ever_reported_is_gone() -> None:
    cluster = SimulatedCluster()
    gone = endpoint(desired_state="deleted")
    gone = reported(gone, cluster.plan(gone), cluster.now)
    assert cluster.plan(gone).table_change is TableChange.PURGE
    never_gone = gone.model_copy(update={"reported_regions": frozenset({REGION, "eu-west-1"})})
    assert cluster.plan(never_gone).table_change is None


def test_another_regions_report_on_an_older_wish_does_not_count_for_promotion() -> None:
    cluster, asked = running(target_regions=[REGION, "eu-west-1"])
    other = asked.region_status[REGION].model_copy(update={"intent": "1:older"})
    asked = asked.model_copy(update={"region_status": {**asked.region_status, "eu-west-1": other}})
    assert cluster.plan(asked).table_change is None


def test_a_paused_deployment_is_not_running_what_is_asked() -> None:
    cluster, asked = running()
    asked = with_spec(asked, image="registry.example/serve:2.0")
    cluster.reconcile(asked)
    ref = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
    generation = cluster.objects[ref].generation
    cluster.change(ref, status={"observedGeneration": generation, "replicas": 1, "availableReplicas": 1})
    assert str(cluster.plan(asked).report).startswith("updating")


def test_an_endpoint_of_no_replicas_has_no_ingress() -> None:
    cluster, asked = running()
    cluster.reconcile(with_spec(asked, replicas=0))
    assert cluster.find(Kind.INGRESS, "inference-chat") is None
    made = SimulatedCluster().plan(endpoint(spec={"replicas": 0}))
    assert [step.ref.kind for step in made.steps] == [Kind.SERVICE, Kind.DEPLOYMENT]


def test_a_canary_on_its_way_does_not_change_what_the_main_reports() -> None:
    cluster, asked = running()
    made = cluster.plan(with_spec(asked, **CANARY))
    assert {step.ref.name for step in made.steps} == {"chat-canary"}
    assert str(made.report) == "running, 1 of 1 ready"


def test_env_variables_are_in_the_same_order_whatever_the_tables_is() -> None:
    orders = [{"A": "1", "B": "2"}, {"B": "2", "A": "1"}]
    made = [SimulatedCluster().plan(endpoint(spec={"env": env})).steps for env in orders]
    assert made[0] == made[1]


def test_a_service_port_that_somebody_renumbered_is_replaced_whole() -> None:
    cluster, asked = running()
    ref = ObjectRef(Kind.SERVICE, NAMESPACE, "chat")
    port = {"port": 81, "targetPort": 8000, "protocol": "TCP"}
    cluster.change(ref, spec={**cluster.objects[ref].spec, "ports": [port]})
    (step,) = cluster.plan(asked).steps
    assert isinstance(step, Replace)
    cluster.reconcile(asked)
    assert [one["port"] for one in cluster.objects[ref].spec["ports"]] == [80]


def test_objects_of_the_former_system_are_taken_over_before_they_are_applied() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    kinds = [type(step) for step in cluster.plan(asked).steps if step.ref.kind is Kind.SERVICE]
    assert kinds == [HandOver, Apply]


def test_objects_of_the_former_system_named_like_a_canary_are_left_to_whose_they_may_be() -> None:
    cluster = SimulatedCluster()
    legacy(cluster, endpoint("chat-canary"))
    gone = endpoint(desired_state="deleted")
    assert cluster.plan(gone, Fleet(claimed=frozenset({"chat-canary"}))).steps == ()
    assert cluster.plan(gone).steps == ()


def test_a_canary_of_the_former_system_is_known_by_the_ingress() -> None:
    cluster, asked = SimulatedCluster(), endpoint(spec=CANARY)
    legacy(cluster, asked)
    cluster.reconcile(asked)
    for ref, obj in cluster.objects.items():
        plain = {k: v for k, v in obj.annotations.items() if not k.startswith("gco.io/")}
        cluster.change(ref, annotations=plain, ownership=Ownership(legacy=True))
    gone = endpoint(desired_state="deleted")
    assert {step.ref.name for step in cluster.plan(gone).steps} == {"chat", "inference-chat", "chat-canary"}
    claimed = cluster.plan(gone, Fleet(claimed=frozenset({"chat-canary"})))
    assert {step.ref.name for step in claimed.steps} == {"chat", "inference-chat"}


def legacy(cluster: SimulatedCluster, asked: Endpoint) -> None:
    """The same objects as the former system's monitor would have made them."""
    cluster.reconcile(asked)
    cluster.roll_out()
    for ref, obj in cluster.objects.items():
        plain = {k: v for k, v in obj.annotations.items() if not k.startswith("gco.io/")}
        cluster.change(ref, annotations=plain, ownership=Ownership(legacy=True))


def test_a_deployment_of_the_former_system_is_adopted_without_touching_its_template() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    before = cluster.get(Kind.DEPLOYMENT, "chat")
    cluster.reconcile(asked)
    after = cluster.get(Kind.DEPLOYMENT, "chat")
    assert (after.spec, after.generation) == (before.spec, before.generation)
    assert after.annotations["gco.io/template-version"] == "0"
    assert cluster.get(Kind.SERVICE, "chat").ownership.applied


def test_an_adopted_deployment_is_scaled_alone_until_its_template_changes() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    cluster.reconcile(asked)
    cluster.reconcile(with_spec(asked, replicas=3))
    deployment = cluster.get(Kind.DEPLOYMENT, "chat")
    assert (deployment.spec["replicas"], deployment.ownership.applied) == (3, False)
    cluster.reconcile(with_spec(asked, env={"A": "1"}))
    deployment = cluster.get(Kind.DEPLOYMENT, "chat")
    assert (deployment.ownership.applied, deployment.annotations["gco.io/template-version"]) == (True, "1")


def test_an_adopted_deployment_with_another_image_is_rolled_out_at_once() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    cluster.reconcile(with_spec(asked, image="registry.example/serve:3.0"))
    container = cluster.get(Kind.DEPLOYMENT, "chat").spec["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/serve:3.0"


def test_an_unreadable_item_is_reported_and_nothing_is_done() -> None:
    cluster, _ = running()
    made = cluster.plan(read(item(desired_state="paused")))  # type: ignore[arg-type]
    assert made.steps == ()
    assert made.report is not None
    assert "desired_state: 'paused' is not allowed" in made.report.error


def test_inputs_are_never_changed() -> None:
    plain = item(spec={"node_selector": {"a": "b"}, "capacity_type": "spot", "args": ["--x"]})
    before = repr(plain)
    asked = read(plain)
    cluster = SimulatedCluster()
    dump = asked.model_dump()
    cluster.reconcile(asked)  # type: ignore[arg-type]
    assert repr(plain) == before
    assert asked.model_dump() == dump
