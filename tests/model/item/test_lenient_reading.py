"""What consoles, ORMs, Terraform and people write for the same thing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.model.item.endpoint import DesiredState, Endpoint, InvalidItem
from gco_stream.model.item.problem import summarize
from gco_stream.model.item.spec import EndpointSpec
from gco_stream.model.resources import value_of
from tests.support.items import endpoint, item, read

EMPTY = ["", " ", "\t\n"]
MAY_BE_EMPTY_TEXT = {"gpu_type", "model_path", "model_source"}
OPTIONAL = sorted(EndpointSpec.model_fields.keys() - {"image"} - MAY_BE_EMPTY_TEXT)


def spec_of(**spec: Any) -> EndpointSpec:
    found = endpoint(spec=spec)
    assert found.spec is not None, summarize(found.all_problems)
    assert not found.canary_problems
    return found.spec


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("field", OPTIONAL)
def test_empty_text_in_an_optional_field_of_the_spec_is_as_if_it_were_missing(field: str, empty: str) -> None:
    assert spec_of(**{field: empty}) == spec_of()
    assert spec_of(**{field: empty, "port": "8001"}) == spec_of(port=8001)


@pytest.mark.parametrize("field", sorted(MAY_BE_EMPTY_TEXT))
def test_empty_text_is_kept_where_it_is_a_valid_value(field: str) -> None:
    # It has been in the digest of the pod template of running Deployments.
    assert getattr(spec_of(**{field: ""}), field) == ""


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize(
    ("with_empty", "without"),
    [
        ({"resources": {"requests": {"cpu": "2", "memory": "?"}}}, {"resources": {"requests": {"cpu": "2"}}}),
        ({"resources": {"requests": "?", "limits": {"cpu": 4}}}, {"resources": {"limits": {"cpu": 4}}}),
        ({"region_image_uris": {"us-east-1": "?", "eu-west-1": "a:1"}}, {"region_image_uris": {"eu-west-1": "a:1"}}),
        ({"autoscaling": {"enabled": "?", "min_replicas": "?"}}, {"autoscaling": {}}),
        (
            {"autoscaling": {"metrics": [{"type": "cpu", "target": "?"}]}},
            {"autoscaling": {"metrics": [{"type": "cpu"}]}},
        ),
        (
            {"canary": {"image": "a:2", "weight": "?", "replicas": "?", "region_image_uris": "?"}},
            {"canary": {"image": "a:2"}},
        ),
        (
            {"tolerations": [{"key": "a", "operator": "?", "effect": "?", "tolerationSeconds": "?"}]},
            {"tolerations": [{"key": "a"}]},
        ),
        ({"tolerations": [{"key": "?", "operator": "Exists"}]}, {"tolerations": [{"operator": "Exists"}]}),
    ],
)
def test_empty_text_in_a_nested_map_is_as_if_it_were_missing(
    with_empty: dict[str, Any], without: dict[str, Any], empty: str
) -> None:
    assert spec_of(**_filled(with_empty, empty)) == spec_of(**without)


def _filled(value: Any, empty: str) -> Any:
    match value:
        case dict():
            return {name: _filled(inner, empty) for name, inner in value.items()}
        case list():
            return [_filled(inner, empty) for inner in value]
        case _:
            return empty if value == "?" else value


@pytest.mark.parametrize("missing", [*EMPTY, None])
@pytest.mark.parametrize("field", ["desired_state", "namespace", "ingress_path"])
def test_empty_text_in_an_optional_attribute_of_the_item_is_as_if_it_were_missing(
    field: str, missing: str | None
) -> None:
    found, expected = endpoint(**{field: missing}), endpoint(**{field: None})
    unlike = {"intent", "digest"}
    assert found.model_dump(exclude=unlike) == expected.model_dump(exclude=unlike)
    assert found.desired_state is DesiredState.DEPLOYING


def test_empty_text_stays_where_kubernetes_gives_it_a_meaning() -> None:
    spec = spec_of(
        env={"A": ""}, args=["--x", ""], command=[""], node_selector={"a": ""}, tolerations=[{"key": "a", "value": ""}]
    )
    assert (spec.env, spec.args, spec.command, spec.node_selector) == ({"A": ""}, ("--x", ""), ("",), {"a": ""})
    assert spec.tolerations[0].manifest() == {"key": "a", "value": ""}


@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_image_is_missing_and_empty_target_regions_are_invalid(empty: str) -> None:
    assert str(endpoint(spec={"image": empty}).spec_problems[0]).startswith("spec.image: missing required value")
    assert isinstance(read(item(target_regions=empty)), InvalidItem)
    assert isinstance(read(item(target_regions=[empty])), InvalidItem)


@pytest.mark.parametrize(
    "text", ["false", "False", "FALSE", "no", "No", "0", "off", "Off", "", " ", " false ", False, 0]
)
def test_a_hold_of_false_holds_nothing(text: object) -> None:
    assert endpoint(hold=text).hold is None


@pytest.mark.parametrize("text", ["true", "yes", "1", "benchmark", "not now", "nothing", "false alarm", True, 1])
def test_any_other_hold_holds(text: object) -> None:
    assert endpoint(hold=text).hold


@pytest.mark.parametrize("written", ["SPOT", "Spot", " spot ", "spot\n"])
def test_the_case_and_the_blanks_of_a_choice_do_not_matter(written: str) -> None:
    assert spec_of(capacity_type=written).capacity_type == "spot"
    assert spec_of(accelerator=written.replace(written.strip(), "Neuron")).accelerator == "neuron"


def test_blanks_around_an_image_are_removed() -> None:
    regions = {"us-east-1": "\ta:2 "}
    spec = spec_of(image=" a:1\n", region_image_uris=regions, canary={"image": "a:3 ", "region_image_uris": regions})
    assert spec.canary is not None
    assert (spec.image, spec.image_in("us-east-1")) == ("a:1", "a:2")
    assert (spec.canary.image, spec.canary_image_in("us-east-1")) == ("a:3", "a:2")


@pytest.mark.parametrize("image", ["[2001:db8::1]:5000/x:y", "[::1]/a/b", "[2001:DB8::1]:443/x@sha256:" + "0" * 64])
def test_an_image_may_come_from_a_registry_with_an_ipv6_address(image: str) -> None:
    assert spec_of(image=image).image == image


@pytest.mark.parametrize("name", ["A B", "1A", "..", "a:b", "\"'$(x)", " ", "~", "a/b"])
def test_a_variable_name_may_have_any_printable_ascii_character_but_the_equals_sign(name: str) -> None:
    assert spec_of(env={name: "x"}).env == {name: "x"}


@pytest.mark.parametrize(
    ("resources", "requests", "limits"),
    [
        ({"requests": {"memory": "64Gi"}}, {"memory": "64Gi"}, {"cpu": "4", "memory": "64Gi"}),
        ({"requests": {"memory": "128Gi"}}, {"memory": "128Gi"}, {"cpu": "4", "memory": "128Gi"}),
        ({"requests": {"cpu": "5000m"}}, {"cpu": "5000m"}, {"cpu": "5000m", "memory": "16Gi"}),
        ({"requests": {"memory": "16384Mi"}}, {"memory": "16384Mi"}, {"cpu": "4", "memory": "16Gi"}),
        ({"requests": {"a.b/c": 2}}, {"a.b/c": "2"}, {"cpu": "4", "memory": "16Gi", "a.b/c": "2"}),
        ({"requests": {"nvidia.com/gpu": 2}}, {"nvidia.com/gpu": "2"}, {"cpu": "4", "memory": "16Gi"}),
        ({"requests": {"ephemeral-storage": "1Ti"}}, {"ephemeral-storage": "1Ti"}, {"cpu": "4", "memory": "16Gi"}),
        ({"limits": {"memory": "2Gi"}}, {"cpu": "1", "memory": "2Gi"}, {"memory": "2Gi"}),
        ({"limits": {"cpu": "0", "memory": "8Gi"}}, {"cpu": "0", "memory": "4Gi"}, {"cpu": "0", "memory": "8Gi"}),
        ({"limits": {"cpu": "1000m"}}, {"cpu": "1", "memory": "4Gi"}, {"cpu": "1000m"}),
        ({"requests": {}}, {}, {"cpu": "4", "memory": "16Gi"}),
        ({"limits": {}}, {"cpu": "1", "memory": "4Gi"}, {}),
    ],
)  # fmt: skip
def test_a_default_request_or_limit_follows_what_the_item_has(
    resources: dict[str, Any], requests: dict[str, str], limits: dict[str, str]
) -> None:
    found = spec_of(resources=resources).resources
    assert (found.requests, found.limits) == (requests, limits)


_quantities = st.sampled_from(["0", "100m", "1", "1500m", "4", "4001m", "1Gi", "4Gi", "4097Mi", "16Gi", "64Gi", "1e12"])
_maps = st.dictionaries(st.sampled_from(["cpu", "memory"]), _quantities)


@given(st.fixed_dictionaries({"requests": _maps}) | st.fixed_dictionaries({"limits": _maps}))
def test_requests_or_limits_alone_are_always_valid_and_kept(resources: dict[str, dict[str, str]]) -> None:
    found = spec_of(resources=resources).resources
    for half, given_map in resources.items():
        assert getattr(found, half) == given_map
    assert all(
        value_of(found.requests[name]) <= value_of(found.limits[name]) for name in found.requests.keys() & found.limits
    )


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({}, 1),
        ({"gpu_count": 2, "resources": {"limits": {"nvidia.com/gpu": 4}}}, 2),
        ({"gpu_count": 0, "resources": {"limits": {"nvidia.com/gpu": 4}, "requests": {}}}, 0),
        ({"gpu_count": "", "resources": {"limits": {"nvidia.com/gpu": 4}}}, 4),
        ({"resources": {"limits": {"nvidia.com/gpu": "4"}}}, 4),
        ({"resources": {"requests": {"nvidia.com/gpu": 4}}}, 4),
        ({"resources": {"requests": {"nvidia.com/gpu": 2}, "limits": {"nvidia.com/gpu": 4}}}, 4),
        ({"resources": {"limits": {"nvidia.com/gpu": "0"}}}, 0),
        ({"resources": {"limits": {"nvidia.com/gpu": "500m"}}}, 1),
        ({"resources": {"limits": {"nvidia.com/gpu": "9E"}}}, 1),
        ({"accelerator": "neuron", "resources": {"limits": {"aws.amazon.com/neuron": 3}}}, 3),
        ({"resources": {"requests": {}, "limits": {"aws.amazon.com/neuron": 3}}}, 1),
    ],
)
def test_devices_in_the_resources_are_the_gpu_count_if_the_item_has_none(spec: dict[str, Any], count: int) -> None:
    assert spec_of(**spec).device_count == count


@pytest.mark.parametrize(
    ("written", "regions"),
    [
        ("us-east-1", {"us-east-1"}),
        ("us-east-1,eu-west-1", {"us-east-1", "eu-west-1"}),
        (" us-east-1 , eu-west-1\n", {"us-east-1", "eu-west-1"}),
        ("US East", set()),
        ("a " * 10_000, {"a"}),
        (5, set()),
        ({"us-east-1": True}, set()),
    ],
)
def test_regions_in_text_stay_invalid_but_are_readable(written: object, regions: set[str]) -> None:
    found = read(item(target_regions=written))
    assert isinstance(found, InvalidItem)
    assert found.target_regions == regions


@pytest.mark.parametrize(
    ("canary", "message"),
    [
        ({"image": "a:2", "weight": 101}, "spec.canary.weight: invalid value 101"),
        ({"weight": 5}, "spec.canary.image: missing required value: must be an image"),
        ({"image": "a b"}, "spec.canary.image: invalid value 'a b'"),
        (5, "spec.canary: invalid value 5: must be a map with image, weight and replicas"),
        ("a:2", "spec.canary: invalid value 'a:2': must be a map with image, weight and replicas"),
        ({"image": "a:2", "region_image_uris": {"X": "a:1"}}, "spec.canary.region_image_uris.X: invalid value 'X'"),
    ],
)
def test_an_invalid_canary_leaves_the_rest_of_the_spec_valid(canary: object, message: str) -> None:
    found = endpoint(spec={"replicas": 3, "canary": canary})
    assert found.spec == spec_of(replicas=3)
    assert found.has_canary
    assert not found.spec_problems
    assert str(found.canary_problems[0]).startswith(message)


def test_the_problems_of_spec_and_canary_are_listed_together() -> None:
    found = endpoint(spec={"port": 0, "canary": {"image": "a b"}})
    assert found.spec is None
    assert [one.path for one in found.all_problems] == ["spec.port", "spec.canary.image"]


def test_an_item_without_a_canary_has_none() -> None:
    for canary in (None, {}, ""):
        found = endpoint(spec={"canary": canary})
        assert isinstance(found, Endpoint)
        assert not found.has_canary
