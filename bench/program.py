"""Runs `gco-stream run` as a process and observes it from outside."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import orjson
import psutil
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from bench.place import Place
from bench.pod import Pod
from gco_stream.local.controller import NAME
from gco_stream.local.controller import leads as works
from gco_stream.local.servers.processes import Recipe, Server, listens

_READY_SECONDS = 180.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1
_REPOSITORY = Path(__file__).parents[1]
_AS_THEY_ARE: Mapping[str, str] = MappingProxyType({})
_RUN = ("gco_stream", "run")


class Program:
    """Context manager that runs the program and waits until it leads. `settings` override the place's environment.

    `pod` connects it with a service account instead of a kubeconfig. `module` is the Python module to run, with its
    arguments. `name` distinguishes several programs on one control plane. `leads=False` is for a standby: it waits only
    until the port accepts connections.
    """

    def __init__(
        self,
        place: Place,
        settings: Mapping[str, str] = _AS_THEY_ARE,
        *,
        pod: Pod | None = None,
        module: Sequence[str] = _RUN,
        name: str = NAME,
        leads: bool = True,
    ) -> None:
        self._port = port = place.plane.free_port()
        self._server = Server(
            Recipe(
                name=name,
                command=[*(pod.prefix if pod else ()), sys.executable, "-m", *module],
                folder=place.plane.folder / name,
                port=port,
                ready=lambda: works(port) if leads else listens(port),
                environment={
                    "PATH": os.environ.get("PATH", os.defpath),
                    **(pod.environment if pod else place.environment),
                    "LOG_FORMAT": "json",
                    "HTTP_HOST": "127.0.0.1",
                    "HTTP_PORT": str(port),
                    # Runs the program of this checkout, not an installed one.
                    "PYTHONPATH": str(_REPOSITORY),
                    **settings,
                },
            )
        )
        self._log = self._server.log
        self._log_start = 0

    def __enter__(self) -> Self:
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        self._server.start()
        try:
            self._server.wait_ready(time.monotonic() + _READY_SECONDS)
        except BaseException:
            self._server.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The benchmark may have killed it.
        with suppress(psutil.Error, IndexError):
            process = self.process
            process.terminate()
            process.wait(_STOP_SECONDS)
        self._server.stop()

    @property
    def process(self) -> psutil.Process:
        """The process of the program, a child of its supervisor."""
        return psutil.Process(self._server.pids[1])

    def rss_mib(self) -> float:
        return float(self.process.memory_info().rss / 2**20)

    def peak_rss_mib(self) -> float:
        """Peak resident memory (VmHWM on Linux)."""
        with open(f"/proc/{self.process.pid}/status") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self._get("/status"))
        return found

    def metric(self, name: str) -> float:
        """Sum of all samples with exactly this name."""
        families = text_string_to_metric_families(self._get("/metrics").decode())
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def works(self) -> bool:
        """Whether it is the leader and reconciles."""
        return works(self._port)

    def is_ready(self) -> bool:
        """Whether it is ready, which also applies to a standby."""
        answer = urllib3.request("GET", f"http://127.0.0.1:{self._port}/readyz", timeout=30.0, retries=False)
        return answer.status == 200

    def idle(self) -> bool:
        """Whether no key is queued or being processed."""
        status = self.status()
        return bool(status["working"]) and not status["queue"] and not status["in_work"]

    def wait_idle(self, seconds: float, *, also: Callable[[], bool] = lambda: True) -> None:
        """Waits until the program is idle and `also` is true. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not (self.idle() and also()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the program was not idle within {seconds:g} s:\n{self._server.tail()}")
            time.sleep(_POLL_SECONDS)

    def log_lines(self) -> list[dict[str, Any]]:
        """Log lines since its start."""
        with self._log.open("rb") as file:
            file.seek(self._log_start)
            return [orjson.loads(line) for line in file if line.startswith(b"{") and line.endswith(b"}\n")]

    def reconciled(self) -> list[dict[str, Any]]:
        """Log lines of reconciles, each with `ended`, the timestamp of the line as a Unix time."""
        lines = [line for line in self.log_lines() if line.get("message") == "reconciled"]
        return [{**line, "ended": datetime.fromisoformat(line["timestamp"]).timestamp()} for line in lines]

    def _get(self, path: str) -> bytes:
        answer = urllib3.request("GET", f"http://127.0.0.1:{self._port}{path}", timeout=30.0, retries=False)
        return answer.data
