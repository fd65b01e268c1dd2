import json

import pytest

from gco_stream.model.item.endpoint import Endpoint, RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Reason
from tests.support.items import endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SimulatedCluster, running, with_spec

ROUTING = "alb.ingress.kubernetes.io/actions.weighted-routing"
DRAINING = "gco.io/draining-since"


def weights(cluster: SimulatedCluster) -> dict[str, int]:
    annotation = cluster.get(Kind.INGRESS, "inference-chat").annotations.get(ROUTING)
    if annotation is None:
        return {}
    return {group["serviceName"]: group["weight"] for group in json.loads(annotation)["forwardConfig"]["targetGroups"]}


def with_canary() -> tuple[SimulatedCluster, Endpoint]:
    cluster, asked = running(CANARY)
    cluster.reconcile(asked)
    assert weights(cluster) == {"chat": 80, "chat-canary": 20}
    return cluster, asked


def test_a_canary_gets_traffic_only_once_it_is_ready() -> None:
    cluster, asked = SimulatedCluster(), endpoint(spec=CANARY)
    cluster.reconcile(asked)
    cluster.roll_out("chat")
    cluster.reconcile(asked)
    assert weights(cluster) == {}
    cluster.roll_out("chat-canary")
    cluster.reconcile(asked)
    assert weights(cluster) == {"chat": 80, "chat-canary": 20}


def test_a_canary_that_is_no_longer_ready_loses_its_traffic() -> None:
    cluster, asked = with_canary()
    cluster.roll_out("chat-canary", ready=0)
    cluster.reconcile(asked)
    assert weights(cluster) == {}
    assert cluster.get(Kind.INGRESS, "inference-chat").spec["rules"][0]["http"]["paths"][0]["backend"] == {
        "service": {"name": "chat", "port": {"number": 80}}
    }


def test_only_an_unready_canary_losing_traffic_emits_an_event() -> None:
    cluster, asked = with_canary()
    cluster.roll_out("chat-canary", ready=0)
    [step] = cluster.plan(asked).steps
    event = step.event
    assert event is not None
    assert (event.reason, event.warning) == ("CanaryUnready", True)
    cluster, asked = with_canary()
    plan = cluster.plan(with_spec(asked, canary={**CANARY["canary"], "weight": 0}))
    assert [step.event for step in plan.steps] == [None]


@pytest.mark.parametrize("change", [{"desired_state": "stopped"}, {"desired_state": "deleted"}])
def test_a_canary_of_an_endpoint_that_should_not_run_has_no_traffic(change: dict[str, str]) -> None:
    cluster, _ = with_canary()
    cluster.reconcile(endpoint(spec=CANARY, **change))
    assert cluster.find(Kind.INGRESS, "inference-chat") is None


BROKEN = [{"image": "a b", "weight": 50}, {"image": "a:2", "weight": 101}, {"weight": 5}, 5, "a:2"]


@pytest.mark.parametrize("canary", BROKEN)
def test_an_invalid_canary_is_left_unchanged_and_does_not_hold_up_the_main(canary: object) -> None:
    cluster, asked = with_canary()
    kept = [cluster.get(kind, "chat-canary") for kind in (Kind.DEPLOYMENT, Kind.SERVICE)]
    broken = endpoint(spec={"replicas": 3, "canary": canary}).model_copy(update={"region_status": asked.region_status})
    cluster.reconcile(broken)
    cluster.roll_out("chat")
    plan = cluster.reconcile(broken)
    assert cluster.get(Kind.DEPLOYMENT, "chat").spec["replicas"] == 3
    assert [cluster.get(kind, "chat-canary") for kind in (Kind.DEPLOYMENT, Kind.SERVICE)] == kept
    assert weights(cluster) == {"chat": 80, "chat-canary": 20}
    assert plan.report is not None
    assert (plan.report.state, plan.report.reason) == (RegionState.RUNNING, Reason.INVALID_SPEC)
    assert plan.report.error.startswith("spec.canary")


def test_an_endpoint_with_an_invalid_canary_is_created_without_it() -> None:
    cluster, asked = running({"canary": {"image": "a b"}})
    plan = cluster.reconcile(asked)
    assert plan.report is not None
    assert (plan.report.state, plan.report.reason) == (RegionState.RUNNING, Reason.INVALID_SPEC)
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is None
    assert weights(cluster) == {}


def test_an_invalid_canary_without_ready_replicas_loses_its_traffic() -> None:
    cluster, _ = with_canary()
    cluster.roll_out("chat-canary", ready=0)
    plan = cluster.reconcile(endpoint(spec={"canary": {"image": "a b"}}))
    assert weights(cluster) == {}
    assert plan.decided.canary is not None
    assert not plan.decided.canary.waits_for_pods
    assert [step.event.reason for step in cluster.steps if step.event] == ["CanaryUnready"]
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is not None


def test_an_invalid_canary_is_scaled_to_zero_by_a_stop_and_goes_with_the_endpoint() -> None:
    cluster, _ = with_canary()
    cluster.reconcile(endpoint(spec={"canary": {"image": "a b"}}, desired_state="stopped"))
    assert cluster.get(Kind.DEPLOYMENT, "chat-canary").spec["replicas"] == 0
    cluster.reconcile(endpoint(spec={"canary": {"image": "a b"}}, desired_state="deleted"))
    cluster.collect()
    assert not cluster.objects


