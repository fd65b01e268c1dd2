"""One replica of the controller as a process that can be killed, frozen and restarted."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import psutil
import urllib3

from gco_stream.local.servers import supervise

_STARTED = b'"message":"started"'
# The exit code of the self-fence.
_BURNT = 14
_NEVER_ASKED = "exited unexpectedly"


class Replica:
    """`gco-stream run` under a supervisor, so that it never outlives this process. Its log is appended to.

    `unasked`: descriptions of unexpected exits. `burnt`: how often the self-fence ended a leader that could not stop
    before its lease expired, on a busy machine. `peak_mib`: the peak memory of any of its processes.
    """

    def __init__(self, name: str, environment: dict[str, str], log: Path, code: Path | None = None) -> None:
        self.name = name
        self.environment = environment
        self.log = log
        self.starts = 0
        self.unasked: list[str] = []
        self.burnt = 0
        self.peak_mib = 0.0
        self._code = code
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._log_start = 0
        # Faults start and stop the process in their own threads while the run inspects it.
        self._lock = threading.RLock()

    def start(self) -> None:
        """Starts the process unless it is running."""
        with self._lock:
            self.look()
            if not self.running:
                self._start()

    def _start(self) -> None:
        self._let_go()
        self.starts += 1
        self._asked = False
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", supervise.__file__, str(os.getpid())),
                    *(sys.executable, "-m", "gco_stream", "run"),
                ],
                env=self.environment,
                cwd=self._code,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The PID of the controller itself, None if it is not running."""
        if self._process is None or not self.running:
            return None
        try:
            children = psutil.Process(self._process.pid).children()
        except psutil.NoSuchProcess:
            return None
        return children[0].pid if children else None

    def signal(self, number: signal.Signals) -> bool:
        """Sends a signal; returns False if there is no process."""
        with self._lock:
            pid = self.pid
            if pid is None:
                return False
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return False
            self._asked = self._asked or number in {signal.SIGKILL, signal.SIGTERM}
            return True

    def wait_ended(self, seconds: float) -> int | None:
        """Returns the exit status; None if the process has not exited."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def has_fenced_itself(self, status: int) -> bool:
        """Whether the status is that of the self-fence, which is counted; it may act just before a requested stop."""
        self.burnt += status == _BURNT
        return status == _BURNT

    def look(self) -> None:
        """Records the peak memory, and an unexpected exit."""
        with self._lock:
            self._get()

    def _get(self) -> None:
        if self._process is None:
            return
        code = self._process.poll()
        if code is not None:
            if not self._asked:
                self._asked = True
                if self.has_fenced_itself(code):
                    return
                when = time.strftime("%H:%M:%S", time.gmtime())
                self.unasked.append(f"{self.name} {_NEVER_ASKED} with status {code} before {when}:\n{self.tail()}")
            return
        pid = self.pid
        if pid is None:
            return
        try:
            with open(f"/proc/{pid}/status") as lines:
                peak = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)
        except (FileNotFoundError, ProcessLookupError):
            return
        self.peak_mib = max(self.peak_mib, peak)

    def status(self) -> dict[str, Any]:
        """Returns the program's status; {} if it does not respond."""
        port = self._port()
        if port is None:
            return {}
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{port}/status", timeout=2.0, retries=False)
            found: dict[str, Any] = orjson.loads(answer.data)
        except (urllib3.exceptions.HTTPError, orjson.JSONDecodeError):
            return {}
        return found

    def metrics(self) -> str:
        port = self._port()
        if port is None:
            return ""
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", timeout=2.0, retries=False).data.decode()
        except urllib3.exceptions.HTTPError:
            return ""

    def _port(self) -> int | None:
        if not self.log.exists():
            return None
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            for line in file:
                if _STARTED in line.replace(b" ", b""):
                    return int(orjson.loads(line)["http_port"])
        return None

    def lines(self) -> list[dict[str, Any]]:
        """Returns the log, one dict per line; lines that are not JSON have the key `text`."""
        found: list[dict[str, Any]] = []
        if not self.log.exists():
            return found
        for line in self.log.read_bytes().splitlines():
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                found.append({"text": line.decode(errors="replace")})
        return found

    def tail(self, lines: int = 12) -> str:
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else "(no log)"
        )

    def end(self) -> None:
        """Kills the process and its supervisor."""
        self._asked = True
        self._let_go()

    def _let_go(self) -> None:
        """Closes the supervisor's standard input, which ends the process and the supervisor."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()

    def stop(self, seconds: float = 60.0) -> int | None:
        """Sends SIGTERM; returns the exit status, None if there is no process or it does not exit in time."""
        if not self.signal(signal.SIGTERM):
            return None
        deadline = time.monotonic() + seconds
        return self.wait_ended(max(0.1, deadline - time.monotonic()))
