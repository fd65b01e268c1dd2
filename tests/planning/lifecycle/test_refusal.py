from dataclasses import replace

import pytest

from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.objects import Kind
from gco_stream.model.reasons import Reason
from tests.support.items import endpoint, item, read
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SimulatedCluster, running, with_spec


def test_an_endpoint_with_an_invalid_spec_keeps_its_objects_and_reports_why() -> None:
    cluster, asked = running()
    broken = endpoint(spec={"port": 0}).model_copy(update={"region_status": asked.region_status})
    plan = cluster.plan(broken)
    assert plan.steps == ()
    assert plan.report is not None
    assert plan.report.state is RegionState.ERROR
    assert "spec.port: invalid value 0" in plan.report.error
    assert plan.report.ready == 1


@pytest.mark.parametrize("state", ["stopped", "deleted"])
def test_an_endpoint_with_an_invalid_spec_can_be_stopped_and_deleted(state: str) -> None:
    cluster, _ = running(CANARY)
    cluster.reconcile(endpoint(spec={"port": 0}, desired_state=state))
    cluster.collect()
    left = {obj.spec.get("replicas") for ref, obj in cluster.objects.items() if ref.kind is Kind.DEPLOYMENT}
    assert left == ({0} if state == "stopped" else set())


def test_an_invalid_item_is_only_reported() -> None:
    cluster, _ = running()
    plan = cluster.plan(read(item(desired_state="paused")))
    assert plan.steps == ()
    assert plan.report is not None
    assert "desired_state: invalid value 'paused'" in plan.report.error


def test_a_namespace_that_is_not_allowed_is_refused() -> None:
    plan = SimulatedCluster().plan(endpoint(namespace="kube-system"))
    assert plan.steps == ()
    assert plan.report is not None
    assert plan.report.reason is Reason.NAMESPACE_NOT_ALLOWED
    assert "namespace: invalid value 'kube-system': must be one of gco-inference" in plan.report.error


def test_a_changed_namespace_is_refused_while_the_old_one_has_objects() -> None:
    cluster, _ = running()
    cluster.policy = replace(POLICY, namespaces=(NAMESPACE, "team-b"))
    plan = cluster.plan(endpoint(namespace="team-b"))
    assert plan.steps == ()
    assert plan.report is not None
    assert plan.report.reason is Reason.NAMESPACE_CHANGED
    assert "objects are in gco-inference" in plan.report.error


def test_a_held_endpoint_is_left_unchanged_and_reports_the_hold() -> None:
    cluster, asked = running()
    plan = cluster.plan(with_spec(asked, replicas=5).model_copy(update={"hold": "incident 12"}))
    assert plan.steps == ()
    assert str(plan.report) == "pending, 1 of 5 ready: held: incident 12"
    assert plan.report is not None
    assert plan.report.reason is Reason.HELD
    assert "apply Deployment gco-inference/chat" in str(plan.withheld[0])
