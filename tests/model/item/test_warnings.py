from decimal import Decimal
from typing import Any

import pytest

from gco_stream.model.item.endpoint import Endpoint, read_endpoint
from gco_stream.model.wire import encode
from tests.support.items import REGION, item

IMAGE = "registry.example/serve:1.0"


def warned(region: str = REGION, spec: dict[str, Any] | None = None, **attributes: Any) -> list[str]:
    found = read_endpoint(encode(item(spec={"image": IMAGE, **(spec or {})}, **attributes)))
    assert isinstance(found, Endpoint)
    assert found.spec is not None, found.spec_problems
    return [f"{one.reason}: {one.message}" for one in found.warnings_in(region)]


def test_a_usual_spec_has_no_warnings() -> None:
    canary = {"image": "registry.example/serve:2.0", "weight": 10, "replicas": 1}
    usual = {
        "canary": canary,
        "model_source": "s3://models/chat",
        "autoscaling": {"enabled": True, "metrics": [{"type": "cpu", "target": 70}]},
        "resources": {"requests": {"cpu": 1}, "limits": {"cpu": 2}},
        "region_image_uris": {REGION: "eu.example/serve:1.0"},
    }
    assert warned(spec=usual) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"replica": 2}, "UnknownField: spec.replica: unknown field: the field is ignored"),
        (
            {"resources": {"cpu": 2}},
            "UnknownField: spec.resources.cpu: unknown field: quantities must be in requests or limits; "
            "the field is ignored",
        ),
        (
            {"canary": {"image": IMAGE, "enabled": False}},
            "UnknownField: spec.canary.enabled: unknown field: the canary runs as long as spec.canary exists; "
            "remove spec.canary to remove it",
        ),
        ({"autoscaling": {"min": 1}}, "UnknownField: spec.autoscaling.min: unknown field: the field is ignored"),
        (
            {"autoscaling": {"metrics": [{"type": "cpu", "percent": 5}]}},
            "UnknownField: spec.autoscaling.metrics[0].percent: unknown field: the field is ignored",
        ),
        ({"a\x1bb": 1}, "UnknownField: spec.a\\x1bb: unknown field: the field is ignored"),
        (
            {"model_source": "hf://org/model"},
            "ValueIgnored: spec.model_source: hf://org/model is not synced: only s3:// sources are",
        ),
        (
            {"region_image_uris": "x:1"},
            "ValueIgnored: spec.region_image_uris: invalid value of type str: must be a map; the field is ignored",
        ),
        (
            {"canary": {"image": IMAGE, "region_image_uris": ["x"]}},
            "ValueIgnored: spec.canary.region_image_uris: invalid value of type list: must be a map; "
            "the field is ignored",
        ),
        (
            {"autoscaling": {"enabled": True, "metrics": [{"target": Decimal("70.5")}]}},
            "ValueRounded: spec.autoscaling.metrics[0].target: 70.5 is rounded up: must be a whole number",
        ),
        (
            {"autoscaling": {"enabled": True, "metrics": [{"type": "cpu"}, {"type": "gpu"}]}},
            "UnknownMetric: spec.autoscaling.metrics: invalid value 'gpu': must be cpu or memory; "
            "the metric is ignored",
        ),
        (
            {"region_image_uris": {REGION: "eu.example/serve:0.9"}},
            f"RegionImageStale: spec.region_image_uris.{REGION}: eu.example/serve:0.9 has another version than "
            f"spec.image, {IMAGE}",
        ),
        (
            {"region_image_uris": {REGION: "eu.example/other:1.0"}},
            f"RegionImageStale: spec.region_image_uris.{REGION}: eu.example/other:1.0 has another repository than "
            f"spec.image, {IMAGE}",
        ),
        (
            {"canary": {"image": "a.example/x:2", "region_image_uris": {REGION: "b.example/x:1"}}},
            f"RegionImageStale: spec.canary.region_image_uris.{REGION}: b.example/x:1 has another version than "
            "spec.canary.image, a.example/x:2",
        ),
    ],
)
def test_what_has_no_effect_is_a_warning(spec: dict[str, Any], expected: str) -> None:
    assert warned(spec=spec) == [expected]


def test_an_upper_case_scheme_is_s3() -> None:
    assert warned(spec={"model_source": "S3://models/chat"}) == []


def test_a_stale_image_concerns_only_its_region() -> None:
    spec = {"region_image_uris": {"eu-west-1": "eu.example/serve:0.9"}}
    regions = [REGION, "eu-west-1"]
    assert warned(spec=spec, target_regions=regions) == []
    assert len(warned("eu-west-1", spec=spec, target_regions=regions)) == 1


def test_only_regions_where_the_endpoint_should_exist_have_warnings() -> None:
    assert warned("eu-west-1", spec={"replica": 2}) == []
    assert warned(spec={"replica": 2}, desired_state="deleted") == []


@pytest.mark.parametrize(
    "images", [None, "", {}, "x", [1], {REGION: None}, {REGION: ""}, {REGION: " "}, {REGION: 5}, {REGION: ["x"]}]
)
def test_unusable_regional_images_fall_back_to_the_image(images: Any) -> None:
    spec = {"image": IMAGE, "region_image_uris": images, "canary": {"image": IMAGE, "region_image_uris": images}}
    found = read_endpoint(encode(item(spec=spec)))
    assert isinstance(found, Endpoint)
    assert found.spec is not None
    assert (found.spec.image_in(REGION), found.spec.canary_image_in(REGION)) == (IMAGE, IMAGE)


@pytest.mark.parametrize(("target", "percent"), [(Decimal("70.5"), 71), ("70.01", 71), ("70.0", 70), (70, 70)])
def test_the_target_of_a_metric_is_rounded_up(target: Any, percent: int) -> None:
    found = read_endpoint(encode(item(spec={"image": IMAGE, "autoscaling": {"metrics": [{"target": target}]}})))
    assert isinstance(found, Endpoint)
    assert found.spec is not None
    assert found.spec.autoscaling.metrics[0].target == percent


def test_many_unknown_fields_give_a_few_warnings() -> None:
    assert len(warned(spec={f"unknown{number}": 1 for number in range(500)})) == 10
