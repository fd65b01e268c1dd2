"""The real program as a separate process."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import urllib3

from tests.support.processes.forked_process import ForkedProcess

LOOK_EVERY = 0.02
# Waits end as soon as their condition holds; only a fault or a stalled machine uses the whole timeout.
PATIENCE = 120.0
_ANSWER_SECONDS = 60.0
# The lease survives a process that stalls for 15 s. Tests of the lease itself use shorter durations.
LONG_LEASE = {"LEASE_DURATION_SECONDS": "30", "LEASE_RENEW_DEADLINE_SECONDS": "20"}


class Program:
    """A `gco-stream run` process, or one started from `module` or `command`; its output goes to a log file."""

    def __init__(
        self,
        environment: dict[str, str],
        log: Path,
        module: tuple[str, ...] = ("gco_stream", "run"),
        command: list[str] | None = None,
    ) -> None:
        self.environment = environment
        self.log = log
        self._module = module
        self._command = command
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._lines_before = 0

    def start(self) -> "Program":
        self._lines_before = len(self.lines())
        if self._command is None and "LD_PRELOAD" not in self.environment:
            self._process = ForkedProcess(self._module, self.environment, self.log, self.log)
            return self
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command or [sys.executable, "-m", *self._module],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def lines(self) -> list[dict[str, Any]]:
        """Returns the JSON lines of its log so far."""
        if not self.log.exists():
            return []
        parsed = []
        for line in self.log.read_bytes().splitlines():
            with contextlib.suppress(orjson.JSONDecodeError):
                parsed.append(orjson.loads(line))
        return parsed

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        # Another program may use the port of a previous run by now.
        lines = self.lines()[self._lines_before :]
        return int(next(line["http_port"] for line in reversed(lines) if line.get("message") == "started"))

    def http(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = urllib3.request("GET", url, timeout=_ANSWER_SECONDS, retries=False)
        return answer.status, answer.data.decode()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.http("/status")[1])
        return found

    def wait_working(self) -> "Program":
        """Waits until the program is the leader and processes keys."""

        def working() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.tail()
            try:
                return bool(self.status()["working"])
            except (StopIteration, urllib3.exceptions.HTTPError):
                return False

        return self.until(working, "the program is working")

    def wait_idle(self) -> "Program":
        """Waits until no key is queued or in flight.

        The watch event of an answered write may still be on its way to the program.
        """
        return self.until(self.is_idle, "the queue is empty")

    def is_idle(self) -> bool:
        status = self.status()
        return (status["working"], status["queue"], status["in_work"]) == (True, 0, [])

    def until(self, look: Callable[[], object], what: str, patience: float = PATIENCE) -> "Program":
        deadline = time.monotonic() + patience
        while not look():
            assert time.monotonic() < deadline, f"timed out after {patience:g} s waiting for: {what}\n{self.tail()}"
            time.sleep(LOOK_EVERY)
        return self

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-30:]) if self.log.exists() else "(no log)"

    def signal(self, number: signal.Signals) -> None:
        # The process may have exited by itself.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills the process with SIGKILL."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def wait(self) -> int:
        """Waits for the process to exit by itself and returns its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=PATIENCE)

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(timeout=PATIENCE)
