import pytest

from gco_stream.model.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject
from tests.items import endpoint
from tests.planning.simulated import CANARY, NAMESPACE, SimulatedCluster, running

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
