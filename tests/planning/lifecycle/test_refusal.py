from dataclasses import replace

import pytest

from gco_stream.model.endpoint import RegionState
from gco_stream.model.objects import Kind
from gco_stream.model.reasons import Reason
from tests.support.items import endpoint, item, read
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SimulatedCluster, running, with_spec


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


def test_an_unreadable_item_is_reported_and_nothing_is_done() -> None:
    cluster, _ = running()
    made = cluster.plan(read(item(desired_state="paused")))  # type: ignore[arg-type]
    assert made.steps == ()
    assert made.report is not None
    assert "desired_state: 'paused' is not allowed" in made.report.error


def test_a_namespace_that_is_not_allowed_is_refused() -> None:
    made = SimulatedCluster().plan(endpoint(namespace="kube-system"))
    assert made.steps == ()
    assert made.report is not None
    assert made.report.reason is Reason.NAMESPACE_NOT_ALLOWED
    assert "namespace: invalid value 'kube-system': must be one of gco-inference" in made.report.error


def test_a_changed_namespace_is_refused_while_objects_stand_in_the_old_one() -> None:
    cluster, _ = running()
    cluster.policy = replace(POLICY, namespaces=(NAMESPACE, "team-b"))
    made = cluster.plan(endpoint(namespace="team-b"))
    assert made.steps == ()
    assert made.report is not None
    assert made.report.reason is Reason.NAMESPACE_CHANGED
    assert "objects are in gco-inference" in made.report.error


def test_a_held_endpoint_is_left_as_it_is_and_says_so() -> None:
    cluster, asked = running()
    made = cluster.plan(with_spec(asked, replicas=5).model_copy(update={"hold": "incident 12"}))
    assert made.steps == ()
    assert str(made.report) == "pending, 1 of 5 ready: held: incident 12"
    assert made.report is not None
    assert made.report.reason is Reason.HELD
    assert "apply Deployment gco-inference/chat" in str(made.withheld[0])
