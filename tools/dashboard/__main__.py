"""`python -m tools.dashboard [FOLDER]` draws the dashboard, light and dark, from the metrics of real controllers.

Two controllers run on a local control plane while a fleet changes for a few minutes. A real Prometheus scrapes them and
answers the dashboard's queries, and an HTML page draws the results. Grafana is not involved.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.controller import NAME, controller
from gco_stream.local.kube_api import KubeApi
from gco_stream.local.progress import Progress
from gco_stream.local.servers.dynamodb import client
from gco_stream.local.servers.processes import Server
from gco_stream.local.session import running_control_plane
from gco_stream.local.toolchain.binaries import PROMTOOL_VERSION
from gco_stream.table.sync_table import SyncEndpointTable
from tools.browser.chromium import Browser, chromium
from tools.browser.devtools import opened, running
from tools.dashboard.page import WIDTH, page
from tools.dashboard.prometheus import Prometheus, binary, scraping
from tools.dashboard.questions import Row, rows
from tools.dashboard.traffic import Traffic
from tools.metrics.dashboard import DASHBOARD
from tools.screenshots.fleet import items

_DEFAULT: Final = Path("docs/images")
_SECONDS: Final = 180.0
# The fleet is created in this time, which is not representative and therefore not shown.
_BEFORE: Final = 60.0
_SCRAPE: Final = 2.0
# Same as Grafana: at least four scrape intervals.
_RATE_INTERVAL: Final = 4 * _SCRAPE
_SHOTS: Final = {
    "dashboard": ("Fleet", "Changes"),
    "dashboard-stream": ("Stream", "Kubernetes"),
    "dashboard-process": ("Leadership", "Process"),
}
_PODS: Final = ("gco-stream-6f9d8c7b5-4xk2p", "gco-stream-6f9d8c7b5-zq8wn")
_SETTINGS: Final = {
    "CANARY_DRAIN_SECONDS": "5",
    "INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "20",
    "RESYNC_INTERVAL_SECONDS": "30",
    "STATUS_INTERVAL_SECONDS": "5",
}


def main(folder: Path) -> None:
    """Runs the fleet and draws the images."""
    folder.mkdir(parents=True, exist_ok=True)
    program, browser = binary(), chromium()
    with (
        tempfile.TemporaryDirectory(prefix="gco-stream-dashboard-") as place,
        running_control_plane(Path(place) / "local", Progress(), {**_SETTINGS, "HOSTNAME": _PODS[0]}) as plane,
    ):
        first = plane.servers[NAME]
        second = plane.servers["standby"] = controller(plane, plane.free_port(), **_SETTINGS, HOSTNAME=_PODS[1])
        second.start()
        targets = {
            one.port or 0: {"namespace": "gco-system", "job": "gco-stream", "pod": pod}
            for one, pod in zip((first, second), _PODS, strict=True)
        }
        with scraping(program, targets, _SCRAPE, Path(place) / "prometheus") as prometheus:
            with Progress().step(f"Changing a fleet for {_BEFORE + _SECONDS:.0f} s"):
                _play(plane, first)
            until = time.time() // _SCRAPE * _SCRAPE
            answered = ask(prometheus, until - _SECONDS, until)
    with Progress().step("Drawing images"):
        shoot(browser, answered, (until - _SECONDS, until), folder)


def ask(prometheus: Prometheus, since: float, until: float) -> list[Row]:
    """The results of all dashboard queries for a time range, in Unix times."""
    return list(rows(DASHBOARD, lambda query: prometheus.range(query, since, until, _SCRAPE), _RATE_INTERVAL))


def shoot(browser: Browser, answered: Sequence[Row], span: tuple[float, float], folder: Path) -> None:
    """Draws the images of these results."""
    with running(browser) as port, tempfile.TemporaryDirectory(prefix="gco-stream-pages-") as pages:
        asyncio.run(_shoot(port, answered, span, folder, Path(pages)))


def _play(plane: ControlPlane, leader: Server) -> None:
    environment: Mapping[str, str] = plane.environment()
    dynamodb = client(environment["AWS_ENDPOINT_URL_DYNAMODB"])
    table = SyncEndpointTable(dynamodb, environment["INFERENCE_ENDPOINTS_TABLE_NAME"])
    kube = KubeApi.from_kubeconfig(environment["KUBECONFIG"])
    region, namespace = environment["REGION"], environment["INFERENCE_NAMESPACE"]

    def rolled() -> None:
        """Restarts the leader. The standby takes over at once, and the restarted one becomes the standby."""
        os.kill(leader.pids[1], signal.SIGTERM)
        while leader.running:
            time.sleep(0.05)
        leader.start()

    try:
        for item in items(region, namespace):
            table.create(item)
        traffic = Traffic(table, kube, region, namespace)
        traffic.flow(
            _BEFORE + _SECONDS,
            {
                0.25: lambda: traffic.unready("media-translate"),
                0.5: rolled,
                0.7: lambda: traffic.unready("media-translate", ready=True),
                0.8: lambda: traffic.unready("risk-vision"),
            },
        )
    finally:
        kube.close()
        dynamodb.close()


async def _shoot(port: int, answered: Sequence[Row], span: tuple[float, float], folder: Path, pages: Path) -> None:
    source = f"Prometheus {PROMTOOL_VERSION}"
    async with opened(port) as tab:
        for scheme in ("light", "dark"):
            for name, titles in _SHOTS.items():
                shown = [row for row in answered if row.title in titles]
                html, height = page(shown, *span, dark=scheme == "dark", source=source)
                written = pages / f"{name}-{scheme}.html"
                written.write_text(html, "utf-8")
                await tab.size(WIDTH, height, scale=1.5)
                await tab.go(written.as_uri())
                await tab.screenshot(folder / f"{name}-{scheme}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT)
