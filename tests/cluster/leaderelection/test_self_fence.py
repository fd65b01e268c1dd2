"""The fuse ends a real process, so each test has one."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import os, signal, sys, time
from gco_stream.cluster.leaderelection.self_fence import lease_fuse
fuse = lease_fuse()
{body}
print("alive", flush=True)
"""
BURNT = 14


def run(body: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "body",
    [
        "fuse(0.05); time.sleep(30)",
        # Nothing of Python runs here: no handler of Python's would be called.
        "fuse(0.05); sorted(range(10**9), key=hash)",
        "fuse(0.05); fuse(0); fuse(0.05); time.sleep(30)",
        "fuse(-1); time.sleep(30)",
        "signal.signal(signal.SIGTERM, print); fuse(0.05); [time.sleep(0.01) for _ in range(10**4)]",
    ],
)
def test_it_ends_the_process_when_it_has_burnt_down(body: str) -> None:
    assert run(body) == (BURNT, "")


@pytest.mark.parametrize("body", ["fuse(1); fuse(0); time.sleep(1.2)", "fuse(20); fuse(60)", "pass"])
def test_put_out_or_lit_anew_it_does_not(body: str) -> None:
    assert run(body) == (0, "alive\n")


def test_a_stopped_process_does_nothing_more_when_it_goes_on() -> None:
    # It prints in one system call after the other, and is stopped somewhere among them.
    body = 'fuse(3.0); [os.write(1, b"still\\n") for _ in iter(int, 1)]'
    with subprocess.Popen([sys.executable, "-c", PROGRAM.format(body=body)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        assert os.read(pipe, 1)
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        lit = time.monotonic()
        os.set_blocking(pipe, False)
        with contextlib.suppress(BlockingIOError):
            while os.read(pipe, 2**16):
                pass
        time.sleep(max(0.0, lit + 3.1 - time.monotonic()))
        process.send_signal(signal.SIGCONT)
        assert process.wait(30) == BURNT
        assert os.read(pipe, 2**16) == b""
