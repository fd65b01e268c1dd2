"""Explanations state what the plan does and why the rest is not done, and nothing else."""

from dataclasses import replace

from gco_stream.cli.render.explain import as_json, in_full
from gco_stream.model.objects import Kind, ObjectRef, Ownership
from gco_stream.model.reasons import Reason
from gco_stream.planning.explain.explanation import Explanation
from gco_stream.planning.explain.object_status import ObjectState, ObjectStatus
from gco_stream.planning.types.policy import Census, FleetState
from tests.planning.support.explanations import BOTH, DEPLOYMENT, DOWN, HPA, INGRESS, SERVICE, changed, explained
from tests.support.items import REGION, endpoint, item, read
from tests.support.simulated_cluster import (
    CANARY,
    NAMESPACE,
    POLICY,
    SCALED,
    SimulatedCluster,
    legacy,
    reported,
    running,
    with_spec,
)

CANARYS = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary")


def of(explanation: Explanation, ref: ObjectRef) -> ObjectStatus:
    [found] = [one for one in explanation.objects if one.ref == ref]
    return found


def test_the_headline_says_that_an_endpoint_runs_as_desired() -> None:
    cluster, asked = running()
    found = explained(cluster, asked)
    assert (found.in_desired_state, found.headline) == (True, "running here, as desired")
    assert {one.state for one in found.objects} == {ObjectState.IN_SYNC}


def test_every_field_that_differs_is_listed_not_only_the_first_three() -> None:
    cluster, asked = running({"env": {"A": "s3cret", "B": "s3cret"}, "command": ["serve"]})
    template = cluster.objects[DEPLOYMENT].spec["template"]
    [container] = template["spec"]["containers"]
    other = {**container, "env": [], "image": "x:2", "command": ["other"]}
    pod = {**template["spec"], "containers": [other], "serviceAccountName": "nobody"}
    changed(cluster, DEPLOYMENT, replicas=4, template={**template, "spec": pod})
    found = explained(cluster, asked)
    verdict = of(found, DEPLOYMENT)
    assert (verdict.state, verdict.message) == (ObjectState.WOULD_CHANGE, "")
    assert {line.partition(":")[0] for line in verdict.details} == {
        "spec.replicas",
        "spec.template.spec.serviceAccountName",
        "spec.template.spec.containers[inference].image",
        "spec.template.spec.containers[inference].command",
        "spec.template.spec.containers[inference].env[A]",
        "spec.template.spec.containers[inference].env[B]",
    }
    assert "spec.replicas: is 4, should be 1" in verdict.details
    assert found.headline == f"needs attention: Deployment chat would change: {verdict.details[0]}"
    assert "s3cret" not in str(as_json(found)) + "".join(in_full(found, cluster.now))


def test_an_absent_object_would_be_created() -> None:
    found = explained(SimulatedCluster(), endpoint(spec={**SCALED, **CANARY}))
    assert {one.state for one in found.objects if one.ref != INGRESS} == {ObjectState.WOULD_CREATE}
    assert len(found.objects) == 6
    assert (of(found, INGRESS).state, of(found, INGRESS).message) == (
        ObjectState.NOT_NEEDED,
        "the Ingress is created once a pod's containers are ready",
    )
    assert not found.in_desired_state


def test_only_desired_objects_are_listed() -> None:
    cluster, asked = running()
    assert {one.ref for one in explained(cluster, asked).objects} == {DEPLOYMENT, SERVICE, INGRESS}


def test_replicas_managed_by_the_hpa_are_shown_with_the_deployment() -> None:
    cluster, asked = running(SCALED)
    changed(cluster, DEPLOYMENT, replicas=5)
    verdict = of(explained(cluster, asked), DEPLOYMENT)
    assert (verdict.state, verdict.details) == (
        ObjectState.IN_SYNC,
        ("spec.replicas: is 5, managed by the HPA (2 to 8)",),
    )


