from typing import Any

import pytest

from gco_stream.model.item.endpoint import Endpoint
from gco_stream.model.objects import Kind
from gco_stream.planning.types.steps import Create
from tests.support.items import PARITY_CASES, endpoint, item, parity_item, parity_objects, read
from tests.support.simulated_cluster import CANARY, SCALED, SimulatedCluster, running, with_spec


@pytest.mark.parametrize("case", PARITY_CASES)
def test_the_objects_of_a_real_item_are_those_that_gco_creates(case: str) -> None:
    cluster, asked = SimulatedCluster(), read(parity_item(case))
    assert isinstance(asked, Endpoint)
    cluster.reconcile(asked)
    cluster.roll_out()
    cluster.reconcile(asked)
    expected = set(parity_objects(case))
    assert {f"{ref.kind}/{ref.name}" for ref in cluster.objects} == expected


def test_objects_are_created_in_the_order_service_deployment_autoscaler() -> None:
    plan = SimulatedCluster().plan(endpoint(spec=SCALED))
    assert [step.ref.kind for step in plan.steps] == [Kind.SERVICE, Kind.DEPLOYMENT, Kind.HPA]
    assert all(isinstance(step, Create) for step in plan.steps)


def test_an_endpoint_in_sync_needs_nothing() -> None:
    cluster, asked = running(CANARY)
    cluster.reconcile(asked)
    assert cluster.plan(asked).steps == ()


@pytest.mark.parametrize(
    "spec", [{}, CANARY, SCALED, {"replicas": 0}, {"model_source": "s3://b/m", "env": {"B": "1", "A": "2"}}]
)
def test_an_executed_plan_leaves_nothing_to_do(spec: dict[str, Any]) -> None:
    cluster, asked = running(spec)
    cluster.reconcile(asked)
    assert cluster.plan(asked).steps == ()


def test_the_ingress_is_created_with_the_first_ready_replica() -> None:
    cluster, asked = SimulatedCluster(), endpoint()
    cluster.reconcile(asked)
    assert cluster.find(Kind.INGRESS, "inference-chat") is None
    cluster.roll_out()
    cluster.reconcile(asked)
    assert cluster.find(Kind.INGRESS, "inference-chat") is not None


def test_an_endpoint_with_zero_replicas_has_no_ingress() -> None:
    cluster, asked = running()
    cluster.reconcile(with_spec(asked, replicas=0))
    assert cluster.find(Kind.INGRESS, "inference-chat") is None
    plan = SimulatedCluster().plan(endpoint(spec={"replicas": 0}))
    assert [step.ref.kind for step in plan.steps] == [Kind.SERVICE, Kind.DEPLOYMENT]


def test_the_order_of_env_variables_does_not_depend_on_the_table() -> None:
    orders = [{"A": "1", "B": "2"}, {"B": "2", "A": "1"}]
    made = [SimulatedCluster().plan(endpoint(spec={"env": env})).steps for env in orders]
    assert made[0] == made[1]


def test_inputs_are_never_modified() -> None:
    plain = item(spec={"node_selector": {"a": "b"}, "capacity_type": "spot", "args": ["--x"]})
    before = repr(plain)
    asked = read(plain)
    assert isinstance(asked, Endpoint)
    cluster = SimulatedCluster()
    dump = asked.model_dump()
    cluster.reconcile(asked)
    assert repr(plain) == before
    assert asked.model_dump() == dump
