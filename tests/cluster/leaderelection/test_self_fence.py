"""The fence ends a real process, so each test starts one."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.processes.child_process import child_process

pytestmark = pytest.mark.slow

PROGRAM = """
import os, signal, sys, time
from gco_stream.cluster.leaderelection.self_fence import self_fence
fence = self_fence()
{body}
print("alive", flush=True)
"""
FENCED = 14


def run(body: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "body",
    [
        "fence(0.05); time.sleep(30)",
        # No bytecode is executed here, so a Python signal handler would not be called.
        "fence(0.05); sorted(range(10**9), key=hash)",
        "fence(0.05); fence(0); fence(0.05); time.sleep(30)",
        "fence(-1); time.sleep(30)",
        "signal.signal(signal.SIGTERM, print); fence(0.05); [time.sleep(0.01) for _ in range(10**4)]",
    ],
)
def test_the_process_ends_when_the_fence_fires(body: str) -> None:
    assert run(body) == (FENCED, "")


@pytest.mark.parametrize("body", ["fence(1); fence(0); time.sleep(1.2)", "fence(20); fence(60)", "pass"])
def test_a_disarmed_or_rearmed_fence_does_not_end_the_process(body: str) -> None:
    assert run(body) == (0, "alive\n")


def test_a_stopped_process_does_nothing_more_when_it_resumes() -> None:
    # It writes in a tight loop of system calls and is stopped somewhere in between.
    body = 'fence(3.0); [os.write(1, b"still\\n") for _ in iter(int, 1)]'
    command = [sys.executable, "-c", PROGRAM.format(body=body)]
    with child_process(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        assert os.read(pipe, 1)
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        armed = time.monotonic()
        os.set_blocking(pipe, False)
        with contextlib.suppress(BlockingIOError):
            while os.read(pipe, 2**16):
                pass
        time.sleep(max(0.0, armed + 3.1 - time.monotonic()))
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == FENCED
        assert os.read(pipe, 2**16) == b""
