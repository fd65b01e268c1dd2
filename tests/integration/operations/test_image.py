"""Runs the Dockerfile's steps in an empty folder and checks the resulting controller and its health check."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.image_by_hand import Builder
from gco_stream import __version__
from tests.integration.support.harness.program import Program


class Image:
    """The result of the build, and its environment."""

    def __init__(self, folder: Path) -> None:
        self.builder = Builder(folder)
        self.environment = self.builder.build("run")
        self.entrypoint = self.builder.command("run", "ENTRYPOINT")

    def health(self, port: int) -> int:
        """Runs the image's health check and returns its exit code."""
        command = self.builder.command("run", "HEALTHCHECK")
        environment = self.environment | {"HTTP_PORT": str(port)}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def running(image: Image, controller_env: dict[str, str], tmp_path: Path) -> Iterator[Program]:
    command = [*image.entrypoint, *image.builder.command("run", "CMD")]
    program = Program(image.environment | controller_env, tmp_path / "controller.log", command=command).start()
    yield program
    program.kill()


def test_the_image_runs_the_controller_and_its_health_check_works(image: Image, running: Program) -> None:
    running.wait_working()
    port = running.port
    assert image.health(port) == 0
    assert running.stop() == 0
    assert image.health(port) == 1


def test_the_image_contains_this_version_without_pip_or_test_packages(image: Image) -> None:
    said = subprocess.run([*image.entrypoint, "--version"], env=image.environment, capture_output=True, check=True)
    assert said.stdout.decode() == f"gco-stream {__version__}\n"
    installed = {
        path.name.lower() for path in Path(image.builder.here("/opt/gco-stream/lib")).glob("*/site-packages/*")
    }
    assert {"gco_stream", "aiobotocore"} <= installed
    assert installed & {"pip", "pytest", "psutil", "hatchling", "cryptography"} == set()
