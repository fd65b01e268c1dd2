from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.model.item.endpoint import DesiredState, Endpoint, InvalidItem, RegionState, read_endpoint
from gco_stream.model.wire import encode
from tests.support.items import PARITY_CASES, endpoint, item, parity_item, read


@pytest.mark.parametrize("case", PARITY_CASES)
def test_every_real_item_can_be_read(case: str) -> None:
    found = read(parity_item(case))
    assert isinstance(found, Endpoint)
    assert found.spec is not None


def test_missing_attributes_have_gcos_defaults() -> None:
    found = endpoint(namespace=None, ingress_path=None, desired_state=None, region_status=None, created_at=None)
    assert found.spec is not None
    assert (found.namespace, found.ingress_path, found.desired_state) == (None, "/inference/chat", "deploying")
    assert (found.spec.port, found.spec.replicas, found.spec.gpu_count) == (8000, 1, 1)
    assert found.spec.resources.requests == {"cpu": "1", "memory": "4Gi"}


@pytest.mark.parametrize("three", [3, Decimal(3), Decimal("3.0"), "3", "3.0", " 3 ", 3.0])
def test_numbers_are_accepted_in_every_form(three: Any) -> None:
    spec = endpoint(spec={"replicas": three}).spec
    assert spec is not None
    assert spec.replicas == 3


def test_env_values_become_text_as_in_gco() -> None:
    spec = endpoint(spec={"env": {"A": 5, "B": True, "C": Decimal("1.50"), "D": "x"}}).spec
    assert spec is not None
    assert spec.env == {"A": "5", "B": "True", "C": "1.5", "D": "x"}


def test_null_attributes_mean_the_same_as_missing_ones() -> None:
    found = read_endpoint(encode(item() | {"spec": {"image": "a:1", "canary": None, "args": None}, "hold": None}))
    assert isinstance(found, Endpoint)
    assert found.spec is not None
    assert (found.spec.canary, found.spec.args, found.hold) == (None, (), None)


def test_target_regions_may_be_a_string_set() -> None:
    assert endpoint(target_regions=frozenset({"a", "b"})).target_regions == {"a", "b"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"port": 99999}, "spec.port: invalid value 99999: must be a whole number from 1 to 65535"),
        ({"replicas": Decimal("1.5")}, "spec.replicas: invalid value 1.5: must be a whole number from 0 to 10000"),
        ({"replicas": True}, "spec.replicas: invalid value True: must be a whole number from 0 to 10000"),
        ({"image": None}, "spec.image: missing required value: must be an image reference"),
        ({"image": "a b"}, "spec.image: invalid value 'a b': must be an image reference"),
        ({"accelerator": "tpu"}, "spec.accelerator: invalid value 'tpu': must be nvidia or neuron"),
        ({"health_check_path": "health"}, "spec.health_check_path: invalid value 'health': must be a URL path"),
        ({"resources": {"limits": {"cpu": "-1"}}}, "spec.resources.limits.cpu: invalid value '-1'"),
        ({"env": {"A\tB": "x"}}, "spec.env.A\\tB: invalid name: must be a variable name"),
        ({"node_selector": {"a": "b c"}}, "spec.node_selector.a: invalid value 'b c'"),
        ({"args": "--x"}, "spec.args: invalid value '--x': must be a list of strings"),
        ({"tolerations": [{"operator": "Equal"}]}, "spec.tolerations[0]: operator must be Exists if key"),
        ({"tolerations": [{"key": "a", "effect": "No"}]}, "spec.tolerations[0].effect: invalid value 'No'"),
        (
            {"autoscaling": {"enabled": True, "min_replicas": 9, "max_replicas": 3}},
            "spec.autoscaling: min_replicas (9) must not be greater than max_replicas (3)",
        ),
    ],
)
def test_an_invalid_field_is_reported_with_its_value_and_what_is_allowed(spec: dict[str, Any], message: str) -> None:
    found = endpoint(spec=spec)
    assert found.spec is None
    assert any(str(problem).startswith(message) for problem in found.spec_problems), found.spec_problems


def test_an_invalid_env_value_is_never_shown() -> None:
    found = endpoint(spec={"env": {"TOKEN": {"secret": "hunter2"}}})
    assert found.spec is None
    assert "hunter2" not in str(found.spec_problems[0])
    assert "spec.env.TOKEN" in str(found.spec_problems[0])


def test_all_problems_are_reported_at_once() -> None:
    assert len(endpoint(spec={"port": 0, "replicas": -1, "image": ""}).spec_problems) == 3


def test_state_and_regions_are_readable_despite_an_invalid_spec() -> None:
    found = read(item() | {"spec": "nonsense", "desired_state": "stopped"})
    assert isinstance(found, Endpoint)
    assert found.desired_state is DesiredState.STOPPED
    assert found.spec is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_regions": []}, "target_regions: invalid value []: must be a list of 1 to 1000 regions"),
        ({"target_regions": None}, "target_regions: missing required value: must be a list of 1 to 1000 regions"),
        ({"desired_state": "paused"}, "desired_state: invalid value 'paused': must be deploying, running, stopped"),
        ({"namespace": "No Such"}, "namespace: invalid value 'No Such'"),
    ],
)
def test_an_invalid_identity_makes_the_item_unreadable(changes: dict[str, Any], message: str) -> None:
    found = read(item(**changes))
    assert isinstance(found, InvalidItem)
    assert found.error.startswith(message)


@pytest.mark.parametrize("name", ["Chat", "1chat", "chat-", "a_b", "a" * 64, "ä"])
def test_a_name_that_is_invalid_for_objects_is_rejected(name: str) -> None:
    found = read(item(name))
    assert isinstance(found, InvalidItem)
    assert "endpoint_name" in found.error


def test_a_name_needs_room_for_the_canary_suffix_only_if_there_is_a_canary() -> None:
    assert not endpoint("a" * 63).all_problems
    assert not endpoint("a" * 56, spec={"canary": {"image": "a:2"}}).all_problems
    refused = endpoint("a" * 57, spec={"canary": {"image": "a:2"}})
    assert refused.spec is not None
    assert refused.spec.canary is None
    assert "56 with a canary" in str(refused.canary_problems[0])


def test_a_region_with_an_invalid_status_counts_as_reported() -> None:
    found = endpoint(region_status={"a": {"state": "running", "epoch": 7}, "b": {"state": "odd"}, "c": "text"})
    assert found.region_status["a"].state is RegionState.RUNNING
    assert found.region_status["a"].epoch == 7
    assert set(found.region_status) == {"a"}
    assert found.reported_regions == {"a", "b", "c"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["desired_state", "target_regions", "namespace", "spec", "ingress_path", "region_status", "hold", "created_at", "x"]
)
spec_fields = st.sampled_from(["image", "port", "env", "resources", "args", "tolerations", "autoscaling", "canary"])


@given(st.dictionaries(fields, anything, max_size=5), st.dictionaries(spec_fields, anything, max_size=4))
def test_reading_an_item_never_raises(attributes: dict[str, Any], spec: dict[str, Any]) -> None:
    found = read(item(spec=spec) | attributes)
    assert isinstance(found, Endpoint | InvalidItem)
    if isinstance(found, InvalidItem):
        assert found.problems
