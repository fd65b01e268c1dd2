"""`gco-stream endpoint …` on a real DynamoDB."""

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from gco_stream.cli.errors import CONFLICT, FAILED, NOT_FOUND, UNREACHABLE, USAGE
from gco_stream.cli.options import complete_endpoint
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.pytest_plugin import Table
from tests.integration.support.harness.shell import HERE, Shell, put, stored
from tests.support.items import item

pytestmark = pytest.mark.integration
CHAT = "name: chat\nregions: [us-east-1]\nimage: x:1\nreplicas: 2\nenv: {TOKEN: s3cret}\n"


def test_an_endpoint_is_created_once_and_then_compared(shell: Shell, table: Table) -> None:
    assert (shell.put(CHAT), shell.out) == (0, "chat created\n")
    made = stored(table)
    assert made is not None
    assert made["created_at"] == made["updated_at"]
    assert made == {
        "endpoint_name": "chat",
        "desired_state": "deploying",
        "target_regions": [HERE],
        "ingress_path": "/inference/chat",
        "spec": {"image": "x:1", "replicas": 2, "env": {"TOKEN": "s3cret"}},
        "region_status": {},
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
    }
    assert (shell.put(CHAT), shell.out) == (0, "chat unchanged\n")
    assert stored(table) == made


def test_a_new_spec_deploys_and_leaves_the_rest(shell: Shell, table: Table) -> None:
    status = {HERE: {"state": "running", "epoch": 3}}
    put(table, desired_state="stopped", labels={"team": "a"}, custom=1, region_status=status)
    assert shell.put(CHAT) == 0
    assert shell.out == "chat configured; now deploying (was stopped)\n"
    spec = {"image": "x:1", "replicas": 2, "env": {"TOKEN": "s3cret"}}
    after = stored(table)
    assert after is not None
    assert after.pop("updated_at") > item()["updated_at"]
    before = item(labels={"team": "a"}, custom=1, region_status=status, updated_at=None)
    assert after == {**before, "spec": spec, "desired_state": "deploying"}


def test_one_wrong_document_and_nothing_is_written(shell: Shell, table: Table) -> None:
    assert shell.put(f"{CHAT}---\nname: BAD\nregions: [r]\nimage: x\n") == USAGE
    assert "BAD" in shell.err
    assert stored(table) is None


def test_a_dry_run_writes_nothing(shell: Shell, table: Table) -> None:
    assert (shell.put(CHAT, "--dry-run"), shell.out) == (0, "chat created (dry run)\n")
    assert stored(table) is None
    put(table)
    assert (shell.put(CHAT, "--dry-run"), shell.out) == (0, "chat configured (dry run)\n")
    assert stored(table) == item()


def test_put_stop_and_scale_reject_an_endpoint_that_is_being_deleted(shell: Shell, table: Table) -> None:
    put(table, desired_state="deleted")
    for attempt in (
        lambda: shell.put(CHAT),
        lambda: shell("endpoint stop chat"),
        lambda: shell("endpoint scale chat 3"),
    ):
        assert attempt() == CONFLICT
        assert "gco-stream endpoint start chat" in shell.err
        assert stored(table) == item(desired_state="deleted")


def test_the_output_of_get_can_be_put_again(shell: Shell, table: Table) -> None:
    shell.put(CHAT)
    before = stored(table)
    assert shell("endpoint get chat -o yaml") == 0
    assert "s3cret" not in shell.out
    assert shell.put(shell.out) == USAGE
    assert "--show-secrets" in shell.err
    assert shell("endpoint get chat -o yaml --show-secrets") == 0
    assert shell.put(shell.out) == 0
    assert shell.out == "chat unchanged\n"
    assert stored(table) == before


def test_get_and_list_show_the_stored_items(shell: Shell, table: Table) -> None:
    put(table, region_status={HERE: {"state": "error", "error": "no quota"}}, spec={"env": {"TOKEN": "s3cret"}})
    put(table, name="embed", desired_state="running", target_regions=["eu-west-1"])
    assert shell("endpoint get chat") == 0
    assert "no quota" in shell.out
    assert "s3cret" not in shell.out
    assert shell("endpoint get chat -o json") == 0
    assert json.loads(shell.out)["spec"]["env"] == {"TOKEN": "<redacted>"}
    for options, names in {
        "": ["chat", "embed"],
        "--state error": ["chat"],
        "--state running": ["embed"],
        "--in-region eu-west-1": ["embed"],
        "--state stopped": [],
    }.items():
        assert shell(f"endpoint list -o name {options}") == 0
        assert shell.out.split() == names
        assert shell(f"endpoint list {options}") == 0
        assert [line.split()[0] for line in shell.out.splitlines()] == ["NAME", *names]


