"""What an item's author may have meant badly: each value alone, and what is said of it."""

from decimal import Decimal
from typing import Any

import pytest

from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import wire
from gco_stream.model.endpoint import Endpoint, InvalidItem, read_endpoint
from gco_stream.model.field_types import MAX_ENTRIES
from gco_stream.model.problem import Problem, summarize
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
    """What is wrong with a spec, in one line; "" for nothing."""
    found = endpoint(spec=spec)
    assert (found.spec is None) == bool(found.spec_problems)
    return summarize(found.spec_problems)


@pytest.mark.parametrize("place", [*ATTRIBUTES, *OTHERS])
def test_a_value_of_any_type_may_stand_in_any_attribute(place: str) -> None:
    for value in OF_EVERY_TYPE:
        told(wire.encode(item()) | {place: value})


@pytest.mark.parametrize("field", SPEC)
def test_a_value_of_any_type_may_stand_in_any_field_of_the_spec(field: str) -> None:
    for value in OF_EVERY_TYPE:
        wired = wire.encode(item())
        wired["spec"]["M"][field] = value
        told(wired)


@pytest.mark.parametrize("outer", ["env", "resources", "autoscaling", "canary", "node_selector", "region_image_uris"])
def test_a_value_of_any_type_may_stand_inside_any_map_of_the_spec(outer: str) -> None:
    inner = ("requests", "limits", "image", "weight", "metrics", "min_replicas", "enabled", "us-east-1", "A")
    for value in OF_EVERY_TYPE[:-1]:
        for field in inner:
            wired = wire.encode(item())
            wired["spec"]["M"][outer] = {"M": {"image": {"S": "x"}, field: value}}
            told(wired)


def told(wired: dict[str, Any]) -> None:
    """Reads an item and checks that what is said of it is short and printable."""
    found = read_endpoint(wired)
    assert found.intent.startswith(wire.INTENT_PREFIX)
    said = found.error if isinstance(found, InvalidItem) else summarize(found.spec_problems) + (found.hold or "")
    assert said.isprintable()
    assert len(said) <= 2000


def test_an_item_with_binary_values_is_the_same_endpoint_as_kept_in_memory() -> None:
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
def test_no_number_takes_long_to_refuse(field: str, number: str) -> None:
    # Where arithmetic comes first, some of these take minutes: the test would run out of its time.
    assert problems(**{field: number}).startswith(f"spec.{field}: ")


def test_a_number_that_dynamodb_cannot_hold_is_not_taken_for_one() -> None:
    for number in ("1e1000000", "NaN", "Infinity", "sNaN"):
        with pytest.raises(ValueError, match="not a DynamoDB number"):
            wire.decode({"a": {"N": number}})
    assert wire.decode({"a": {"N": "-9.9E125"}})["a"] == Decimal("-9.9E125")


def test_maps_and_lists_are_bounded_so_that_no_item_holds_the_others_up() -> None:
    many = MAX_ENTRIES + 1
    for field, value in (
        ("env", {f"A{number}": "" for number in range(many)}),
        ("args", ["x"] * many),
        ("tolerations", [{"operator": "Exists"}] * many),
        ("node_selector", {f"a{number}": "" for number in range(many)}),
    ):
        assert str(MAX_ENTRIES) in problems(**{field: value}), field
    assert not problems(env={f"A{number}": "" for number in range(MAX_ENTRIES)})


def test_of_many_problems_the_first_are_told_and_how_many_more_there_are() -> None:
    said = problems(env={f"a b{number}": "" for number in range(900)})
    assert said.count("spec.env.") == 5
    assert said.endswith("and 895 more")


def test_what_moves_a_cursor_or_hides_is_written_out() -> None:
    said = problems(node_selector={f"{ANSI}\n": "\u202egnp.exe", "a\u200bb": "x"})
    assert said.isprintable()
    assert r"\x1b[31mred\n" in said
    assert r"\u202egnp.exe" in said
    assert r"a\u200bb" in said


def test_a_name_is_told_cut_and_printable_in_every_sentence() -> None:
    for name in (f"{ANSI}\n", "n" * 2000):
        found = read(item(name, ingress_path="/inference/chat"))
        assert isinstance(found, InvalidItem)
        assert found.error.isprintable()
        assert len(found.error) < 500


def test_a_long_name_or_value_is_cut() -> None:
    assert len(problems(env={"a " * 100_000: ""})) < 300
    assert len(problems(image="a " * 100_000)) < 300
    assert len(str(Problem("spec", {"x": "y" * 100_000}, "less"))) < 120


@pytest.mark.parametrize(
    "env", [{"TOKEN": {"x": "s3cret"}}, {"TOKEN": "s3cret\x00"}, {"TOKEN=s3cret": ""}, ["TOKEN=s3cret"], "TOKEN=s3cret"]
)
def test_no_wrong_env_shows_what_may_be_a_secret(env: Any) -> None:
    said = problems(env=env)
    assert said.startswith("spec.env")
    assert "s3cret" not in said


