"""A real Prometheus that scrapes the controllers, and the answers that it gives to a panel's questions."""

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
# As promtool: without the clients of two dozen clouds.
_TAGS: Final = "remove_all_sd"
_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a picture: its labels, and (Unix time, value) pairs."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs, at `port` of 127.0.0.1."""

    port: int

    def range(self, query: str, since: float, until: float, step: float) -> list[Series]:
        """What `query` was from `since` to `until` (Unix times), every `step` seconds. Raises ValueError: refused."""
        fields = {"query": query, "start": str(since), "end": str(until), "step": str(step)}
        answer = urllib3.request("POST", f"http://127.0.0.1:{self.port}/api/v1/query_range", fields=fields)
        told: dict[str, Any] = orjson.loads(answer.data)
        if told["status"] != "success":
            raise ValueError(f"{query}: {told['error']}")
        return [
            Series(one["metric"], tuple((float(at), float(value)) for at, value in one["values"]))
            for one in told["data"]["result"]
        ]


def binary(cache: Cache | None = None) -> Path:
    """The prometheus binary; the first time on a machine this takes minutes. Raises BuildError: it could not be had."""
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
    """Scrapes these ports of 127.0.0.1 each `every` seconds while the block runs, each with the labels of its pod.

    Raises:
        StartError: it did not start.
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
