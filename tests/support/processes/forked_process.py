"""Runs the program in processes forked from an interpreter that has already imported it.

Each process runs the real program with its own environment, output and exit code. Only its imports, which take seconds
of CPU time per process, are shared. Anything that must be loaded before the interpreter (LD_PRELOAD) needs a new
process.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import BinaryIO

_CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.processes.forkserver_preload"])


class ForkedProcess:
    """A forked process with the interface of subprocess.Popen."""

    def __init__(self, module: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> None:
        self._process: ForkServerProcess = _CONTEXT.Process(
            target=_run, args=(tuple(module), dict(environment), str(out), str(err))
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the process and returns its exit code. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired("gco_stream", timeout or 0.0)
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def run_forked(
    module: Sequence[str], environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m MODULE ...` to completion. Raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = ForkedProcess(module, environment, out, err)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(list(module), code, out.read_text(), err.read_text())


def _run(module: tuple[str, ...], environment: dict[str, str], out: str, err: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with open(out, "ab") as stdout, open(err, "ab") as stderr:
        _become(stdout, 1)
        _become(stderr, 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - stays open until the process ends
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - the same
    sys.argv = list(module)
    try:
        runpy.run_module(module[0], run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()


def _become(file: BinaryIO, number: int) -> None:
    os.dup2(file.fileno(), number)
