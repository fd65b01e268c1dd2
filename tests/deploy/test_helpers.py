"""The helper scripts for LocalStack write valid items and print stream records."""

import zipfile
from pathlib import Path

from dev import records, seed
from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint, read_endpoint
from tools.localstack.jars import agent_jar, pointing_jar


def test_seeded_items_are_valid_endpoints_without_a_gpu() -> None:
    found = read_endpoint(wire.encode(seed.item("load-1", "nginx:1.29")))
    assert isinstance(found, Endpoint)
    assert found.spec is not None
    assert found.spec.gpu_count == 0


def test_a_record_is_printed_on_one_line() -> None:
    change = {
        "Keys": {"endpoint_name": {"S": "chat"}},
        "SequenceNumber": "7",
        "NewImage": {"desired_state": {"S": "running"}},
    }
    assert records.line({"eventName": "MODIFY", "dynamodb": change}) == "7  MODIFY  chat  running"
    removed = {"eventName": "REMOVE", "dynamodb": {"Keys": {"endpoint_name": {"S": "chat"}}, "SequenceNumber": "8"}}
    assert records.line(removed) == "8  REMOVE  chat  -"


def test_the_manifest_of_a_pointing_jar_is_valid(tmp_path: Path) -> None:
    names = [f"lib/a-rather-long-name-of-a-jar-{number}.jar" for number in range(9)]
    pointing_jar(tmp_path / "one.jar", "a.Main", names)
    manifest = zipfile.ZipFile(tmp_path / "one.jar").read("META-INF/MANIFEST.MF").decode()
    assert max(len(line) for line in manifest.splitlines()) <= 72
    unfolded = dict(line.split(": ", 1) for line in manifest.replace("\n ", "").splitlines() if line)
    assert unfolded["Class-Path"].split() == sorted(names)
    assert unfolded["Main-Class"] == "a.Main"


def test_the_agent_jar_has_a_class_file(tmp_path: Path) -> None:
    agent_jar(tmp_path / "agent.jar")
    assert zipfile.ZipFile(tmp_path / "agent.jar").read("NoAgent.class")[:4] == b"\xca\xfe\xba\xbe"
