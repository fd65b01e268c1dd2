"""The supervisor as a separate process, with a server that has a child process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gco_stream.local.servers import supervise

PATIENCE = 100.0

SERVER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1] + ".part", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""

PARENT = """
import os, subprocess, sys, time
process = subprocess.Popen(
    [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid()), sys.executable, "-c", sys.argv[2], sys.argv[3]],
    stdin=subprocess.PIPE, start_new_session=True,
)
if sys.argv[4] == "fork" and os.fork() == 0:
    time.sleep(600)
time.sleep(600)
"""


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_gone(*pids: int) -> None:
    wait(lambda: all(map(gone, pids)), f"some of {pids} are still running")


def pids_in(path: Path) -> list[int]:
    wait(path.exists, "the server did not start")
    return [int(pid) for pid in path.read_text().split()]


def supervised(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", supervise.__file__, str(os.getpid()), *command], stdin=subprocess.PIPE
    )


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pids"
    yield path
    for pid in path.read_text().split() if path.exists() else ():
        if not gone(int(pid)):
            os.kill(int(pid), signal.SIGKILL)


def test_it_exits_with_the_status_of_the_server() -> None:
    with supervised(sys.executable, "-c", "raise SystemExit(7)") as process:
        assert process.wait(PATIENCE) == 7


def test_a_server_killed_by_a_signal_gives_128_plus_the_signal() -> None:
    with supervised(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)") as process:
        assert process.wait(PATIENCE) == 137


def test_when_the_pipe_closes_the_server_and_its_children_are_killed(marker: Path) -> None:
    with supervised(sys.executable, "-c", SERVER, str(marker)) as process:
        pids = pids_in(marker)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE)
    all_gone(*pids)


def test_a_frozen_server_is_killed_as_well(marker: Path) -> None:
    with supervised(sys.executable, "-c", SERVER, str(marker)) as process:
        pids = pids_in(marker)
        os.kill(pids[0], signal.SIGSTOP)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE)
    all_gone(*pids)


@pytest.mark.parametrize("manner", ["plain", "fork"])
def test_the_server_dies_with_the_parent_even_if_a_fork_holds_the_pipe(marker: Path, manner: str) -> None:
    arguments = [supervise.__file__, SERVER, str(marker), manner]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *arguments], start_new_session=True)
    pids = pids_in(marker)
    (supervisor,) = [child.pid for child in psutil.Process(pids[0]).parents()[:1]]
    parent.kill()
    parent.wait()
    all_gone(supervisor, *pids)
    try:
        os.killpg(parent.pid, signal.SIGKILL)
    except ProcessLookupError:
        assert manner == "plain"


def test_the_kernel_kills_the_server_when_the_supervisor_is_killed(marker: Path) -> None:
    assert sys.platform == "linux", "only Linux has PR_SET_PDEATHSIG"
    with supervised(sys.executable, "-c", SERVER, str(marker)) as process:
        server, child = pids_in(marker)
        process.kill()
        process.wait(PATIENCE)
        all_gone(server)
        os.kill(child, signal.SIGKILL)