def test_a_spec_that_is_text_is_not_shown() -> None:
    found = read(item() | {"spec": '{"env": {"TOKEN": "s3cret"}}'})
    assert isinstance(found, Endpoint)
    assert summarize(found.spec_problems) == "spec: this str is not allowed; allowed: a map with at least an image"


@pytest.mark.parametrize(
    "image",
    ["a b", "a\n", "-x", "a::b", "A/B", "a//b", "a/../b", "a@sha256:abc", "", "a:" + "t" * 129, "http://a/b", "ä"],
)
def test_an_image_that_no_registry_can_have_is_refused(image: str) -> None:
    assert problems(image=image).startswith("spec.image: ")
    assert problems(region_image_uris={"us-east-1": image}).startswith("spec.region_image_uris.us-east-1: ")
    assert problems(canary={"image": image}).startswith("spec.canary.image: ")


@pytest.mark.parametrize("text", ["a\x00", "\ud800", "a\udfff"])
def test_text_that_no_container_can_be_given_is_refused(text: str) -> None:
    for spec in ({"env": {"A": text}}, {"args": [text]}, {"command": [text]}, {"model_source": f"s3://b/{text}"}):
        assert problems(**spec).startswith("spec.")


@pytest.mark.parametrize("name", [".", "..", "..x", "1A", "A B", "A=B", "", "Ä", "A\n"])
def test_a_variables_name_that_kubernetes_refuses_is_refused(name: str) -> None:
    assert problems(env={name: "x"}).startswith("spec.env")


@pytest.mark.parametrize(
    "name", ["a..b/c", "-a", "a/b/c", "l" * 64, ("d" * 63 + ".") * 4 + "com/x", "A.b/c", "a.-b/c", "/c"]
)
def test_a_nodes_label_that_kubernetes_refuses_is_refused(name: str) -> None:
    assert problems(node_selector={name: "x"}).startswith("spec.node_selector.")
    assert problems(tolerations=[{"key": name, "operator": "Exists"}]).startswith("spec.tolerations[0].key: ")


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"requests": {"foo": 1}}, "spec.resources.requests.foo: 'foo' is not allowed; allowed: cpu, memory"),
        ({"limits": {"pods": 1}}, "spec.resources.limits.pods: 'pods' is not allowed"),
        ({"limits": {"x.kubernetes.io/y": 1}}, "spec.resources.limits.x.kubernetes.io/y: 'x.kubernetes.io/y' is not"),
        ({"limits": {"requests.a/b": 1}}, "spec.resources.limits.requests.a/b: 'requests.a/b' is not allowed"),
        (
            {"requests": {"cpu": "8"}},
            "spec.resources.requests.cpu: '8' is not allowed; allowed: at most the limit, which is 4",
        ),
        ({"requests": {"memory": "1Ti"}, "limits": {"memory": "1Gi"}}, "spec.resources.requests.memory: '1Ti' is not"),
        ({"requests": {"a.b/c": 1}}, "spec.resources.requests.a.b/c: '1' is not allowed; allowed: the same as in"),
        ({"requests": {"a.b/c": 1}, "limits": {"a.b/c": 2}}, "spec.resources.requests.a.b/c: '1' is not allowed"),
        ({"limits": {"a.b/c": "1.5"}}, "spec.resources.limits.a.b/c: '1.5' is not allowed; allowed: a whole number of"),
        ({"limits": {"a.b/c": "9E"}}, "spec.resources.limits.a.b/c: '9E' is not allowed; allowed: a whole number of"),
        (
            {"limits": {"hugepages-2Mi": "3Mi", "cpu": 1}, "requests": {}},
            "spec.resources.limits.hugepages-2Mi: '3Mi' is",
        ),
        ({"limits": {"hugepages-2Mi": "2Mi"}, "requests": {}}, "spec.resources: huge pages need cpu or memory"),
        ({"limits": {"hugepages-3Mi": "3Mi"}}, "spec.resources.limits.hugepages-3Mi: 'hugepages-3Mi' is not allowed"),
        ({"limits": {"cpu": "-1"}}, "spec.resources.limits.cpu: '-1' is not allowed; allowed: a Kubernetes quantity"),
        ({"limits": {"cpu": "1e9999"}}, "spec.resources.limits.cpu: '1e9999' is not allowed"),
        ({"limits": {"cpu": "NaN"}}, "spec.resources.limits.cpu: 'NaN' is not allowed"),
    ],
)
def test_resources_that_the_api_server_refuses_are_refused(resources: dict[str, Any], said: str) -> None:
    assert problems(resources=resources).startswith(said), problems(resources=resources)