def test_a_stopped_endpoint_is_in_the_desired_state_without_ingress_and_hpa() -> None:
    cluster, _ = running(SCALED)
    stopped = endpoint(spec=SCALED, desired_state="stopped")
    stopping = explained(cluster, stopped)
    assert of(stopping, INGRESS).state is ObjectState.WOULD_DELETE
    assert of(stopping, DEPLOYMENT).details == ("spec.replicas: is 2, should be 0",)
    cluster.reconcile(stopped)
    cluster.roll_out()
    found = explained(cluster, stopped)
    assert found.headline == "stopped here, as desired"
    assert [of(found, ref).state for ref in (INGRESS, HPA)] == [ObjectState.NOT_NEEDED, ObjectState.NOT_NEEDED]
    assert of(found, INGRESS).message == "the endpoint is stopped"


def test_a_deleted_object_is_terminating_until_it_is_gone() -> None:
    cluster, asked = running()
    gone = endpoint(desired_state="deleted")
    assert {one.state for one in explained(cluster, gone).objects} == {ObjectState.WOULD_DELETE}
    cluster.reconcile(gone)
    cluster.change(DEPLOYMENT, deleting_since=cluster.now.isoformat())
    cluster.wait(12)
    found = explained(cluster, gone)
    assert [(one.state, one.message) for one in found.objects] == [(ObjectState.TERMINATING, "for 12 s")]
    assert "it is recreated once it is gone" in of(explained(cluster, asked), DEPLOYMENT).details
    cluster.collect()
    found = explained(cluster, gone)
    assert (found.headline, found.objects) == ("deleted here, as desired", ())


def test_an_object_of_another_owner_is_named_and_the_others_are_held() -> None:
    cluster, asked = running()
    cluster.change(SERVICE, labels={}, annotations={}, ownership=Ownership())
    found = explained(cluster, asked)
    assert of(found, SERVICE).state is ObjectState.NOT_OWNED
    assert "was not created by this controller" in of(found, SERVICE).message
    assert of(found, DEPLOYMENT).state is ObjectState.HELD
    assert of(found, SERVICE).message in found.headline


def test_a_held_endpoint_shows_what_would_be_done() -> None:
    cluster, _ = running()
    found = explained(cluster, endpoint(hold="maintenance", spec={"replicas": 3}))
    verdict = of(found, DEPLOYMENT)
    assert (verdict.state, verdict.message, verdict.without_limits) == (
        ObjectState.HELD,
        "maintenance",
        ObjectState.WOULD_CHANGE,
    )
    assert verdict.details == ("spec.replicas: is 1, should be 3",)
    assert found.plan.steps == ()
    assert found.is_held
    assert found.headline.startswith("needs attention: held (maintenance): Deployment chat would change: spec.replicas")
    assert explained(cluster, endpoint(hold="maintenance")).headline == "running here, as desired; held (maintenance)"


def test_a_removal_beyond_the_limit_is_held_with_the_reason() -> None:
    cluster, _ = running()
    left = endpoint(target_regions=["eu-west-1"])
    found = explained(cluster, left, FleetState(deletions_left=0))
    assert {(one.state, one.without_limits) for one in found.objects} == {(ObjectState.HELD, ObjectState.WOULD_DELETE)}
    assert "limit" in of(found, DEPLOYMENT).message
    assert {one.state for one in explained(cluster, left).objects} == {ObjectState.WOULD_DELETE}


def test_an_invalid_spec_holds_everything_and_the_headline_names_the_field() -> None:
    cluster, _ = running()
    found = explained(cluster, endpoint(spec={"replicas": -1}))
    assert found.headline.startswith("needs attention: spec.replicas: invalid value -1")
    assert {one.state for one in found.objects} == {ObjectState.HELD}
    assert found.desired["error"].startswith("spec.replicas")


