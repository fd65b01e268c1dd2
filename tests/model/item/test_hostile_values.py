"""Malformed and malicious values in items: each value by itself, and the message about it."""

from decimal import Decimal
from typing import Any

import pytest

from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint, InvalidItem, read_endpoint
from gco_stream.model.item.field_types import MAX_ENTRIES
from gco_stream.model.item.problem import Problem, summarize
from tests.support.items import endpoint, item, read

ANSI = "\x1b[31mred"
ITEM = 400 * 1024
OF_EVERY_TYPE: list[dict[str, Any]] = [
    {"S": ""},
    {"S": "x" * ITEM},
    {"S": ANSI},
    {"S": "\ud800"},
    {"S": "1e1000000"},
    {"S": "9" * 5000},
    {"S": "NaN"},
    {"N": "9.9E125"},
    {"N": "-1E-130"},
    {"N": "1.5"},
    {"B": b"\x00\xff"},
    {"BOOL": True},
    {"NULL": True},
    {"SS": ["a", "b"]},
    {"NS": ["1", "2.5"]},
    {"BS": [b"\x00", b"\xff"]},
    {"L": []},
    {"L": [{"NULL": True}, {"B": b"x"}, {"M": {}}]},
    {"M": {}},
    {"M": {"": {"B": b""}, ANSI: {"BS": [b"\xff"]}}},
    {"M": {f"{number}": {"M": {}} for number in range(2000)}},
]
ATTRIBUTES = ("desired_state", "target_regions", "namespace", "ingress_path", "hold", "spec", "region_status")
OTHERS = ("created_at", "updated_at", "labels", "created_by", "unknown")
SPEC = (
    *("image", "port", "replicas", "gpu_count", "gpu_type", "accelerator", "model_path", "model_source", "env"),
    *("health_check_path", "resources", "command", "args", "tolerations", "node_selector", "capacity_type"),
    *("region_image_uris", "autoscaling", "canary", "unknown"),
)


def problems(**spec: Any) -> str:
    """The problems of a spec in one line; "" if there are none."""
    found = endpoint(spec=spec)
    assert (found.spec is None) == bool(found.spec_problems)
    return summarize(found.all_problems)


@pytest.mark.parametrize("place", [*ATTRIBUTES, *OTHERS])
def test_any_attribute_may_have_a_value_of_any_type(place: str) -> None:
    for value in OF_EVERY_TYPE:
        assert_short_and_printable(wire.encode(item()) | {place: value})


@pytest.mark.parametrize("field", SPEC)
def test_any_field_of_the_spec_may_have_a_value_of_any_type(field: str) -> None:
    for value in OF_EVERY_TYPE:
        wired = wire.encode(item())
        wired["spec"]["M"][field] = value
        assert_short_and_printable(wired)


@pytest.mark.parametrize("outer", ["env", "resources", "autoscaling", "canary", "node_selector", "region_image_uris"])
def test_any_map_of_the_spec_may_contain_a_value_of_any_type(outer: str) -> None:
    inner = ("requests", "limits", "image", "weight", "metrics", "min_replicas", "enabled", "us-east-1", "A")
    for value in OF_EVERY_TYPE[:-1]:
        for field in inner:
            wired = wire.encode(item())
            wired["spec"]["M"][outer] = {"M": {"image": {"S": "x"}, field: value}}
            assert_short_and_printable(wired)


def assert_short_and_printable(wired: dict[str, Any]) -> None:
    """Reads an item and checks that the message about it is short and printable."""
    found = read_endpoint(wired)
    assert found.intent.startswith(wire.INTENT_PREFIX)
    message = found.error if isinstance(found, InvalidItem) else summarize(found.all_problems) + (found.hold or "")
    assert message.isprintable()
    assert len(message) <= 2000


def test_an_item_with_binary_values_is_cached_as_the_same_endpoint() -> None:
    wired = wire.encode(item()) | {"unknown": {"B": b"\x00\xff"}}
    wired["spec"]["M"]["unknown"] = {"BS": [b"b", b"a"]}
    items = ItemCache("us-east-1")
    items.put(wired)
    kept, written = items.get("chat"), read_endpoint(wired)
    assert isinstance(kept, Endpoint)
    assert (kept.intent, kept.digest) == (written.intent, written.digest)


