"""One server as a process: started under a supervisor, waited for until ready, stopped, frozen, restarted."""

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
    """How a server is run. `ready` answers whether it serves; a server without it is ready when it runs."""

    name: str
    command: Sequence[str | Path]
    folder: Path
    port: int | None = None
    ready: Callable[[], bool] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Server:
    """A server that may be running; its output goes to `<folder>/<name>.log`, appended over restarts."""

    def __init__(self, recipe: Recipe):
        self.name = recipe.name
        self.port = recipe.port
        self.log = recipe.folder / f"{recipe.name}.log"
        self._recipe = recipe
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """The server's process id after its supervisor's; empty while stopped."""
        if self._process is None or self._process.poll() is not None:
            return ()
        return (self._process.pid, *_children(self._process.pid))

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, without waiting for it to be ready; nothing happens if it runs."""
        if self.running:
            return
        self._recipe.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # -I -S: the supervisor needs nothing of this environment, and starts faster without it.
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
        """Wait until it is ready; `deadline` is a time of `time.monotonic`.

        Raises:
            StartError: it ended or was not ready in time; with the end of its log.
        """
        while True:
            if not self.running:
                raise StartError(f"{self.name} ended while starting; the end of {self.log}:\n{self.tail()}")
            if self._recipe.ready is None or self._recipe.ready():
                return
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready in time; the end of {self.log}:\n{self.tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Kill it and wait until it is gone; it may be started again."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay open and nothing answers, from this call's return on.

        Raises StartError where it does not run, or does not stop.
        """
        _, *servers = self.pids or (0,)
        if not servers:
            raise StartError(f"{self.name} does not run")
        for pid in servers:
            os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + _FREEZE_SECONDS
        while not self._is_stopped():
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} cannot be stopped in its tracks")
            time.sleep(_POLL_SECONDS)

    def thaw(self) -> None:
        """Let it go on after `freeze`; nothing happens if it does not run."""
        for pid in self.pids[1:]:
            os.kill(pid, signal.SIGCONT)

    def _is_stopped(self) -> bool:
        import psutil  # noqa: PLC0415 - only those who look need it

        return all(psutil.Process(pid).status() == psutil.STATUS_STOPPED for pid in self.pids[1:])

    def tail(self, lines: int = _LOG_LINES) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"


def listens(port: int) -> bool:
    """Whether something accepts connections on `port` of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> tuple[int, ...]:
    import psutil  # noqa: PLC0415 - only those who look need it

    try:
        return tuple(child.pid for child in psutil.Process(pid).children())
    except psutil.NoSuchProcess:
        return ()
