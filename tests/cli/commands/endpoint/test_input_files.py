"""Tests of endpoint files as users write them."""

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gco_stream.cli.commands.endpoint.input_files import read_documents
from gco_stream.cli.commands.endpoint.put import check
from gco_stream.cli.errors import USAGE, CommandError


def items(tmp_path: Path, text: str, name: str = "f.yaml") -> list[dict[str, Any]]:
    file = tmp_path / name
    file.write_text(text)
    return [document.item for document in read_documents(str(file))]


def error_of(tmp_path: Path, text: str, name: str = "f.yaml") -> str:
    with pytest.raises(CommandError) as caught:
        items(tmp_path, text, name)
    assert caught.value.code == USAGE
    return str(caught.value).replace(str(tmp_path / name), "f")


def test_the_short_form_becomes_an_item(tmp_path: Path) -> None:
    text = "name: chat\nregions: [us-east-1]\nimage: x\nreplicas: 2\nlabels: {team: a}\n"
    assert items(tmp_path, text) == [
        {
            "endpoint_name": "chat",
            "target_regions": ["us-east-1"],
            "labels": {"team": "a"},
            "spec": {"image": "x", "replicas": 2},
        }
    ]


def test_a_whole_item_is_kept_except_for_attributes_that_users_do_not_set(tmp_path: Path) -> None:
    text = """{"endpoint_name": "chat", "target_regions": ["a"], "spec": {"image": "x"}, "custom": 1,
               "region_status": {}, "created_at": "t", "updated_at": "t"}"""
    expected = {"endpoint_name": "chat", "target_regions": ["a"], "spec": {"image": "x"}, "custom": 1}
    assert items(tmp_path, text, "f.json") == items(tmp_path, text, "f.yaml") == [expected]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.yaml", "name: a\nimage: x\n---\nname: b\nimage: x\n---\n"),
        ("f.yaml", "- {name: a, image: x}\n- {name: b, image: x}\n"),
        ("f.json", '[{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]'),
    ],
)
def test_a_file_can_have_several_endpoints(tmp_path: Path, name: str, text: str) -> None:
    assert [item["endpoint_name"] for item in items(tmp_path, text, name)] == ["a", "b"]


def test_standard_input_is_read_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"name: a\nimage: x\n")))
    assert read_documents("-")[0].name == "a"


@pytest.mark.parametrize(
    "written",
    [
        "true",
        "True",
        "yes",
        "9.0",
        "1.10",
        "0755",
        "0o17",
        "0x1F",
        "12:30",
        "1_000",
        "1.0e+3",
        "2026-01-02",
        ".5",
        "+1",
    ],
)
def test_a_text_field_gets_exactly_what_is_in_the_file(tmp_path: Path, written: str) -> None:
    text = f"""
name: a
image: x
env: {{V: {written}}}
args: [--v, {written}]
node_selector: {{zone: {written}}}
tolerations: [{{key: k, value: {written}}}]
"""
    (found,) = items(tmp_path, text)
    spec = found["spec"]
    assert (spec["env"]["V"], spec["args"][1]) == (written, written)
    assert (spec["node_selector"]["zone"], spec["tolerations"][0]["value"]) == (written, written)


@pytest.mark.parametrize("written", ["8000", "-1", "0", "2.5"])
def test_a_number_stays_a_number_if_the_pod_gets_the_same_text(tmp_path: Path, written: str) -> None:
    (found,) = items(tmp_path, f"name: a\nimage: x\nenv: {{V: {written}}}\n")
    assert found["spec"]["env"]["V"] == Decimal(written)


def test_numbers_and_booleans_stay_what_they_are_in_other_fields(tmp_path: Path) -> None:
    text = "name: a\nimage: x\nport: 9000\nautoscaling: {enabled: yes, metrics: [{target: 70.5}]}\nhold: false\n"
    (found,) = items(tmp_path, text)
    scaling = {"enabled": True, "metrics": [{"target": Decimal("70.5")}]}
    assert found["spec"] == {"image": "x", "port": 9000, "autoscaling": scaling}
    assert found["hold"] is False


def test_json_numbers_and_booleans_are_kept_as_written_too(tmp_path: Path) -> None:
    text = """{"name": "a", "image": "x", "port": 1.5, "autoscaling": {"enabled": true},
               "env": {"A": true, "B": 1.10, "C": 7, "D": null}, "args": [false, 1e3, [true]]}"""
    (found,) = items(tmp_path, text, "f.json")
    spec = found["spec"]
    assert (spec["port"], spec["autoscaling"]) == (Decimal("1.5"), {"enabled": True})
    assert spec["env"] == {"A": "true", "B": "1.10", "C": 7, "D": None}
    assert spec["args"] == ["false", "1e3", [True]]


def test_anchors_and_merged_maps_are_kept_as_written(tmp_path: Path) -> None:
    text = "name: a\nimage: x\nenv:\n  <<: &base {A: 1.10}\n  B: *b\n".replace("*b", "&b 2.0") + "args: [*b]\n"
    (found,) = items(tmp_path, text)
    assert (found["spec"]["env"], found["spec"]["args"]) == ({"A": "1.10", "B": "2.0"}, ["2.0"])