@pytest.mark.parametrize(
    "number", ["1e1000000", "9" * 390_000, "1E+999999999", "-1e999999", "1e1000000.5", "0x10", "1_0"]
)
@pytest.mark.parametrize("field", ["port", "replicas", "gpu_count"])
def test_every_invalid_number_is_rejected_quickly(field: str, number: str) -> None:
    # Some of these would take minutes and time the test out if they were converted first.
    assert problems(**{field: number}).startswith(f"spec.{field}: ")


def test_a_number_that_dynamodb_does_not_support_is_rejected() -> None:
    for number in ("1e1000000", "NaN", "Infinity", "sNaN"):
        with pytest.raises(ValueError, match="not a DynamoDB number"):
            wire.decode({"a": {"N": number}})
    assert wire.decode({"a": {"N": "-9.9E125"}})["a"] == Decimal("-9.9E125")


def test_maps_and_lists_are_bounded() -> None:
    many = MAX_ENTRIES + 1
    for field, value in (
        ("env", {f"A{number}": "" for number in range(many)}),
        ("args", ["x"] * many),
        ("tolerations", [{"operator": "Exists"}] * many),
        ("node_selector", {f"a{number}": "" for number in range(many)}),
    ):
        assert str(MAX_ENTRIES) in problems(**{field: value}), field
    assert not problems(env={f"A{number}": "" for number in range(MAX_ENTRIES)})


def test_the_first_of_many_problems_are_listed_with_the_count_of_the_rest() -> None:
    message = problems(env={f"a\tb{number}": "" for number in range(900)})
    assert message.count("spec.env.") == 5
    assert message.endswith("and 895 more")


def test_control_and_invisible_characters_are_escaped() -> None:
    message = problems(node_selector={f"{ANSI}\n": "\u202egnp.exe", "a\u200bb": "x"})
    assert message.isprintable()
    assert r"\x1b[31mred\n" in message
    assert r"\u202egnp.exe" in message
    assert r"a\u200bb" in message


def test_a_name_is_truncated_and_printable_in_every_message() -> None:
    for name in (f"{ANSI}\n", "n" * 2000):
        found = read(item(name, ingress_path="/inference/chat"))
        assert isinstance(found, InvalidItem)
        assert found.error.isprintable()
        assert len(found.error) < 500


def test_a_long_name_or_value_is_truncated() -> None:
    assert len(problems(env={"a " * 100_000: ""})) < 300
    assert len(problems(image="a " * 100_000)) < 300
    assert len(str(Problem("spec", {"x": "y" * 100_000}, "less"))) < 120


@pytest.mark.parametrize(
    "env", [{"TOKEN": {"x": "s3cret"}}, {"TOKEN": "s3cret\x00"}, {"TOKEN=s3cret": ""}, ["TOKEN=s3cret"], "TOKEN=s3cret"]
)
def test_no_message_about_env_shows_a_possible_secret(env: Any) -> None:
    message = problems(env=env)
    assert message.startswith("spec.env")
    assert "s3cret" not in message


def test_a_spec_that_is_text_is_not_shown() -> None:
    found = read(item() | {"spec": '{"env": {"TOKEN": "s3cret"}}'})
    assert isinstance(found, Endpoint)
    assert summarize(found.spec_problems) == "spec: invalid value of type str: must be a map with at least an image"


@pytest.mark.parametrize(
    "image",
    [
        *("a b", "a\nb", "-x", "a::b", "A/B", "a//b", "a/../b", "a@sha256:abc", "a:" + "t" * 129, "http://a/b", "ä"),
        *("[2001:db8::1]", "[::1/x", "[g::1]:5000/x", "2001:db8::1/x", "[]/x"),
    ],
)
def test_an_invalid_image_reference_is_rejected(image: str) -> None:
    assert problems(image=image).startswith("spec.image: ")
    assert problems(region_image_uris={"us-east-1": image}).startswith("spec.region_image_uris.us-east-1: ")
    assert problems(canary={"image": image}).startswith("spec.canary.image: ")


@pytest.mark.parametrize("text", ["a\x00", "\ud800", "a\udfff"])
def test_text_that_cannot_be_passed_to_a_container_is_rejected(text: str) -> None:
    for spec in ({"env": {"A": text}}, {"args": [text]}, {"command": [text]}, {"model_source": f"s3://b/{text}"}):
        assert problems(**spec).startswith("spec.")


