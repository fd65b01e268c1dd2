"""A control plane starts and stops as a whole and does not affect another one."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import orjson
import psutil
import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.errors import StartError
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.progress import Progress
from gco_stream.local.toolchain.build import Binaries, binaries
from gco_stream.local.toolchain.cache import Cache, default_cache
from tests.integration.support.harness.program import PATIENCE
from tests.support.processes.child_process import child_process

pytestmark = pytest.mark.integration

PARENT = """
import sys, time
from pathlib import Path
from gco_stream.local.control_plane import ControlPlane
with ControlPlane(Path(sys.argv[1])) as plane:
    while any(len(server.pids) < 2 for server in plane.servers.values()):
        time.sleep(0.05)
    print(*(pid for server in plane.servers.values() for pid in server.pids), flush=True)
    time.sleep(600)
"""


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_pids(plane: ControlPlane) -> list[int]:
    return [pid for server in plane.servers.values() for pid in server.pids]


@pytest.fixture
def parts() -> Binaries:
    return binaries(Cache(default_cache(), Progress(quiet=True)))


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_no_server_outlives_its_parent(tmp_path: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "plane")]
    with child_process(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 12
        parent.send_signal(sent)
        parent.wait(PATIENCE)
    wait(lambda: all(map(gone, pids)), "some servers are still running")


def test_two_that_start_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    planes = [ControlPlane(tmp_path / name, dynamodb=False) for name in ("one", "other")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ControlPlane.start, planes))
    one, other = planes
    try:
        ports = [server.port for plane in planes for server in plane.servers.values() if server.port]
        assert len(set(ports)) == len(ports)
        one.kube.create(path_of("ConfigMap", "default"), {"metadata": {"name": "of-one"}})
        assert other.kube.find(path_of("ConfigMap", "default", "of-one")) is None
        pids = all_pids(one)
        one.stop()
        assert all(map(gone, pids))
        other.kube.wait_for(other.kube.healthy, what="the other control plane is healthy")
        assert all(server.running for server in other.servers.values())
    finally:
        one.stop()
        other.stop()


def test_a_server_that_cannot_start_is_named_with_its_log_and_nothing_is_left_running(
    tmp_path: Path, parts: Binaries
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of order\nexit 1\n")
    broken.chmod(0o755)
    plane = ControlPlane(tmp_path / "plane", dynamodb=False, parts=dataclasses.replace(parts, kube_apiserver=broken))
    with pytest.raises(StartError, match=r"^kube-apiserver exited during startup; .*:\nout of order$"):
        plane.start()
    assert plane.servers["etcd"].log.exists()
    assert all_pids(plane) == []


class Commands:
    """`gco-stream local ...` with a separate folder for each test."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gco_stream.cli.commands.local", *arguments, "--dir", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pids(self) -> list[int]:
        state = orjson.loads((self.folder / "state.json").read_bytes())
        return [state["pid"], *(pid for server in state["servers"] for pid in server["pids"])]

    def environment(self) -> dict[str, str]:
        return dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", self("env"), re.MULTILINE))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(tmp_path / "local")
    yield commands
    if (commands.folder / "state.json").exists():
        commands("down")


def test_up_leaves_a_control_plane_that_the_other_commands_find_until_down(local: Commands) -> None:
    assert "Ready." in local("up", "--detach")
    assert "already" in local("up", "--detach")
    assert re.search(
        r"^Error: a control plane is already running in .* \(process \d+\)$", local("up", status=1).strip()
    )

    shown = local("status")
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "dynamodb"):
        assert re.search(rf"{name} +│ running", shown)

    environment = local.environment()
    assert {"REGION", "DYNAMODB_REGION", "CLUSTER_NAME", "AWS_ACCESS_KEY_ID", "AWS_REGION"} <= set(environment)
    with KubeApi.from_kubeconfig(environment["KUBECONFIG"]) as kube:
        assert kube.get(path_of("Namespace", name="gco-inference"))["status"]["phase"] == "Active"
    client = boto3.client(
        "dynamodb",
        endpoint_url=environment["AWS_ENDPOINT_URL_DYNAMODB"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    table = client.describe_table(TableName=environment["INFERENCE_ENDPOINTS_TABLE_NAME"])["Table"]
    client.close()
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"

    assert local("logs", "kube-apiserver", "--lines", "2").count("\n") == 2
    assert "must be one of dynamodb, etcd," in local("logs", "nothing", status=1)

    pids = local.pids()
    local("down")
    wait(lambda: all(map(gone, pids[1:])), "some servers are still running")
    wait(lambda: gone(pids[0]), "the owner is still running")
    for command in ("down", "status", "env"):
        assert local(command, status=1).startswith("Error: no control plane is running in ")
    assert "kube-apiserver" not in local("logs", "etcd")


def test_after_its_owner_was_killed_nothing_is_left_and_it_starts_again(local: Commands) -> None:
    local("up", "--detach")
    pids = local.pids()
    os.kill(pids[0], signal.SIGKILL)
    wait(lambda: all(map(gone, pids)), "some servers are still running")
    assert local("status", status=1).startswith("Error: no control plane is running in ")
    local("up", "--detach")
    assert "running" in local("status")


def test_a_server_that_ended_shows_in_the_status(local: Commands) -> None:
    local("up", "--detach")
    kwok = next(s for s in orjson.loads((local.folder / "state.json").read_bytes())["servers"] if s["name"] == "kwok")
    os.kill(kwok["pids"][1], signal.SIGKILL)
    wait(lambda: all(map(gone, kwok["pids"])), "kwok's supervisor is still running")
    assert re.search(r"kwok +│ exited", local("status"))


def test_a_folder_with_other_contents_is_rejected_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "work").touch()
    said = Commands(folder)("up", status=1)
    assert (
        said.strip()
        == f"Error: --dir: invalid value {folder}: must be a new or empty folder, or one of a control plane"
    )
    assert [path.name for path in folder.iterdir()] == ["work"]
    shutil.rmtree(folder)


def test_ctrl_c_stops_it_with_a_message_and_exit_code_0(tmp_path: Path) -> None:
    folder = tmp_path / "local"
    command = [sys.executable, "-m", "gco_stream.cli.commands.local", "up", "--dir", str(folder)]
    with child_process(command, stderr=subprocess.PIPE, text=True) as process:
        wait((folder / "state.json").exists, "it did not start")
        pids = Commands(folder).pids()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
    assert said.splitlines()[-1] == "Stopped."
    wait(lambda: all(map(gone, pids[1:])), "some servers are still running")