def test_the_accelerators_own_devices_are_counted_by_gpu_count_alone() -> None:
    assert not problems(resources={"requests": {"nvidia.com/gpu": "2"}, "limits": {"cpu": 4}}, gpu_count=2)
    assert "nvidia.com/gpu" in problems(resources={"requests": {"nvidia.com/gpu": "2"}}, gpu_count=0)


@pytest.mark.parametrize("path", ["/health", "/", "/v1/health?ready=true&x=/y", "/%41", "/a;b=c", "/$x'(y)"])
def test_a_health_check_path_may_have_escapes_and_a_query(path: str) -> None:
    assert not problems(health_check_path=path)


@pytest.mark.parametrize(
    "path", ["health", "", "/a b", "/a\n", "/%zz", "/a*", "/ä", "/" + "p" * 512, "/a#b", '/"', "/a?b c"]
)
def test_a_health_check_path_that_is_no_path_is_refused(path: str) -> None:
    assert problems(health_check_path=path).startswith("spec.health_check_path: ")


@pytest.mark.parametrize("arguments", [["--root-path", "/a b"], ["--x", "--root-path=/a\nb"], ["--root-path=/a?b"]])
def test_an_authors_root_path_that_is_no_path_is_refused(arguments: list[str]) -> None:
    assert problems(args=arguments).startswith("spec.args: --root-path: ")


@pytest.mark.parametrize("arguments", [["--root-path", "$(ROOT)"], ["--root-path"], ["--root-path", "relative"]])
def test_an_authors_root_path_that_is_none_for_the_load_balancer_is_left_alone(arguments: list[str]) -> None:
    assert not problems(args=arguments)


@pytest.mark.parametrize("source", ["s3://", "s3:///key", "s3://bucket/\n", "s3://b/" + "k" * 2048, "s3://b\x7f/k"])
def test_a_model_source_that_is_no_bucket_is_refused(source: str) -> None:
    assert problems(model_source=source).startswith("spec.model_source: ")


@pytest.mark.parametrize(
    "source", ["s3://bucket", "s3://bucket/a key/'\"$(x)", "--endpoint-url=x", "file:///etc", "x\ny"]
)
def test_a_model_source_is_any_key_of_a_bucket_and_others_are_ignored_as_ever(source: str) -> None:
    assert not problems(model_source=source)


GOOD_PATHS = [
    "/inference/chat",
    "/inference/chat/",
    "/inference/chat/v1",
    "/models/chat",
    "/inferences",
    "/" + "p" * 125,
]
STOLEN_PATHS = ["/", "/inference", "/inference/", "/inference/other", "/inference/chat2", "/inference/other/chat"]
BAD_PATHS = ["chat", "", "//", "/a//b", "/a/./b", "/a/..", "/*", "/a*", "/a?b", "/%2f", "/a b", "/a\n", "/" + "p" * 126]


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_an_ingress_path_is_the_endpoints_own_or_outside_of_all_endpoints(path: str) -> None:
    assert endpoint(ingress_path=path).ingress_path == path


@pytest.mark.parametrize("path", STOLEN_PATHS)
def test_an_ingress_path_that_would_take_another_endpoints_requests_is_refused(path: str) -> None:
    found = endpoint(ingress_path=path)
    assert found.spec is None
    assert str(found.spec_problems[0]) == (
        f"ingress_path: {path!r} is not allowed; "
        "allowed: /inference/chat, a path below it, or one that is not in /inference"
    )


@pytest.mark.parametrize("path", BAD_PATHS)
def test_an_ingress_path_that_the_load_balancer_refuses_is_refused(path: str) -> None:
    found = endpoint(ingress_path=path)
    assert found.spec is None
    assert summarize(found.spec_problems).startswith(f"ingress_path: {path[:20]!r}"[:-1])


def test_an_endpoint_with_a_wrong_path_can_still_be_stopped_and_deleted() -> None:
    for state in ("stopped", "deleted"):
        found = read(item(ingress_path="no slash", desired_state=state))
        assert isinstance(found, Endpoint)
        assert found.desired_state == state
        assert found.ingress_path == "/inference/chat"


def test_a_hold_is_shown_cut_and_printable() -> None:
    assert endpoint(hold=f"{ANSI}\n" + "x" * 1000).hold == r"\x1b[31mred\n" + "x" * 186 + "…"
    assert endpoint(hold={"why": "x"}).hold == "for a reason that is no text"
    assert endpoint(hold="").hold is None


@pytest.mark.parametrize("moment", ["x" * 65, ANSI, "ä", "\ud800", 5])
def test_what_cannot_be_a_time_is_no_revision(moment: Any) -> None:
    assert endpoint(updated_at=moment).updated_at == ""


def test_an_unknown_metric_is_told_printable_and_short() -> None:
    spec = endpoint(spec={"autoscaling": {"enabled": True, "metrics": [{"type": ANSI + "x" * 1000}]}}).spec
    assert spec is not None
    assert spec.autoscaling.metrics[0].type.isprintable()
    assert len(spec.autoscaling.metrics[0].type) <= 60
