"""The controller of docker-compose.yml restarts when a source file changes, with the same image steps and script."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from dev.image_by_hand import Builder
from gco_stream.local.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


class Container:
    """Runs the service `controller` in a folder instead of a container."""

    def __init__(self, root: Path, settings: dict[str, str]) -> None:
        builder = Builder(root)
        environment = builder.build("dev")
        self.sources = Path(builder.here("/src/gco_stream"))
        # The two mounts of docker-compose.yml.
        shutil.copytree(ROOT / "gco_stream", self.sources, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "dev", self.sources.parent / "dev", ignore=shutil.ignore_patterns("__pycache__"))
        self.log = root / "controller.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                builder.command("dev", "CMD"), env=settings | environment | {"HTTP_PORT": "0"}, stdout=log, stderr=log
            )

    def events(self) -> list[str]:
        lines = [line for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
        return [orjson.loads(line)["message"] for line in lines]

    def until(self, event: str, times: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.events().count(event) < times:
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            assert self._process.poll() is None, self.log.read_text()[-4000:]
            time.sleep(0.1)

    def stop(self) -> None:
        """Stops the controller as docker compose does."""
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def container(control_plane: ControlPlane, namespace: str, localstack_url: str, tmp_path: Path) -> Iterator[Container]:
    given = control_plane.environment(namespace=namespace)
    settings = {name: value for name, value in given.items() if not name.startswith("AWS_ENDPOINT_URL")}
    settings |= {"AWS_ENDPOINT_URL": localstack_url, "LOG_FORMAT": "json", "HOME": str(tmp_path)}
    settings |= {"K3S_KUBECONFIG": settings.pop("KUBECONFIG"), "K3S_SERVER": "https://127.0.0.1:6443"}
    started = Container(tmp_path / "container", settings)
    yield started
    started.stop()


@pytest.mark.timeout(240)
def test_a_source_change_restarts_the_controller_which_leads_at_once(container: Container) -> None:
    container.until("leading", 1)
    (container.sources / "planning" / "planner.py").touch()
    container.until("leading", 2)
    assert container.events().count("lease released") == 1
    container.stop()
    assert container.events()[-1] == "stopped"
