"""Runs a server as a supervised process that can be stopped, suspended and restarted."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gco_stream.local.errors import StartError
from gco_stream.local.servers import supervise

_LOG_LINES = 15
_POLL_SECONDS = 0.02
_FREEZE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to run a server.

    `folder`: its working directory, also for its log. `ready` returns whether the server accepts requests; without it,
    the server counts as ready as soon as its process runs. `environment` is added to PATH and HOME.
    """

    name: str
    command: Sequence[str | Path]
    folder: Path
    port: int | None = None
    ready: Callable[[], bool] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Server:
    """A server, running or stopped. Its output is appended to `<folder>/<name>.log`, also after restarts."""

    def __init__(self, recipe: Recipe):
        self.name = recipe.name
        self.port = recipe.port
        self.log = recipe.folder / f"{recipe.name}.log"
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the supervisor and the server, in this order. Empty if the server is stopped."""
        if self._process is None or self._process.poll() is not None:
            return ()
        return (self._process.pid, *_children(self._process.pid))

    @property
    def running(self) -> bool:
        """Whether the supervisor is running, and with it the server."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the server without waiting until it is ready. Does nothing if it is already running."""
        if self.running:
            return
        self._recipe.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # With -I -S, Python starts faster. The supervisor needs only the standard library.
            self._process = subprocess.Popen(  # noqa: S603 - our own servers
                [sys.executable, "-I", "-S", supervise.__file__, str(os.getpid()), *self._recipe.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._recipe.folder,
                env={"PATH": os.defpath, "HOME": str(self._recipe.folder), **self._recipe.environment},
                start_new_session=True,
            )

    def wait_ready(self, deadline: float) -> None:
        """Waits until the server is ready, at most until `deadline` on the `time.monotonic` clock.

        Raises:
            StartError: the server exited or was not ready in time. The message has the end of its log.
        """
        while True:
            if not self.running:
                raise StartError(f"{self.name} exited during startup; last lines of {self.log}:\n{self.tail()}")
            if self._recipe.ready is None or self._recipe.ready():
                return
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready in time; last lines of {self.log}:\n{self.tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Kills the server and waits until it has exited. It can be started again."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Suspends the server with SIGSTOP. Its connections stay open, but it does not respond until `thaw`.

        Raises:
            StartError: the server is not running, or was not suspended within a minute.
        """
        _, *servers = self.pids or (0,)
        if not servers:
            raise StartError(f"{self.name} is not running")
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + _FREEZE_SECONDS
        while not self._is_stopped():
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not suspended within {_FREEZE_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)

    def thaw(self) -> None:
        """Resumes the server after `freeze`. Does nothing if the server is not running."""
        for pid in self.pids[1:]:
            os.kill(pid, signal.SIGCONT)

    def _is_stopped(self) -> bool:
        import psutil  # noqa: PLC0415 - few callers need it

        return all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in self.pids[1:])

    def tail(self, lines: int = _LOG_LINES) -> str:
        """Returns the last lines of the log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"


def listens(port: int) -> bool:
    """Returns whether a server accepts connections on `port` of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> tuple[int, ...]:
    import psutil  # noqa: PLC0415 - few callers need it

    try:
        return tuple(child.pid for child in psutil.Process(pid).children())
    except psutil.NoSuchProcess:
        return ()
