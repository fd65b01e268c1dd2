"""Helm and kubectl on the session's API server, and a release for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gco_stream.local.cluster_fixtures import delete_namespace
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from tests.chart.helm import Helm
from tests.integration.chart.release import Release
from tests.integration.support.harness.world import World


@pytest.fixture(scope="session")
def helm(helm_binary: Path, control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(helm_binary, tmp_path_factory.mktemp("helm"), control_plane.kubeconfig)


@pytest.fixture
def system(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """The namespace of the controller, next to the one of the endpoints."""
    name = f"{namespace}-system"
    control_plane.kube.create(path_of("Namespace"), {"metadata": {"name": name}})
    yield name
    delete_namespace(control_plane.kube, name)


@pytest.fixture
def release(
    control_plane: ControlPlane,
    helm: Helm,
    world: World,
    system: str,
    controller_env: dict[str, str],
    tmp_path: Path,
) -> Iterator[Release]:
    one = Release(control_plane, helm, world, system, controller_env, tmp_path)
    yield one
    one.close()
