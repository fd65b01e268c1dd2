"""Files of endpoints, as people write them."""

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


def complaint(tmp_path: Path, text: str, name: str = "f.yaml") -> str:
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


def test_a_whole_item_is_taken_as_it_is_but_for_what_is_not_a_persons_to_set(tmp_path: Path) -> None:
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
def test_a_file_may_hold_many(tmp_path: Path, name: str, text: str) -> None:
    assert [item["endpoint_name"] for item in items(tmp_path, text, name)] == ["a", "b"]


def test_standard_input_is_read_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"name: a\nimage: x\n")))
    assert read_documents("-")[0].name == "a"


def test_numbers_stay_exact_and_dates_stay_text(tmp_path: Path) -> None:
    text = "name: a\nimage: x\nenv: {RATIO: 0.10, DAY: 2026-01-02, BIG: 1.0e+3, FLAG: 'yes'}\n"
    env = {"RATIO": Decimal("0.10"), "DAY": "2026-01-02", "FLAG": "yes", "BIG": Decimal(1000)}
    (found,) = items(tmp_path, text)
    assert found["spec"]["env"] == env
    assert str(found["spec"]["env"]["RATIO"]) == "0.10"
    assert items(tmp_path, '{"name": "a", "image": "x", "port": 1.5}', "f.json")[0]["spec"]["port"] == Decimal("1.5")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "f: there is no endpoint in it"),
        ("name: a\nimage: [x\n", "f, line 3: not YAML: "),
        ("name: a\n\timage: x\n", "f, line 2: not YAML: "),
        ("name: a\nname: b\n", "f, line 2: not YAML: the key 'name' stands twice in one map"),
        ("name: a\nimage: !!python/object:os.system x\n", "f, line 2: not YAML: "),
        ("just words\n", "f: 'just words' is not an endpoint"),
        ("image: x\n", "f: endpoint_name: missing; needed: a name"),
        ("name: 3\nimage: x\n", "f: endpoint_name: 3; needed: a name"),
        ("name: a\nimagee: x\n", "f: imagee: no such field"),
        ("name: a\nimage: x\nenv: {1: x}\n", "f: env: the key 1 is not text; put it in quotes"),
        ("name: a\nimage: x\nport: .nan\n", "f: port: NaN is not a number that the table can hold"),
        ("name: a\nimage: x\n---\nname: a\nimage: y\n", "f, document 2: a stands in f, document 1, too"),
        ("name: a\nimage: x\nenv: {KEY: <redacted>}\n", "f: spec.env.KEY: redacted; "),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    said = complaint(tmp_path, text)
    assert said.startswith(told)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"name": "a",\n "image" "x"}', "f, line 2: not JSON: "),
        ('{"name": "a", "name": "b"}', "f: the key 'name' stands twice in one map"),
        ('{"name": "a", "image": "x", "port": NaN}', "f: port: nan is not a value that the table can hold"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    assert complaint(tmp_path, text, "f.json").startswith(told)


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "f.bin").write_bytes(b"\xff\xfe")
    for file, told in {
        tmp_path / "none": "No such file",
        tmp_path: "Is a directory",
        tmp_path / "f.bin": "UTF-8",
    }.items():
        with pytest.raises(CommandError, match=told):
            read_documents(str(file))


def test_every_problem_of_every_document_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("name: a\nregions: [r]\nimage: 'a b'\nport: 99999\n---\nname: B\nimage: x\nreplicas: lots\n")
    with pytest.raises(CommandError) as caught:
        check(read_documents(str(file)))
    said = [line.partition("document ")[2] for line in str(caught.value).splitlines()]
    paths = [":".join(line.split(":")[:2]) for line in said]
    assert sorted(paths) == [
        "1: spec.image",
        "1: spec.port",
        "2: endpoint_name",
        "2: spec.replicas",
        "2: target_regions",
    ]


def test_a_spec_field_that_nobody_reads_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "endpoint_name: a\ntarget_regions: [r]\n"
        "spec: {image: x, imagee: y, autoscaling: {min: 1}, canary: {image: z, w: 1}}\n"
    )
    check(read_documents(str(file)))
    warned = [line.split(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert warned == ["spec.imagee", "spec.autoscaling.min", "spec.canary.w"]