def test_stop_start_scale_and_delete_write_what_gcos_tools_write(shell: Shell, table: Table) -> None:
    put(table, spec={"replicas": 2})
    expected = item(spec={"replicas": 2})
    for command, change in {
        "endpoint stop chat": {"desired_state": "stopped"},
        "endpoint start chat": {"desired_state": "deploying"},
        "endpoint scale chat 5": {"spec": {**expected["spec"], "replicas": 5}},
        "endpoint delete chat": {"desired_state": "deleted"},
    }.items():
        assert shell(command) == 0
        after = stored(table)
        assert after is not None
        assert after["updated_at"] > expected["updated_at"]
        expected = {**expected, **change, "updated_at": after["updated_at"]}
        assert after == expected


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("stopped", "endpoint stop chat"),
        ("running", "endpoint start chat"),
        ("deploying", "endpoint start chat"),
        ("deploying", "endpoint scale chat 1"),
        ("deleted", "endpoint delete chat"),
        ("running", "endpoint release chat"),
        ("running", "endpoint forget-region chat mars-1"),
    ],
)
def test_a_command_without_effect_writes_nothing(shell: Shell, table: Table, state: str, command: str) -> None:
    put(table, desired_state=state)
    assert shell(command) == 0
    assert "unchanged" in shell.out
    assert stored(table) == item(desired_state=state)


def test_a_hold_is_set_with_its_reason_and_released(shell: Shell, table: Table) -> None:
    put(table)
    assert shell("endpoint hold chat --why", "until Friday") == 0
    after = stored(table)
    assert after is not None
    assert after == {**item(), "hold": "until Friday", "updated_at": after["updated_at"]}
    assert shell("endpoint release chat") == 0
    after = stored(table)
    assert after is not None
    assert after == {**item(), "updated_at": after["updated_at"]}
    for text in (" ", "off"):
        assert shell("endpoint hold chat --why", text) == USAGE
    assert "hold" not in (stored(table) or {})


def test_a_region_that_is_no_more_is_forgotten_but_no_target_is(shell: Shell, table: Table) -> None:
    status = {HERE: {"state": "running"}, "mars-1": {"state": "running"}}
    put(table, region_status=status)
    assert shell("endpoint forget-region chat", HERE) == CONFLICT
    assert shell("endpoint forget-region chat mars-1") == 0
    after = stored(table)
    assert after is not None
    assert after["region_status"] == {HERE: {"state": "running"}}


@pytest.mark.parametrize(
    "command", ["get chat", "stop chat", "start chat", "scale chat 2", "delete chat", "hold chat --why x", "wait chat"]
)
def test_an_endpoint_that_is_not_there_is_not_made(shell: Shell, table: Table, command: str) -> None:
    assert shell(f"endpoint {command}") == NOT_FOUND
    assert shell.err == "gco-stream: endpoint chat does not exist\n"
    assert stored(table) is None


def test_wait_reports_the_state_reached_or_the_current_state(shell: Shell, table: Table) -> None:
    put(table, region_status={HERE: {"state": "running"}})
    assert (shell("endpoint wait chat --for running"), shell.out) == (0, "chat running\n")
    assert shell("endpoint wait chat --for stopped --timeout 0") == FAILED
    assert (
        shell.err == "gco-stream: chat is not stopped after 0 s: desired: deploying; us-east-1: running, 0 of 0 ready\n"
    )
    assert (shell("endpoint wait nobody --for gone"), shell.out) == (0, "nobody gone\n")


def test_a_deletion_can_be_waited_for(shell: Shell, table: Table) -> None:
    put(table)

    def purge() -> None:
        asked = threading.Event()
        while (found := stored(table)) is not None and found["desired_state"] != "deleted":
            asked.wait(0.05)
        table.client.delete_item(TableName=table.name, Key={"endpoint_name": {"S": "chat"}})

    controller = threading.Thread(target=purge)
    controller.start()
    assert shell("endpoint delete chat --wait --timeout 60") == 0
    controller.join()
    assert shell.out == "chat being deleted\nchat gone\n"


def test_a_missing_table_or_dynamodb_is_one_line(
    shell: Shell, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("endpoint list --table no-such-table") == NOT_FOUND
    assert shell.err.startswith(
        "gco-stream: table no-such-table in us-east-1 does not exist; `gco-stream table create`"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert shell("endpoint get chat") == UNREACHABLE
    assert shell.err.startswith("gco-stream: DynamoDB cannot be reached: ")
    assert len(shell.err.splitlines()) == 1


def test_the_shell_completes_the_names_of_endpoints(shell: Shell, table: Table) -> None:
    for name in ("chat", "chart", "embed"):
        put(table, name=name)

    typed: Any = SimpleNamespace(params={})
    assert complete_endpoint(typed, "cha") == ["chart", "chat"]
