"""`python -m tools.screenshots [FOLDER]` takes screenshots of the status page, light and dark, from a real controller.

A local control plane runs a fleet. The script updates the endpoint chat, adds a canary to it, and makes the pods of
media-translate unready.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gco_stream.cli.commands.demo_scenario import SETTINGS
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.controller import NAME
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.progress import Progress
from gco_stream.local.servers.dynamodb import client
from gco_stream.local.session import running_control_plane
from gco_stream.model import wire
from gco_stream.table.sync_table import SyncEndpointTable
from tools.browser.chromium import chromium
from tools.browser.devtools import Tab, opened, running
from tools.screenshots.fleet import items, others_report

_DEFAULT: Final = Path("docs/images")
_WIDTH: Final = 1280
_PATIENCE: Final = 90.0
_SHOTS: Final = (
    ("fleet", "/", 1120),
    ("endpoint", "/endpoints/chat", 1500),
    ("trouble", "/endpoints/media-translate", 1300),
    ("stream", "/stream", 720),
)


def main(folder: Path) -> None:
    """Runs the fleet and takes the screenshots."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="gco-stream-screenshots-") as place,
        running_control_plane(
            Path(place) / "local", Progress(), {**SETTINGS, "CLUSTER_NAME": "gco-us-east-1"}
        ) as plane,
    ):
        port = plane.servers[NAME].port or 0
        with Progress().step("Running a fleet"):
            _play(plane)
        with Progress().step("Taking screenshots"), running(chromium()) as browser:
            asyncio.run(_shoot(browser, port, folder))


def _play(plane: ControlPlane) -> None:
    environment = plane.environment()
    dynamodb = client(environment["AWS_ENDPOINT_URL_DYNAMODB"])
    name, region = environment["INFERENCE_ENDPOINTS_TABLE_NAME"], environment["REGION"]
    table, kube = SyncEndpointTable(dynamodb, name), KubeApi.from_kubeconfig(environment["KUBECONFIG"])
    namespace = environment["INFERENCE_NAMESPACE"]
    try:
        for item in items(region, namespace):
            table.create(item)
        chat = {
            "image": "registry.example/serve:1.0",
            "replicas": 3,
            "gpu_count": 1,
            "env": {"HF_TOKEN": "never shown"},
        }
        table.create({"endpoint_name": "chat", "target_regions": [region], "namespace": namespace, "spec": chat})
        _until(lambda: _settled(table, region) >= 40, "the fleet to run")
        others_report(table, region, dynamodb, name)
        _make_unready(kube, namespace, "media-translate")
        seen = table.get("chat")
        if seen is None:
            sys.exit("item chat is no longer in the table")
        table.replace_spec(
            seen,
            chat
            | {"image": "registry.example/serve:2.0", "canary": {"image": "registry.example/serve:3.0", "weight": 20}},
        )
        _until(lambda: _state(table, "chat", region) == "running", "chat to run its new image")
        # The watchdog timeout of the demo is 4 s.
        _until(lambda: _state(table, "media-translate", region) == "error", "media-translate to report an error")
    finally:
        kube.close()
        dynamodb.close()


def _make_unready(kube: KubeApi, namespace: str, app: str) -> None:
    change = {"metadata": {"annotations": {"gco.local/ready": "false"}}}
    for pod in kube.list(path_of("Pod", namespace), labels=f"app={app}"):
        kube.patch(path_of("Pod", namespace, pod["metadata"]["name"]), change)


def _report(item: dict[str, Any], region: str) -> dict[str, Any]:
    found: dict[str, Any] = wire.decode(item).get("region_status", {}).get(region, {})
    return found


def _state(table: SyncEndpointTable, name: str, region: str) -> str:
    item = table.get(name) or {}
    report = _report(item, region)
    return str(report.get("state", "")) if report.get("intent") == wire.intent_of(item) else ""


def _settled(table: SyncEndpointTable, region: str) -> int:
    return sum(_report(item, region).get("state") in {"running", "stopped"} for item in table.scan())


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"timed out after {_PATIENCE:g} s waiting for {what}")
        time.sleep(0.1)


async def _shoot(browser: int, port: int, folder: Path) -> None:
    async with opened(browser) as tab:
        for scheme in ("light", "dark"):
            for name, path, height in _SHOTS:
                await _picture(tab, f"http://127.0.0.1:{port}{path}", scheme, height, folder / f"{name}-{scheme}.png")


async def _picture(tab: Tab, url: str, scheme: str, height: int, path: Path) -> None:
    await tab.media(prefers_color_scheme=scheme)
    await tab.size(_WIDTH, height, scale=1.5)
    await tab.go(url)
    await tab.until("document.getElementById('live').dataset.state === 'on'", "the page is live")
    await tab.screenshot(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT)