def test_keys_are_text(tmp_path: Path) -> None:
    (found,) = items(tmp_path, "name: a\nimage: x\nenv: {NO: a, 1: b, true: c, 1.10: d}\n")
    assert found["spec"]["env"] == {"NO": "a", "1": "b", "true": "c", "1.10": "d"}


@pytest.mark.parametrize("name", ["f.yaml", "f.json"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, name: str) -> None:
    assert items(tmp_path, '\ufeff{"name": "a", "image": "x"}', name)[0]["endpoint_name"] == "a"


@pytest.mark.parametrize(
    "text",
    [
        '{"endpoint_name": {"S": "a"}, "spec": {"M": {}}}',
        '{"Item": {"endpoint_name": {"S": "a"}}, "ConsumedCapacity": null}',
        '{"Items": [], "Count": 0}',
    ],
)
def test_dynamodb_json_is_reported_as_such(tmp_path: Path, text: str) -> None:
    assert error_of(tmp_path, text, "f.json").startswith("f: invalid format DynamoDB JSON: must be plain values")


@pytest.mark.parametrize(
    ("number", "storable"),
    [
        ("9" * 38, True),
        ("9" * 39, False),
        ("1" + "0" * 42, True),
        ("1e126", False),
        ("1e-131", False),
        ("1e-130", True),
    ],
)
def test_a_number_that_dynamodb_cannot_store_is_reported(tmp_path: Path, number: str, storable: bool) -> None:
    text = f'{{"name": "a", "image": "x", "port": {number}, "env": {{"A": {number}}}}}'
    if storable:
        assert items(tmp_path, text, "f.json")[0]["spec"]["port"] == Decimal(number)
        return
    error = error_of(tmp_path, text, "f.json")
    assert error.startswith("f: spec.port: invalid value ")
    assert "at most 38 digits" in error
    # In a text field, the digits are only text.
    assert "env" not in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f: contains no endpoints"),
        ("name: a\nimage: [x\n", "f, line 3: invalid YAML: "),
        ("name: a\n\timage: x\n", "f, line 2: invalid YAML: "),
        ("name: a\nname: b\n", "f, line 2: invalid YAML: duplicate key 'name'"),
        ("name: a\nimage: !!python/object:os.system x\n", "f, line 2: invalid YAML: "),
        ("just words\n", "f: invalid value 'just words': must be a map with endpoint_name and spec"),
        ("image: x\n", "f: endpoint_name: missing required value: must be a name"),
        ("name: 3\nimage: x\n", "f: endpoint_name: invalid value 3: must be a name"),
        ("name: a\nimagee: x\n", "f: imagee: unknown field"),
        ("name: a\nimage: x\nenv: {NO: a, 'NO': b}\n", "f, line 3: invalid YAML: duplicate key 'NO'"),
        ("name: a\nimage: x\nport: .nan\n", "f: spec.port: invalid value NaN: must be a finite number"),
        (
            "name: a\nimage: x\n---\nname: a\nimage: y\n",
            "f, document 2: duplicate endpoint a: already in f, document 1",
        ),
        ("name: a\nimage: x\nenv: {KEY: <redacted>}\n", "f: spec.env.KEY: redacted value: "),
    ],
)
def test_an_invalid_file_is_reported_with_its_location(tmp_path: Path, text: str, expected: str) -> None:
    error = error_of(tmp_path, text)
    assert error.startswith(expected)
    assert "\n" not in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"name": "a",\n "image" "x"}', "f, line 2: invalid JSON: "),
        ('{"name": "a", "name": "b"}', "f: duplicate key 'name'"),
        (
            '{"name": "a", "image": "x", "port": NaN}',
            "f: spec.port: invalid value nan: must be a type that DynamoDB can store",
        ),
    ],
)
def test_invalid_json_is_reported_with_its_location(tmp_path: Path, text: str, expected: str) -> None:
    assert error_of(tmp_path, text, "f.json").startswith(expected)


def test_a_missing_file_or_one_that_is_not_text_is_reported(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"\xff\xfe")
    for file, expected in {
        tmp_path / "none": "No such file",
        tmp_path: "Is a directory",
        tmp_path / "f.bin": "UTF-8",
    }.items():
        with pytest.raises(CommandError, match=expected):
            read_documents(str(file))


def test_all_problems_of_all_documents_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("name: a\nregions: [r]\nimage: 'a b'\nport: 99999\n---\nname: B\nimage: x\nreplicas: lots\n")
    with pytest.raises(CommandError) as caught:
        check(read_documents(str(file)))
    lines = [line.partition("document ")[2] for line in str(caught.value).splitlines()]
    paths = [":".join(line.split(":")[:2]) for line in lines]
    assert sorted(paths) == [
        "1: spec.image",
        "1: spec.port",
        "2: endpoint_name",
        "2: spec.replicas",
        "2: target_regions",
    ]


def test_an_unknown_field_of_the_spec_causes_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "endpoint_name: a\ntarget_regions: [r]\n"
        "spec: {image: x, imagee: y, autoscaling: {min: 1}, canary: {image: z, w: 1}}\n"
    )
    check(read_documents(str(file)))
    warned = [line.split(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert warned == ["spec.imagee", "spec.autoscaling.min", "spec.canary.w"]
