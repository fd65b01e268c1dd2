"""Fixtures that run the real program as a separate process against the session's control plane."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.pytest_plugin import Table
from tests.integration.support.harness.program import LONG_LEASE, Program
from tests.integration.support.harness.world import World
from tests.integration.support.rights import allow, as_installed, charts_rules
from tests.integration.support.webhook import Webhook, mutating


@pytest.fixture
def controller_env(
    control_plane: ControlPlane, namespace: str, table: Table, controller_user: str, helm_binary: Path
) -> dict[str, str]:
    """Environment of a controller whose user has only the permissions of the chart's Role.

    Helm renders the chart. Requesting `helm_binary` here builds it before the timeout of the first test starts.
    """
    environment = control_plane.environment(namespace=namespace, table=table.name)
    kubeconfig = as_installed(control_plane, controller_user, namespace)
    return environment | {"KUBECONFIG": str(kubeconfig), "HTTP_PORT": "0"}


@pytest.fixture
def unlimited_env(controller_env: dict[str, str], control_plane: ControlPlane) -> dict[str, str]:
    """Environment of a user with all permissions.

    For commands of a person, and for tests in which Roles are deleted with their namespace.
    """
    return controller_env | {"KUBECONFIG": str(control_plane.kubeconfig)}


@pytest.fixture
def world(table: Table, kube: KubeApi, namespace: str, controller_env: dict[str, str]) -> World:
    return World(table, kube, namespace, controller_env["REGION"])


@pytest.fixture
def program(
    controller_env: dict[str, str], controller_user: str, kube: KubeApi, tmp_path: Path
) -> Iterator[Callable[..., Program]]:
    """Returns a function: `program(SETTING="x")` starts a process, which is killed when the test ends.

    `module` or `command`: what to run instead of `gco-stream run`.
    """
    started: list[Program] = []

    def start(
        module: tuple[str, ...] = ("gco_stream", "run"), command: list[str] | None = None, **settings: str
    ) -> Program:
        for further in filter(None, settings.get("ALLOWED_NAMESPACES", "").split(",")):
            if kube.find(path_of("Namespace", name=further)):
                allow(kube, controller_user, further, charts_rules()[1])
        environment = {
            "PATH": os.environ["PATH"],
            **controller_env,
            "LOG_FORMAT": "json",
            "HTTP_HOST": "127.0.0.1",
            "STATUS_INTERVAL_SECONDS": "1",
            **LONG_LEASE,
            **settings,
        }
        one = Program(environment, tmp_path / f"program-{len(started)}.log", module, command)
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def controller(program: Callable[..., Program]) -> Program:
    """The program, started, leading and working."""
    return program().wait_working()


@pytest.fixture
def webhook(kube: KubeApi, namespace: str) -> Iterator[Callable[..., Webhook]]:
    """`webhook(change, "pods")` patches writes in its namespace with `change` until the test ends."""
    with contextlib.ExitStack() as webhooks:
        yield lambda change, *resources: webhooks.enter_context(mutating(kube, namespace, change, *resources))