def test_a_namespace_that_is_not_allowed_holds_everything() -> None:
    cluster, _ = running()
    found = explained(cluster, endpoint(namespace="kube-system"))
    assert {one.state for one in found.objects} == {ObjectState.HELD}
    assert {one.ref.namespace for one in found.objects} == {NAMESPACE, "kube-system"}
    assert found.cause is not None
    assert found.cause.reason is Reason.NAMESPACE_NOT_ALLOWED
    assert "namespace: invalid value 'kube-system'" in found.headline


def test_an_invalid_item_leaves_live_objects_unchanged() -> None:
    cluster, _ = running()
    found = explained(cluster, read(item(target_regions=[])))
    assert [(one.ref.kind, one.state) for one in found.objects] == [
        (kind, ObjectState.HELD) for kind in (Kind.DEPLOYMENT, Kind.SERVICE, Kind.INGRESS)
    ]
    assert found.headline.startswith("needs attention: invalid item: target_regions")


def test_an_adopted_deployment_is_left_alone_and_shows_what_an_upgrade_would_change() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    template = cluster.objects[DEPLOYMENT].spec["template"]
    changed(cluster, DEPLOYMENT, template={**template, "spec": {**template["spec"], "tolerations": []}})
    adopting = of(explained(cluster, asked), DEPLOYMENT)
    assert (adopting.state, adopting.message) == (
        ObjectState.WOULD_CHANGE,
        "adopted without a restart",
    )
    cluster.reconcile(asked)
    cluster.roll_out()
    found = explained(cluster, asked)
    verdict = of(found, DEPLOYMENT)
    assert verdict.state is ObjectState.LEFT_ALONE
    assert verdict.upgrade == adopting.upgrade
    assert [line.partition(":")[0] for line in verdict.upgrade or ()] == ["spec.template.spec.tolerations"]
    assert (found.in_desired_state, found.has_upgrade) == (True, True)


def test_no_upgrade_is_offered_for_a_deployment_that_rolls_out_anyway() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    legacy(cluster, asked)
    assert of(explained(cluster, with_spec(asked, image="x:2")), DEPLOYMENT).upgrade is None


def test_a_withdrawn_ingress_is_not_needed() -> None:
    cluster, asked = running()
    cluster.roll_out(ready=0)
    asked = reported(asked, cluster.reconcile(asked), cluster.now)
    cluster.wait(POLICY.unhealthy_threshold)
    cluster.pods = (DOWN,)
    alone = FleetState(census=Census(running=1, withdrawn=0))
    taking = of(explained(cluster, asked, alone), INGRESS)
    assert taking.state is ObjectState.WOULD_DELETE
    kept = explained(cluster, asked, FleetState(census=Census(running=4, withdrawn=2)))
    assert (of(kept, INGRESS).state, of(kept, INGRESS).without_limits) == (ObjectState.HELD, ObjectState.WOULD_DELETE)
    assert of(kept, DEPLOYMENT).state is ObjectState.IN_SYNC
    cluster.reconcile(asked, alone)
    found = explained(cluster, asked, alone)
    assert of(found, INGRESS).state is ObjectState.NOT_NEEDED
    assert found.cause is not None
    assert found.cause.reason is Reason.INGRESS_WITHDRAWN
    assert of(found, SERVICE).state is ObjectState.IN_SYNC


def test_each_reason_of_unready_pods_is_shown_once() -> None:
    cluster, asked = SimulatedCluster(), endpoint(spec={"replicas": 3})
    cluster.reconcile(asked)
    cluster.pods = (DOWN, DOWN, replace(DOWN, reason="Unschedulable: no GPU"))
    assert explained(cluster, asked).headline == (
        "needs attention: creating, 0 of 3 ready; a pod is not ready: CrashLoopBackOff; "
        "a pod is not ready: Unschedulable: no GPU"
    )


