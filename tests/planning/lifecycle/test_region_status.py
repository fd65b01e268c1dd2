from dataclasses import replace

import pytest

from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Reason
from tests.support.items import REGION, endpoint
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SimulatedCluster, reported, running, with_spec


def test_creating_becomes_running_once_every_replica_is_updated_and_available() -> None:
    cluster, asked = SimulatedCluster(), endpoint(spec={"replicas": 2})
    plan = cluster.reconcile(asked)
    assert str(plan.report) == "creating, 0 of 2 ready"
    asked = reported(asked, plan, cluster.now)
    cluster.roll_out(ready=1)
    plan = cluster.plan(asked)
    assert plan.report is not None
    assert plan.report.state is RegionState.CREATING
    cluster.roll_out()
    # Running is reported only once the Ingress exists too.
    assert str(cluster.plan(asked).report) == "creating, 2 of 2 ready"
    assert str(cluster.reconcile(asked).report) == "running, 2 of 2 ready"


def test_a_change_is_reported_as_updating_until_it_is_rolled_out() -> None:
    cluster, asked = running()
    asked = with_spec(asked, image="registry.example/serve:2.0")
    plan = cluster.reconcile(asked)
    assert plan.report is not None
    assert plan.report.state is RegionState.UPDATING
    assert plan.write_report


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
    plan = cluster.plan(asked)
    assert plan.requeue_after is not None
    assert (plan.write_report, plan.requeue_after.after) == (False, POLICY.status_interval)
    cluster.wait(POLICY.status_interval)
    assert cluster.plan(asked).write_report


def test_a_heartbeat_is_reported_when_it_is_due() -> None:
    cluster, asked = running()
    cluster.policy = replace(POLICY, status_heartbeat=60)
    assert not cluster.plan(asked).write_report
    cluster.wait(60)
    assert cluster.plan(asked).write_report


def test_a_paused_deployment_with_a_pending_change_is_not_running() -> None:
    cluster, asked = running()
    asked = with_spec(asked, image="registry.example/serve:2.0")
    cluster.reconcile(asked)
    ref = ObjectRef(Kind.DEPLOYMENT, NAMESPACE, "chat")
    generation = cluster.objects[ref].generation
    cluster.change(ref, status={"observedGeneration": generation, "replicas": 1, "availableReplicas": 1})
    assert str(cluster.plan(asked).report).startswith("updating")


def test_a_pending_canary_does_not_change_the_reported_state() -> None:
    cluster, asked = running()
    plan = cluster.plan(with_spec(asked, **CANARY))
    assert {step.ref.name for step in plan.steps} == {"chat-canary"}
    assert str(plan.report) == "running, 1 of 1 ready"


def test_a_report_has_the_warnings_of_its_item() -> None:
    _, asked = running({"replica": 2})
    report = SimulatedCluster().plan(asked).report
    assert report is not None
    assert [one.reason for one in report.warnings] == [Reason.UNKNOWN_FIELD]
    assert (report.error, report.reason) == ("", None)


def test_warnings_alone_are_no_reason_to_report() -> None:
    # The report of an earlier release has no warnings.
    cluster, asked = running({"replica": 2, "region_image_uris": {REGION: "registry.example/serve:0.9"}})
    plan = cluster.plan(asked)
    assert plan.report is not None
    assert len(plan.report.warnings) == 2
    assert not plan.write_report


def test_a_held_endpoint_reports_its_warnings_too() -> None:
    report = SimulatedCluster().plan(endpoint(spec={"replica": 2}, hold="because")).report
    assert report is not None
    assert (report.reason, len(report.warnings)) == (Reason.HELD, 1)


@pytest.mark.parametrize("gpu_type", ["a b", "-", "x" * 64])
def test_the_text_of_a_gpu_type_matters_only_if_it_is_honored(gpu_type: str) -> None:
    asked = endpoint(spec={"gpu_type": gpu_type})
    ignoring = SimulatedCluster().plan(asked)
    assert ignoring.steps
    assert ignoring.report is not None
    assert ignoring.report.error == ""
    honoring = SimulatedCluster(replace(POLICY, honor_gpu_type=True)).plan(asked)
    assert honoring.steps == ()
    assert honoring.report is not None
    assert honoring.report.reason is Reason.INVALID_SPEC
    assert honoring.report.error.startswith("spec.gpu_type: invalid value ")
