"""Explanations always agree with plans, whatever users, other controllers and the cluster do in any order."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gco_stream.cli.render.explain import as_json, in_full, in_short
from gco_stream.model import names
from gco_stream.model.item.endpoint import DesiredState, Endpoint, InvalidItem
from gco_stream.model.objects import Kind, ObjectRef, Observed, Ownership, PodHealth
from gco_stream.planning.explain.explanation import Explanation
from gco_stream.planning.explain.object_status import ObjectState
from gco_stream.planning.lifecycle.promotion import table_change
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.policy import Census, FleetState
from tests.planning.support.explanations import BOTH, DEPLOYMENT, DOWN, INGRESS, SERVICE, explained
from tests.support.items import PARITY_CASES, REGION, item, parity_item, read
from tests.support.simulated_cluster import CANARY, NAMESPACE, POLICY, SCALED, SimulatedCluster, reported, running

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", PARITY_CASES)
def test_an_explanation_of_a_real_item_agrees_with_its_plan_at_every_step(case: str) -> None:
    cluster, asked = SimulatedCluster(), read(parity_item(case))
    assert isinstance(asked, Endpoint)
    for _ in range(8):
        found = agrees(cluster, asked)
        if not found.plan.steps:
            cluster.roll_out()
            if found.plan.write_report:
                asked = reported(asked, found.plan, cluster.now)
        for step in found.plan.steps[:1]:
            cluster.execute(step)
    for state in ("stopped", "deleted"):
        agrees(cluster, asked.model_copy(update={"desired_state": DesiredState(state)}))


def agrees(cluster: SimulatedCluster, asked: Endpoint | InvalidItem, fleet: FleetState | None = None) -> Explanation:
    """Checks one explanation against its plan and the live objects."""
    found = explained(cluster, asked, fleet)
    refs = [one.ref for one in found.objects]
    assert len(refs) == len(set(refs)), refs
    assert {one.ref for one in found.objects if one.state.acts} == {step.ref for step in found.plan.steps}
    if found.in_desired_state:
        assert not found.plan.steps
        assert not found.plan.missing_inputs
    text = "\n".join([*in_full(found, cluster.now), *in_short(found), str(as_json(found))])
    assert "s3cret" not in text
    for one in found.objects:
        standing = cluster.objects.get(one.ref)
        match one.state:
            case ObjectState.NOT_NEEDED | ObjectState.WOULD_CREATE:
                assert standing is None, one
            case ObjectState.HELD:
                assert one.message, one
            case ObjectState.NOT_OWNED:
                assert standing is not None, one
                assert one.message, one
            case ObjectState.TERMINATING:
                assert standing is not None, one
                assert standing.deleting, one
            case _:
                assert standing is not None, one
                assert not standing.deleting, one
    if isinstance(asked, Endpoint):
        _agrees_with_the_situation(
            found, ReconcileContext(asked, Observed(cluster.objects), fleet or FleetState(), cluster.now, POLICY)
        )
    return found


def _agrees_with_the_situation(found: Explanation, context: ReconcileContext) -> None:
    asked = context.endpoint
    shown = {one.ref for one in found.objects}
    assert {obj.ref for obj in context.all_owned()} <= shown
    for one in found.objects:
        standing = context.observed.objects.get(one.ref)
        if standing is not None:
            assert (one.state is ObjectState.NOT_OWNED) == (not context.owns(standing)), one
    if found.pending_change and found.plan.report is not None:
        assert (not found.waits_for) == (table_change(asked, POLICY.region) is not None)


def _take_some(count: int) -> Callable[[SimulatedCluster, Endpoint], None]:
    def take(cluster: SimulatedCluster, asked: Endpoint) -> None:
        for step in cluster.plan(asked).steps[:count]:
            cluster.execute(step)

    return take


def _on_each(kind: Kind, **changes: Any) -> Callable[[SimulatedCluster, Endpoint], None]:
    def change(cluster: SimulatedCluster, _: Endpoint) -> None:
        for ref in [ref for ref in cluster.objects if ref.kind is kind]:
            spec = {**cluster.objects[ref].spec, **changes["spec"]} if "spec" in changes else cluster.objects[ref].spec
            cluster.change(ref, **{**changes, "spec": spec})

    return change


def _remove(ref: ObjectRef) -> Callable[[SimulatedCluster, Endpoint], None]:
    return lambda cluster, _: cluster.objects.pop(ref, None) and None


def _unstamped(cluster: SimulatedCluster, _: Endpoint) -> None:
    for ref, obj in list(cluster.objects.items()):
        plain = {key: value for key, value in obj.annotations.items() if not key.startswith("gco.io/")}
        cluster.change(ref, annotations=plain, ownership=Ownership(legacy=True))


def _pods(*pods: PodHealth) -> Callable[[SimulatedCluster, Endpoint], None]:
    def put(cluster: SimulatedCluster, _: Endpoint) -> None:
        cluster.pods = pods

    return put


def _roll_out(*which: str, ready: int | None = None) -> Callable[[SimulatedCluster, Endpoint], None]:
    return lambda cluster, _: cluster.roll_out(*which, ready=ready)


ACTIONS = {
    "steps": _take_some(99),
    "a step": _take_some(1),
    "rollout": _roll_out(),
    "none ready": _roll_out(ready=0),
    "no canary ready": _roll_out("chat-canary", ready=0),
    "replicas by hand": _on_each(Kind.DEPLOYMENT, spec={"replicas": 7}),
    "another selector": _on_each(Kind.DEPLOYMENT, spec={"selector": {"matchLabels": {"app": "other"}}}),
    "port by hand": _on_each(Kind.SERVICE, spec={"ports": [{"port": 81, "targetPort": 1, "protocol": "TCP"}]}),
    "class by hand": _on_each(Kind.INGRESS, spec={"ingressClassName": "nginx"}),
    "Service taken": _on_each(Kind.SERVICE, labels={}, annotations={}, ownership=Ownership()),
    "HPA taken": _on_each(Kind.HPA, labels={}, annotations={}, ownership=Ownership()),
    "Deployments terminate": _on_each(Kind.DEPLOYMENT, deleting=True, deleting_since="2026-11-21T08:59:00Z"),
    "Ingress terminates": _on_each(Kind.INGRESS, deleting=True),
    "terminating objects removed": lambda cluster, _: cluster.collect(),
    "no Ingress": _remove(INGRESS),
    "no Service": _remove(SERVICE),
    "no Deployment": _remove(DEPLOYMENT),
    "created by GCO": _unstamped,
    "a newer template": _on_each(Kind.DEPLOYMENT, annotations={names.TEMPLATE_VERSION_ANNOTATION: "99"}),
    "drained": lambda cluster, _: cluster.wait(POLICY.canary_drain + 1),
    "threshold passed": lambda cluster, _: cluster.wait(POLICY.unhealthy_threshold + 1),
    "pods down": _pods(DOWN),
    "pods ready": _pods(replace(DOWN, containers_ready=True)),
}
SPECS: list[dict[str, Any]] = [
    {},
    SCALED,
    CANARY,
    {**SCALED, **CANARY},
    {"replicas": 0},
    {"image": "registry.example/serve:2.0"},
    {"canary": {"image": "x:9", "weight": 0}},
    {"env": {"TOKEN": "s3cret"}, "replicas": 3},
    {"canary": {"image": "?"}},
    {"port": "?"},
]
STATES = ["running"] * 4 + ["deploying", "stopped", "deleted"]
REGIONS = [[REGION]] * 5 + [BOTH, ["eu-west-1"], []]
HOLDS = [None] * 4 + ["maintenance"]
NAMESPACES = [NAMESPACE] * 8 + ["kube-system"]
TURNS = st.tuples(
    st.one_of(st.none(), st.none(), st.sampled_from(SPECS)),
    st.fixed_dictionaries(
        {
            "desired_state": st.sampled_from(STATES),
            "target_regions": st.sampled_from(REGIONS),
            "hold": st.sampled_from(HOLDS),
            "namespace": st.sampled_from(NAMESPACES),
            "ingress_path": st.sampled_from(["/inference/chat", "/v1"]),
        }
    ),
    st.lists(st.sampled_from(sorted(ACTIONS)), max_size=4),
    st.booleans(),
)
FLEETS = st.builds(
    lambda left, census, claimed, owner: FleetState(
        deletions_left=left, census=census, names_claimed_by_others=claimed, ingress_path_owner=owner
    ),
    st.sampled_from([5, 0]),
    st.sampled_from([None, Census(4, 0), Census(4, 2)]),
    st.sampled_from([frozenset(), frozenset({"chat-canary"})]),
    st.sampled_from([None, None, "other"]),
)


@settings(max_examples=150, deadline=None)
@given(first=st.sampled_from(SPECS[:-1]), turns=st.lists(TURNS, min_size=1, max_size=5), fleet=FLEETS)
def test_an_object_would_change_exactly_if_the_plan_has_a_step_for_it(
    first: dict[str, Any],
    turns: list[tuple[dict[str, Any] | None, dict[str, Any], list[str], bool]],
    fleet: FleetState,
) -> None:
    """Starts from a running endpoint and applies changes by users, other controllers and the cluster."""
    cluster, before = running(first)
    status = before.region_status
    for spec, attributes, actions, reports in turns:
        asked = read(item(spec=first if spec is None else spec, **attributes))
        if isinstance(asked, InvalidItem):
            agrees(cluster, asked, fleet)
            continue
        asked = asked.model_copy(update={"region_status": status, "reported_regions": frozenset(status)})
        for action in actions:
            ACTIONS[action](cluster, asked)
        found = agrees(cluster, asked, fleet)
        if reports and found.plan.report is not None:
            asked = reported(asked, found.plan, cluster.now)
            status = asked.region_status
            agrees(cluster, asked, fleet)
