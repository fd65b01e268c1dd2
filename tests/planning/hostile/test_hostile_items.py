"""Hostile items are parsed, planned and reported with bounded texts, and their manifests match the grammar.

GCO_STREAM_EXAMPLES=N runs more examples:

    GCO_STREAM_EXAMPLES=20000 pytest tests/planning/hostile/test_hostile_items.py -p no:cacheprovider
"""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings

from gco_stream.cli.render.explain import as_json
from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint, InvalidItem, RegionState, read_endpoint
from gco_stream.planning.types.plan import Plan
from tests.planning.hostile.hostile_grammar import checked
from tests.planning.hostile.hostile_items import EXAMPLES, PRIVATE, PRIVILEGED, items
from tests.planning.support.explanations import explained
from tests.planning.support.lives import LONGEST_REPORT, lives
from tests.support.items import item
from tests.support.simulated_cluster import NAMESPACE, SimulatedCluster

pytestmark = pytest.mark.slow


def said(plan: Plan) -> list[str]:
    """All texts of a plan for people and programs."""
    return [*plan.lines(), *map(str, plan.notes), *map(str, plan.warnings), str(plan.report)]


@settings(max_examples=EXAMPLES)
@given(items(absurd=True))
def test_no_item_breaks_the_parser_the_plan_or_the_explanation(wired: dict[str, Any]) -> None:
    asked, cluster = read_endpoint(wired), SimulatedCluster()
    found = explained(cluster, asked)
    orjson.dumps(found.desired)
    if isinstance(asked, InvalidItem):
        assert not found.plan.steps
        assert asked.error.isprintable()
    else:
        lives(asked, cluster)
        assert (asked.spec is None) == bool(asked.spec_problems)


@settings(max_examples=EXAMPLES)
@given(items())
def test_texts_about_an_item_are_short_and_printable_without_values_of_env(wired: dict[str, Any]) -> None:
    asked, cluster = read_endpoint(wired), SimulatedCluster()
    found = explained(cluster, asked)
    if found.plan.report is not None:
        assert len(found.plan.report.error) <= LONGEST_REPORT
        assert found.plan.report.error.isprintable()
    for text in said(found.plan):
        assert text.isprintable(), text
        assert len(text) <= 2 * LONGEST_REPORT
    assert PRIVATE not in str(as_json(found))


@settings(max_examples=EXAMPLES)
@given(items())
def test_every_manifest_is_within_a_closed_grammar(wired: dict[str, Any]) -> None:
    asked = read_endpoint(wired)
    if isinstance(asked, Endpoint):
        checked(lives(asked, SimulatedCluster()), asked.name)


@pytest.mark.parametrize("field", PRIVILEGED)
def test_an_unknown_field_of_an_item_or_its_spec_changes_no_manifest(field: str) -> None:
    canary = {"image": "registry.example/serve:2.0", "weight": 20}
    plain = item(spec={"model_source": "s3://b/k", "canary": canary, "autoscaling": {"enabled": True}})
    smuggled = {field: PRIVILEGED[field]}
    for changed in (
        plain | smuggled,
        plain | {"spec": plain["spec"] | smuggled},
        plain | {"spec": plain["spec"] | {"canary": canary | smuggled}},
        plain | {"spec": plain["spec"] | {"resources": smuggled}},
        plain | {"spec": plain["spec"] | {"autoscaling": {"enabled": True} | smuggled}},
    ):
        asked = read_endpoint(wire.encode(changed))
        assert isinstance(asked, Endpoint)
        assert asked.spec is not None
        assert _made_of(changed) == _made_of(plain)


def _made_of(plain: dict[str, Any]) -> list[dict[str, Any]]:
    asked = read_endpoint(wire.encode(plain))
    assert isinstance(asked, Endpoint)
    return lives(asked, SimulatedCluster())


def test_an_env_value_can_only_be_a_string() -> None:
    reference = {"valueFrom": {"secretKeyRef": {"name": "others", "key": "token"}}}
    asked = read_endpoint(wire.encode(item(spec={"env": {"TOKEN": reference}})))
    assert isinstance(asked, Endpoint)
    assert asked.spec is None
    assert "spec.env.TOKEN" in str(asked.spec_problems[0])


def test_a_toleration_can_only_have_the_fields_of_a_toleration() -> None:
    asked = read_endpoint(wire.encode(item(spec={"tolerations": [{"operator": "Exists", "hostNetwork": True}]})))
    assert isinstance(asked, Endpoint)
    assert [str(problem) for problem in asked.spec_problems] == ["spec.tolerations[0].hostNetwork: unknown field"]


@pytest.mark.parametrize("namespace", ["kube-system", "default", "team-inference"])
def test_no_item_reaches_a_namespace_that_is_not_allowed(namespace: str) -> None:
    cluster = SimulatedCluster()
    for state in ("deploying", "running", "stopped", "deleted"):
        asked = read_endpoint(wire.encode(item(namespace=namespace, desired_state=state)))
        assert isinstance(asked, Endpoint)
        plan = cluster.plan(asked)
        assert not plan.steps
        if state != "deleted":
            assert plan.report is not None
            assert plan.report.state is RegionState.ERROR
            assert NAMESPACE in plan.report.error


def test_an_invalid_item_has_no_steps() -> None:
    for name in ("../chat", "Chat", "chat\n", "a" * 64):
        asked = read_endpoint(wire.encode(item(name)))
        assert isinstance(asked, InvalidItem)
        assert explained(SimulatedCluster(), asked).plan.steps == ()