@pytest.mark.parametrize("name", ["A=B", "=", "", "Ä", "A\n", "\x7f", "a\tb"])
def test_a_variable_name_that_kubernetes_rejects_is_rejected(name: str) -> None:
    assert problems(env={name: "x"}).startswith("spec.env")


@pytest.mark.parametrize(
    "name", ["a..b/c", "-a", "a/b/c", "l" * 64, ("d" * 63 + ".") * 4 + "com/x", "A.b/c", "a.-b/c", "/c"]
)
def test_a_node_label_that_kubernetes_rejects_is_rejected(name: str) -> None:
    assert problems(node_selector={name: "x"}).startswith("spec.node_selector.")
    assert problems(tolerations=[{"key": name, "operator": "Exists"}]).startswith("spec.tolerations[0].key: ")


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"requests": {"foo": 1}}, "spec.resources.requests.foo: invalid value 'foo': must be cpu, memory"),
        ({"limits": {"pods": 1}}, "spec.resources.limits.pods: invalid value 'pods'"),
        (
            {"limits": {"x.kubernetes.io/y": 1}},
            "spec.resources.limits.x.kubernetes.io/y: invalid value 'x.kubernetes.io/y'",
        ),
        ({"limits": {"requests.a/b": 1}}, "spec.resources.limits.requests.a/b: invalid value 'requests.a/b'"),
        (
            {"requests": {"cpu": "8"}, "limits": {"cpu": "4"}},
            "spec.resources.requests.cpu: invalid value '8': must be at most the limit (4)",
        ),
        (
            {"requests": {"memory": "1Ti"}, "limits": {"memory": "1Gi"}},
            "spec.resources.requests.memory: invalid value '1Ti'",
        ),
        (
            {"requests": {"a.b/c": 1}, "limits": {}},
            "spec.resources.requests.a.b/c: invalid value '1': must be equal to spec.resources.limits.a.b/c (not set)",
        ),
        ({"requests": {"a.b/c": 1}, "limits": {"a.b/c": 2}}, "spec.resources.requests.a.b/c: invalid value '1'"),
        ({"limits": {"a.b/c": "1.5"}}, "spec.resources.limits.a.b/c: invalid value '1.5': must be a whole number of"),
        ({"limits": {"a.b/c": "9E"}}, "spec.resources.limits.a.b/c: invalid value '9E': must be a whole number of"),
        (
            {"limits": {"hugepages-2Mi": "3Mi", "cpu": 1}, "requests": {}},
            "spec.resources.limits.hugepages-2Mi: invalid value '3Mi'",
        ),
        ({"limits": {"hugepages-2Mi": "2Mi"}, "requests": {}}, "spec.resources: huge pages require cpu or memory"),
        ({"limits": {"hugepages-3Mi": "3Mi"}}, "spec.resources.limits.hugepages-3Mi: invalid value 'hugepages-3Mi'"),
        ({"limits": {"cpu": "-1"}}, "spec.resources.limits.cpu: invalid value '-1': must be a non-negative Kub"),
        ({"limits": {"cpu": "1e9999"}}, "spec.resources.limits.cpu: invalid value '1e9999'"),
        ({"limits": {"cpu": "NaN"}}, "spec.resources.limits.cpu: invalid value 'NaN'"),
    ],
)
def test_resources_that_the_api_server_rejects_are_rejected(resources: dict[str, Any], message: str) -> None:
    assert problems(resources=resources).startswith(message), problems(resources=resources)


def test_gpu_count_alone_sets_the_number_of_the_accelerators_devices() -> None:
    assert not problems(resources={"requests": {"nvidia.com/gpu": "2"}, "limits": {"cpu": 4}}, gpu_count=2)
    assert "nvidia.com/gpu" in problems(resources={"requests": {"nvidia.com/gpu": "2"}}, gpu_count=0)


@pytest.mark.parametrize("path", ["/health", "/", "/v1/health?ready=true&x=/y", "/%41", "/a;b=c", "/$x'(y)"])
def test_a_health_check_path_may_have_escapes_and_a_query(path: str) -> None:
    assert not problems(health_check_path=path)