def test_an_unready_canary_is_the_first_reason() -> None:
    cluster, asked = running(CANARY)
    cluster.reconcile(asked)
    cluster.roll_out("chat-canary", ready=0)
    cluster.reconcile(asked)
    found = explained(cluster, asked)
    assert found.headline.startswith("needs attention: the canary of chat has no ready replica")
    assert of(found, CANARYS).state is ObjectState.IN_SYNC


def test_a_change_of_traffic_is_shown_in_percent() -> None:
    cluster, asked = running(CANARY)
    cluster.reconcile(asked)
    verdict = of(explained(cluster, with_spec(asked, canary={**CANARY["canary"], "weight": 50})), INGRESS)
    assert "traffic: is 80% to chat and 20% to chat-canary, should be 50% to chat and 50% to chat-canary" in (
        verdict.details
    )


def test_a_draining_canary_is_left_alone_until_it_has_drained() -> None:
    cluster, asked = running(CANARY)
    cluster.reconcile(asked)
    without = with_spec(asked)
    cluster.reconcile(without)
    assert of(explained(cluster, without), CANARYS).message == "the canary's connections are draining"
    cluster.wait(POLICY.canary_drain + 1)
    assert of(explained(cluster, without), CANARYS).state is ObjectState.WOULD_DELETE


def test_a_promoted_canary_stays_until_the_main_has_rolled_out() -> None:
    cluster, asked = running(CANARY)
    cluster.reconcile(asked)
    promoted = with_spec(asked, image=CANARY["canary"]["image"])
    verdict = of(explained(cluster, promoted), CANARYS)
    assert verdict.state is ObjectState.LEFT_ALONE
    assert "keeps serving until the main Deployment has rolled out" in verdict.message


def test_an_endpoint_that_does_not_target_this_region_is_in_the_desired_state() -> None:
    found = explained(SimulatedCluster(), endpoint(target_regions=["eu-west-1"]))
    assert (found.in_desired_state, found.headline) == (
        True,
        "does not target us-east-1, and none of its objects exist here",
    )


def test_a_refusal_by_the_api_server_is_shown_before_the_refused_step() -> None:
    cluster, asked = running()
    changed(cluster, DEPLOYMENT, replicas=4)
    answer = f"{DEPLOYMENT}: admission webhook says no"
    plan = cluster.plan(asked)
    assert plan.report is not None
    refused = reported(
        asked, replace(plan, report=replace(plan.report, error=answer, reason=Reason.REJECTED)), cluster.now
    )
    assert explained(cluster, refused).headline == f"needs attention: this region reported: {answer}"
    changed(cluster, DEPLOYMENT, replicas=1)
    assert "admission" not in explained(cluster, refused).headline


def test_promotion_names_the_regions_that_it_waits_for() -> None:
    cluster, asked = running(target_regions=BOTH)
    found = explained(cluster, asked)
    assert found.headline == "running here, as desired"
    assert (found.pending_change, found.waits_for) == ("promotion", ("eu-west-1: has not reported",))
    there = asked.region_status[REGION].model_copy(update={"state": "creating", "replicas_desired": 2})
    asked = asked.model_copy(update={"region_status": {**asked.region_status, "eu-west-1": there}})
    assert explained(cluster, asked).waits_for == ("eu-west-1: creating, 1 of 2 ready",)
    old = there.model_copy(update={"state": "running", "intent": "1:another"})
    asked = asked.model_copy(update={"region_status": {**asked.region_status, "eu-west-1": old}})
    assert explained(cluster, asked).waits_for == ("eu-west-1: running, 1 of 2 ready, for an older spec",)


def test_purge_waits_for_every_region_that_ever_reported() -> None:
    gone = endpoint(desired_state="deleted", region_status={"eu-west-1": {"state": "running"}, "old-1": "?"})
    found = explained(SimulatedCluster(), gone)
    assert found.pending_change == "purge"
    assert [waits.partition(":")[0] for waits in found.waits_for] == ["us-east-1", "eu-west-1", "old-1"]
    assert "its report is invalid" in found.waits_for[-1]
