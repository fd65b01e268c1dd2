"""`gco-stream top` on a real DynamoDB and a real API server."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Queue

import pytest

from gco_stream.cli.errors import FAILED, NOT_FOUND, USAGE
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.program import PATIENCE
from tests.integration.support.harness.shell import HERE, Shell, put
from tests.integration.support.harness.world import World
from tests.support.items import item
from tests.support.processes.child_process import IGNORING_SIGINT, child_process

pytestmark = pytest.mark.integration
RUNNING = {HERE: {"state": "running", "replicas_ready": 1, "replicas_desired": 1}}
LABELS = {"app": "chat", "project": "gco", "gco.io/type": "inference"}


def pod(name: str) -> dict[str, object]:
    return {
        "metadata": {"name": name, "labels": LABELS},
        "spec": {"containers": [{"name": "serve", "image": "registry.example/serve:1.0"}]},
    }


def test_the_fleet_is_shown_once_with_endpoints_that_need_attention_first(
    shell: Shell, world: World, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    world.put(item("apple", desired_state="running", region_status=RUNNING))
    world.put(item("chat", region_status={HERE: {"state": "creating", "replicas_desired": 1}}))
    world.put(item("pear", region_status={HERE: {"state": "error", "error": "no quota"}}))
    for name in ("one", "two"):
        world.kube.create(path_of("Pod", world.namespace), pod(name))
    assert shell("top --once") == 0
    first, heading, *rows = shell.out.splitlines()
    assert first == "3 endpoints: 1 ok, 1 waiting, 1 in error, 0 held"
    assert heading.split() == ["NAME", "STATUS", "DESIRED", "READY", "PODS", "REGIONS", "SINCE", "MESSAGE"]
    assert [row.split()[:2] for row in rows] == [["pear", "error"], ["chat", "waiting"], ["apple", "ok"]]
    assert "us-east-1: no quota" in rows[0]
    assert rows[1].split()[4].endswith("/2")

    assert shell("top --once -o json --sort name --state waiting --state error") == 0
    found = json.loads(shell.out)["endpoints"]
    assert [one["name"] for one in found] == ["chat", "pear"]
    assert {one["name"] for one in found[0]["pods"]} == {"one", "two"}
    assert shell("top --once --no-pods --needs-attention --in-region mars-1 -o json") == 0
    assert json.loads(shell.out)["endpoints"] == []


def test_a_cluster_that_is_out_of_reach_is_noted_and_the_fleet_is_shown(
    shell: Shell, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    world.put(item())
    assert shell("top --once") == 0
    assert shell.err.startswith("warning: without pods: ")
    assert "us-east-1: has not reported" in shell.out
    assert shell("top --once --pods") == FAILED
    assert len(shell.err.splitlines()) == 1


def test_a_missing_table_and_wrong_options_are_one_line(shell: Shell) -> None:
    assert shell("top --once --table no-such-table") == NOT_FOUND
    assert shell("top --once --state broken") == USAGE
    assert shell.err == "gco-stream: --state: invalid value 'broken': must be one of error, waiting, held, ok\n"
    assert shell("top --once --sort size") == USAGE
    assert shell("top --once -o yaml") == USAGE


TOP = ("top", "--no-pods", "--interval", "0.2")


class Watching:
    """A `gco-stream top` process, or one with other arguments, whose piped output is read line by line."""

    def __init__(self, *options: str, prefix: Sequence[str] = (), arguments: Sequence[str] = TOP) -> None:
        command = [*prefix, sys.executable, "-u", "-m", "gco_stream", *arguments, *options]
        self.process = subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
        self._lines: Queue[str] = Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip("\n"))

    def line(self) -> str:
        return self._lines.get(timeout=PATIENCE)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reading.join()


@pytest.fixture
def watching(shell: Shell) -> Iterator[list[Watching]]:
    started: list[Watching] = []
    yield started
    for one in started:
        one.end()


def test_piped_output_contains_only_changes(shell: Shell, world: World, watching: list[Watching]) -> None:
    put(world.table, region_status=RUNNING)
    one = Watching()
    watching.append(one)
    assert one.line().split()[:2] == ["NAME", "STATUS"]
    assert one.line().split()[:2] == ["chat", "ok"]
    put(world.table, region_status=RUNNING, hold="ask Ada")
    assert one.line().split()[:2] == ["chat", "held"]
    put(world.table, name="embed")
    assert one.line().split()[:2] == ["embed", "waiting"]
    world.table.client.delete_item(TableName=world.table.name, Key={"endpoint_name": {"S": "chat"}})
    assert one.line() == "chat  no longer listed"
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(timeout=PATIENCE) == 0


def test_json_output_is_one_document_per_line(shell: Shell, world: World, watching: list[Watching]) -> None:
    put(world.table, region_status=RUNNING)
    one = Watching("-o", "json")
    watching.append(one)
    for _ in range(2):
        assert [each["status"] for each in json.loads(one.line())["endpoints"]] == ["ok"]


@pytest.mark.parametrize(
    ("arguments", "code"), [(TOP, 0), (("endpoint", "list", "--watch"), 130)], ids=["top", "endpoint list"]
)
def test_sigint_ends_a_command_that_inherited_it_as_ignored(
    shell: Shell, world: World, watching: list[Watching], arguments: tuple[str, ...], code: int
) -> None:
    put(world.table, region_status=RUNNING)
    one = Watching(prefix=IGNORING_SIGINT, arguments=arguments)
    watching.append(one)
    assert one.line().split()[0] == "NAME"
    assert one.line().split()[0] == "chat"
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(timeout=PATIENCE) == code


def test_on_a_terminal_the_screen_follows_the_table_until_ctrl_c(shell: Shell, world: World) -> None:
    put(world.table, region_status=RUNNING, desired_state="running")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gco_stream", "top", "--no-pods", "--interval", "0.2"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    with child_process(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = bytearray()

        def until(words: str) -> None:
            deadline = time.monotonic() + PATIENCE
            while words.encode() not in shown:
                assert time.monotonic() < deadline, shown[-2000:].decode(errors="replace")
                if select.select([ours], [], [], 1)[0]:
                    shown.extend(os.read(ours, 65536))

        until("1 ok")
        put(world.table, region_status=RUNNING, hold="ask Ada")
        until("1 held")
        process.send_signal(signal.SIGINT)
        # Leaving the alternate screen restores the previous one.
        until("\x1b[?1049l")
        assert process.wait(timeout=PATIENCE) == 0
    os.close(ours)
