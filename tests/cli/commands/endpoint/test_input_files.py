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


def test_numbers_stay_exact_and_dates_stay_strings(tmp_path: Path) -> None:
    text = "name: a\nimage: x\nenv: {RATIO: 0.10, DAY: 2026-01-02, BIG: 1.0e+3, FLAG: 'yes'}\n"
    env = {"RATIO": Decimal("0.10"), "DAY": "2026-01-02", "FLAG": "yes", "BIG": Decimal(1000)}
    (found,) = items(tmp_path, text)
    assert found["spec"]["env"] == env
    assert str(found["spec"]["env"]["RATIO"]) == "0.10"
    assert items(tmp_path, '{"name": "a", "image": "x", "port": 1.5}', "f.json")[0]["spec"]["port"] == Decimal("1.5")


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
        ("name: a\nimage: x\nenv: {1: x}\n", "f: env: invalid key 1: must be a string; put it in quotes"),
        ("name: a\nimage: x\nport: .nan\n", "f: port: invalid value NaN: must be a finite number"),
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
            "f: port: invalid value nan: must be a type that DynamoDB can store",
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
