"""An endpoint whose path overlaps another's: no Ingress of its own, and none that serves is withdrawn."""

from dataclasses import replace

import pytest

from gco_stream.model.item.endpoint import Endpoint, RegionState
from gco_stream.model.objects import Kind
from gco_stream.model.reasons import Reason
from gco_stream.planning.policies.ingress_paths import overlap
from gco_stream.planning.types.policy import Census, FleetState
from tests.support.items import endpoint
from tests.support.simulated_cluster import SimulatedCluster, reported, running

BLOCKED = FleetState(ingress_path_owner="first", census=Census(running=1, withdrawn=0))
INGRESS = "inference-chat"
MESSAGE = "ingress_path: invalid value '/v1': must not overlap the path of the endpoint first"


def serving(path: str = "/v1") -> tuple[SimulatedCluster, Endpoint]:
    """A running endpoint whose Ingress has this path."""
    cluster, asked = SimulatedCluster(), endpoint(ingress_path=path, spec={"image": "vllm/vllm-openai:1"})
    cluster.reconcile(asked)
    cluster.roll_out()
    asked = reported(asked, cluster.reconcile(asked), cluster.now)
    assert cluster.find(Kind.INGRESS, INGRESS) is not None
    return cluster, asked


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/v1", "/v1", True),
        ("/v1", "/v1/", True),
        ("/v1", "/v1/chat", True),
        ("/v1/chat/", "/v1", True),
        ("/v1", "/v1x", False),
        ("/v1/a", "/v1/b", False),
        ("/v1", "/V1", False),
    ],
)
def test_paths_overlap_by_segments(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is expected


def test_a_blocked_endpoint_runs_without_an_ingress_and_reports_the_conflict() -> None:
    cluster, asked = SimulatedCluster(), endpoint(ingress_path="/v1")
    cluster.reconcile(asked, BLOCKED)
    cluster.roll_out()
    plan = cluster.reconcile(asked, BLOCKED)
    assert cluster.find(Kind.INGRESS, INGRESS) is None
    assert cluster.get(Kind.DEPLOYMENT, "chat").spec["replicas"] == 1
    assert plan.report is not None
    assert (plan.report.state, plan.report.reason) == (RegionState.ERROR, Reason.INGRESS_PATH_CONFLICT)
    assert (plan.report.ready, plan.report.error) == (1, MESSAGE)


def test_a_blocked_endpoint_gets_its_ingress_when_the_path_is_free() -> None:
    cluster, asked = SimulatedCluster(), endpoint(ingress_path="/v1")
    cluster.reconcile(asked, BLOCKED)
    cluster.roll_out()
    asked = reported(asked, cluster.reconcile(asked, BLOCKED), cluster.now)
    plan = cluster.reconcile(asked)
    assert cluster.find(Kind.INGRESS, INGRESS) is not None
    assert plan.report is not None
    assert (plan.report.state, plan.report.error) == (RegionState.RUNNING, "")


def test_an_ingress_that_serves_stays_and_only_a_warning_is_given() -> None:
    cluster, asked = serving()
    before = dict(cluster.objects)
    plan = cluster.reconcile(asked, BLOCKED)
    assert cluster.objects == before
    assert not plan.write_report
    assert [(one.reason, one.message) for one in plan.warnings] == [(Reason.INGRESS_PATH_CONFLICT, MESSAGE)]


def test_an_endpoint_that_serves_keeps_all_objects_if_its_new_path_is_taken() -> None:
    cluster, asked = serving("/old")
    before = dict(cluster.objects)
    changed = asked.model_copy(update={"ingress_path": "/v1", "intent": "1:changed"})
    plan = cluster.reconcile(changed, BLOCKED)
    assert cluster.objects == before
    assert plan.report is not None
    assert (plan.report.state, plan.report.reason) == (RegionState.ERROR, Reason.INGRESS_PATH_CONFLICT)
    cluster.reconcile(changed)
    assert cluster.get(Kind.INGRESS, INGRESS).spec["rules"][0]["http"]["paths"][0]["path"] == "/v1"


def test_the_watchdog_still_withdraws_the_ingress_of_an_endpoint_with_a_conflict() -> None:
    cluster, asked = serving()
    cluster.policy = replace(cluster.policy, unhealthy_threshold=0)
    cluster.roll_out(ready=0)
    cluster.pods = ()
    cluster.reconcile(asked, BLOCKED)
    assert cluster.find(Kind.INGRESS, INGRESS) is None


@pytest.mark.parametrize("changes", [{"desired_state": "stopped"}, {"desired_state": "deleted"}])
def test_an_endpoint_with_a_conflict_can_be_stopped_and_deleted(changes: dict[str, str]) -> None:
    cluster, _ = serving()
    cluster.reconcile(endpoint(ingress_path="/v1", **changes), BLOCKED)
    assert cluster.find(Kind.INGRESS, INGRESS) is None


def test_an_endpoint_without_a_conflict_has_no_warning() -> None:
    cluster, asked = running()
    assert cluster.plan(asked).warnings == ()
