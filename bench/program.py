"""The real program, `gco-stream run` as a process, looked at from outside."""

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
_LOOK_SECONDS = 0.1
_REPOSITORY = Path(__file__).parents[1]
_AS_THEY_ARE: Mapping[str, str] = MappingProxyType({})
_RUN = ("gco_stream", "run")


class Program:
    """Runs while entered, and works when entered is done. `settings` go over the place's environment.

    `pod`: it finds the cluster as a pod does, rather than by a kubeconfig. `module`: what is run, with its arguments.
    `name`: of several on one control plane, which. `leads`: False where another leads, so it is not waited for.
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
                    # The program that stands beside these measurements, whatever is installed.
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
        # It may have been killed.
        with suppress(psutil.Error, IndexError):
            process = self.process
            process.terminate()
            process.wait(_STOP_SECONDS)
        self._server.stop()

    @property
    def process(self) -> psutil.Process:
        """The program's own, below its supervisor."""
        return psutil.Process(self._server.pids[1])

    def rss_mib(self) -> float:
        return float(self.process.memory_info().rss / 2**20)

    def peak_rss_mib(self) -> float:
        """The largest so far (Linux' VmHWM)."""
        with open(f"/proc/{self.process.pid}/status") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self._get("/status"))
        return found

    def metric(self, name: str) -> float:
        """The sum of a metric's samples of exactly that name."""
        families = text_string_to_metric_families(self._get("/metrics").decode())
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def works(self) -> bool:
        """Whether it leads and has begun to work."""
        return works(self._port)

    def is_ready(self) -> bool:
        """Whether it is Ready, as a standby is as well."""
        answer = urllib3.request("GET", f"http://127.0.0.1:{self._port}/readyz", timeout=30.0, retries=False)
        return answer.status == 200

    def idle(self) -> bool:
        """Whether no endpoint waits or is being worked on."""
        status = self.status()
        return bool(status["working"]) and not status["queue"] and not status["in_work"]

    def wait_idle(self, seconds: float, *, also: Callable[[], bool] = lambda: True) -> None:
        """Until nothing is left to do and `also` holds. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while not (self.idle() and also()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {seconds:g} s the program is still at work:\n{self._server.tail()}")
            time.sleep(_LOOK_SECONDS)

    def log_lines(self) -> list[dict[str, Any]]:
        """What it has logged since it was started."""
        with self._log.open("rb") as file:
            file.seek(self._log_start)
            return [orjson.loads(line) for line in file if line.startswith(b"{") and line.endswith(b"}\n")]

    def reconciled(self) -> list[dict[str, Any]]:
        """The lines about reconciles, each with `ended`, the line's time as a Unix time."""
        lines = [line for line in self.log_lines() if line.get("message") == "reconciled"]
        return [{**line, "ended": datetime.fromisoformat(line["timestamp"]).timestamp()} for line in lines]

    def _get(self, path: str) -> bytes:
        answer = urllib3.request("GET", f"http://127.0.0.1:{self._port}{path}", timeout=30.0, retries=False)
        return answer.data