def test_a_contested_canary_that_became_invalid_keeps_its_annotation() -> None:
    cluster, _ = with_canary()
    contested = cluster.change(
        ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary"),
        annotations={
            **cluster.get(Kind.DEPLOYMENT, "chat-canary").annotations,
            "gco.io/contested": "template abc 1 2026-11-21T09:00:00+00:00",
        },
    )
    cluster.reconcile(endpoint(spec={"canary": {"image": "a b"}}))
    assert cluster.get(Kind.DEPLOYMENT, "chat-canary") == contested


def test_a_canary_of_weight_zero_is_not_in_the_ingress() -> None:
    cluster, asked = with_canary()
    cluster.reconcile(with_spec(asked, canary={**CANARY["canary"], "weight": 0}))
    assert weights(cluster) == {}
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is not None


def test_a_weight_change_is_one_write() -> None:
    cluster, asked = with_canary()
    plan = cluster.plan(with_spec(asked, canary={**CANARY["canary"], "weight": 50}))
    assert [step.ref.kind for step in plan.steps] == [Kind.INGRESS]


def test_a_canary_runs_its_own_image_and_the_mains_root_path() -> None:
    spec = {
        "image": "vllm/vllm-openai:1",
        "region_image_uris": {"us-east-1": "mirror.example/vllm:1"},
        "canary": {"image": "registry.example/plain:2"},
    }
    cluster, _ = running(spec)
    container = cluster.get(Kind.DEPLOYMENT, "chat-canary").spec["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/plain:2"
    assert container["args"] == ["--root-path", "/inference/chat"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/inference/chat/health"


def test_removing_a_canary_deletes_its_route_first_and_its_objects_after_the_drain() -> None:
    cluster, asked = with_canary()
    without = with_spec(asked)
    plan = cluster.reconcile(without)
    assert weights(cluster) == {}
    assert plan.requeue_after is not None
    assert plan.requeue_after.after == POLICY.canary_drain
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is not None
    cluster.wait(POLICY.canary_drain)
    cluster.reconcile(without)
    cluster.collect()
    cluster.reconcile(without)
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is None
    assert cluster.find(Kind.SERVICE, "chat-canary") is None
    assert DRAINING not in cluster.get(Kind.INGRESS, "inference-chat").annotations


def test_a_canary_added_again_while_draining_serves_again() -> None:
    cluster, asked = with_canary()
    cluster.reconcile(with_spec(asked))
    cluster.wait(POLICY.canary_drain / 2)
    cluster.reconcile(asked)
    assert weights(cluster) == {"chat": 80, "chat-canary": 20}
    assert DRAINING not in cluster.get(Kind.INGRESS, "inference-chat").annotations


def test_a_canary_that_never_had_traffic_is_deleted_at_once() -> None:
    cluster, asked = SimulatedCluster(), endpoint(spec=CANARY)
    cluster.reconcile(asked)
    cluster.reconcile(with_spec(asked))
    cluster.collect()
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is None


def test_a_promoted_canary_serves_at_its_weight_until_the_main_has_rolled_out() -> None:
    cluster, asked = with_canary()
    promoted = with_spec(asked, image=CANARY["canary"]["image"])
    cluster.reconcile(promoted)
    assert weights(cluster) == {"chat": 80, "chat-canary": 20}
    cluster.roll_out()
    cluster.reconcile(promoted)
    assert weights(cluster) == {}
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is not None
    cluster.wait(POLICY.canary_drain)
    cluster.reconcile(promoted)
    cluster.collect()
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is None


def test_a_canary_is_reconciled_while_the_main_is_rolling_out() -> None:
    cluster, asked = with_canary()
    changed = with_spec(asked, image="registry.example/serve:9", canary={**CANARY["canary"], "image": "r.example/c:3"})
    kinds = [(step.ref.kind, step.ref.name) for step in cluster.plan(changed).steps]
    assert kinds == [(Kind.DEPLOYMENT, "chat"), (Kind.DEPLOYMENT, "chat-canary")]


def test_a_taken_canary_name_does_not_block_the_main() -> None:
    cluster, asked = running()
    other = endpoint("chat-canary")
    cluster.reconcile(other)
    plan = cluster.plan(with_spec(asked, replicas=3, **CANARY))
    assert [step.ref.name for step in plan.steps] == ["chat"]
    assert plan.report is not None
    assert "belongs to the endpoint chat-canary" in plan.report.error


def test_an_endpoint_named_like_a_canary_is_not_taken_for_one() -> None:
    cluster, asked = running()
    cluster.reconcile(endpoint("chat-canary"))
    cluster.reconcile(asked)
    assert cluster.find(Kind.DEPLOYMENT, "chat-canary") is not None
    cluster.reconcile(endpoint(desired_state="deleted"))
    assert not cluster.objects[ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat-canary")].deleting


def test_a_recreated_ingress_has_the_canarys_route() -> None:
    cluster, asked = with_canary()
    del cluster.objects[ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat")]
    cluster.reconcile(asked)
    assert weights(cluster) == {"chat": 80, "chat-canary": 20}