@pytest.mark.parametrize(
    "path", ["health", "/a b", "/a\n", "/%zz", "/a*", "/ä", "/" + "p" * 512, "/a#b", '/"', "/a?b c"]
)
def test_an_invalid_health_check_path_is_rejected(path: str) -> None:
    assert problems(health_check_path=path).startswith("spec.health_check_path: ")


@pytest.mark.parametrize("arguments", [["--root-path", "/a b"], ["--x", "--root-path=/a\nb"], ["--root-path=/a?b"]])
def test_an_invalid_root_path_in_args_is_rejected(arguments: list[str]) -> None:
    assert problems(args=arguments).startswith("spec.args: --root-path: ")


@pytest.mark.parametrize("arguments", [["--root-path", "$(ROOT)"], ["--root-path"], ["--root-path", "relative"]])
def test_a_root_path_in_args_that_is_not_absolute_is_not_checked(arguments: list[str]) -> None:
    assert not problems(args=arguments)


@pytest.mark.parametrize("source", ["s3://", "s3:///key", "s3://bucket/\n", "s3://b/" + "k" * 2048, "s3://b\x7f/k"])
def test_an_invalid_s3_model_source_is_rejected(source: str) -> None:
    assert problems(model_source=source).startswith("spec.model_source: ")


@pytest.mark.parametrize(
    "source", ["s3://bucket", "s3://bucket/a key/'\"$(x)", "--endpoint-url=x", "file:///etc", "x\ny"]
)
def test_a_model_source_may_be_any_s3_key_and_other_sources_are_ignored(source: str) -> None:
    assert not problems(model_source=source)


GOOD_PATHS = [
    "/inference/chat",
    "/inference/chat/",
    "/inference/chat/v1",
    "/models/chat",
    "/inferences",
    "/" + "p" * 125,
]
FOREIGN_PATHS = ["/", "/inference", "/inference/", "/inference/other", "/inference/chat2", "/inference/other/chat"]
BAD_PATHS = ["chat", "//", "/a//b", "/a/./b", "/a/..", "/*", "/a*", "/a?b", "/%2f", "/a b", "/a\n", "/" + "p" * 126]


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_an_ingress_path_is_the_endpoints_own_or_outside_of_inference(path: str) -> None:
    assert endpoint(ingress_path=path).ingress_path == path


@pytest.mark.parametrize("path", FOREIGN_PATHS)
def test_an_ingress_path_that_captures_another_endpoints_requests_is_rejected(path: str) -> None:
    found = endpoint(ingress_path=path)
    assert found.spec is None
    assert str(found.spec_problems[0]) == (
        f"ingress_path: invalid value {path!r}: "
        "must be /inference/chat, a path below it, or a path outside of /inference"
    )


@pytest.mark.parametrize("path", BAD_PATHS)
def test_an_ingress_path_that_the_load_balancer_rejects_is_rejected(path: str) -> None:
    found = endpoint(ingress_path=path)
    assert found.spec is None
    assert summarize(found.spec_problems).startswith(f"ingress_path: invalid value {path[:20]!r}"[:-1])


def test_an_endpoint_with_an_invalid_path_can_still_be_stopped_and_deleted() -> None:
    for state in ("stopped", "deleted"):
        found = read(item(ingress_path="no slash", desired_state=state))
        assert isinstance(found, Endpoint)
        assert found.desired_state == state
        assert found.ingress_path == "/inference/chat"


def test_the_reason_of_a_hold_is_truncated_and_printable() -> None:
    assert endpoint(hold=f"{ANSI}\n" + "x" * 1000).hold == r"\x1b[31mred\n" + "x" * 186 + "…"
    assert endpoint(hold={"why": "x"}).hold == "for a reason that is not a string"
    assert endpoint(hold="").hold is None


@pytest.mark.parametrize("moment", ["x" * 65, ANSI, "ä", "\ud800", 5])
def test_an_invalid_time_is_ignored(moment: Any) -> None:
    assert endpoint(updated_at=moment).updated_at == ""


def test_an_unknown_metric_is_reported_printable_and_short() -> None:
    spec = endpoint(spec={"autoscaling": {"enabled": True, "metrics": [{"type": ANSI + "x" * 1000}]}}).spec
    assert spec is not None
    assert spec.autoscaling.metrics[0].type.isprintable()
    assert len(spec.autoscaling.metrics[0].type) <= 60
