"""Runs a real Prometheus that scrapes the controllers, and queries it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import urllib3
import yaml

from gco_stream.local.ports import Ports
from gco_stream.local.progress import Progress
from gco_stream.local.servers.processes import Recipe, Server
from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.binaries import PROMTOOL_VERSION
from gco_stream.local.toolchain.cache import Cache, default_cache
from gco_stream.local.toolchain.go_build import go_build

_VERSION_FLAG: Final = f"-X github.com/prometheus/common/version.Version={PROMTOOL_VERSION}"
# Same as promtool: without the service discovery clients for two dozen clouds.
_TAGS: Final = "remove_all_sd"
_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Series:
    """A time series: its labels, and (Unix time, value) pairs."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus, on `port` of 127.0.0.1."""

    port: int

    def range(self, query: str, since: float, until: float, step: float) -> list[Series]:
        """Runs a range query; times are Unix times, `step` is in seconds. Raises ValueError if it is rejected."""
        fields = {"query": query, "start": str(since), "end": str(until), "step": str(step)}
        answer = urllib3.request("POST", f"http://127.0.0.1:{self.port}/api/v1/query_range", fields=fields)
        result: dict[str, Any] = orjson.loads(answer.data)
        if result["status"] != "success":
            raise ValueError(f"{query}: {result['error']}")
        return [
            Series(one["metric"], tuple((float(at), float(value)) for at, value in one["values"]))
            for one in result["data"]["result"]
        ]


def binary(cache: Cache | None = None) -> Path:
    """Path of prometheus. The first build on a machine takes minutes. Raises BuildError if it fails."""
    module = toolchains.inputs().parent / "prometheus"
    made = go_build(
        cache or Cache(default_cache(), Progress()),
        "prometheus",
        module,
        "Building Prometheus",
        _VERSION_FLAG,
        tags=_TAGS,
    )
    return made / "prometheus"


@contextmanager
def scraping(
    program: Path, targets: Mapping[int, Mapping[str, str]], every: float, folder: Path
) -> Iterator[Prometheus]:
    """Runs a Prometheus that scrapes ports of 127.0.0.1 every `every` seconds. `targets` maps ports to labels.

    Raises:
        StartError: Prometheus did not start.
    """
    found = [{"targets": [f"127.0.0.1:{port}"], "labels": dict(labels)} for port, labels in targets.items()]
    job = {"job_name": "gco-stream", "static_configs": found}
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": f"{every:g}s"}, "scrape_configs": [job]}))
    ports = Ports(default_cache() / "ports")
    port = ports.reserve()
    command = [
        str(program),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    server = Server(Recipe("prometheus", command, folder, port, ready=lambda: _ready(port)))
    try:
        server.start()
        server.wait_ready(time.monotonic() + _START_SECONDS)
        yield Prometheus(port)
    finally:
        server.stop()
        ports.release()


def _ready(port: int) -> bool:
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/-/ready", timeout=2.0, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
