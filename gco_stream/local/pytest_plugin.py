"""pytest fixtures for a real Kubernetes API server and DynamoDB Local, started only if a test requests them.

All tests of a run share `control_plane`. They are isolated from each other, because each test has its own `namespace`,
`table` and `controller_env`. `disposable_control_plane` starts separate control planes, which a test may break. To use
the fixtures, set `pytest_plugins = ["gco_stream.local.pytest_plugin"]` in the top-level conftest.py.

pytest imports this module at every start. Functions therefore import the slow modules only when they need them.
"""

# ruff: noqa: PLC0415

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gco_stream.local.control_plane import ControlPlane
    from gco_stream.local.kube_api import KubeApi

_NEED_BINARIES = {"control_plane", "disposable_control_plane"}
_NEED_CLIENTS = {"helm_binary", "kubectl_binary"}
_NEED_PROMTOOL = {"promtool_binary"}


@dataclass(frozen=True, slots=True)
class Table:
    """Endpoint table of one test, with boto3 clients for the table and its stream."""

    name: str
    arn: str
    stream_arn: str
    client: Any
    streams: Any


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds missing binaries before the first test, when no test timeout applies and the progress is visible."""
    if session.config.option.collectonly:
        return
    requested = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if not requested & (_NEED_BINARIES | _NEED_CLIENTS | _NEED_PROMTOOL):
        return
    from gco_stream.local.errors import BuildError
    from gco_stream.local.progress import Progress
    from gco_stream.local.toolchain.binaries import helm, kubectl, promtool
    from gco_stream.local.toolchain.build import binaries
    from gco_stream.local.toolchain.cache import Cache, default_cache

    capture = session.config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)
    try:
        cache = Cache(default_cache(), Progress())
        if requested & _NEED_BINARIES:
            binaries(cache)
        if requested & _NEED_CLIENTS:
            helm(cache)
            kubectl(cache)
        if requested & _NEED_PROMTOOL:
            promtool(cache)
    except BuildError as error:
        # Tests that do not need the binaries still run. The others repeat the build and fail with its error.
        Progress().note(f"No control plane or clients available: {error}")
    finally:
        if capture is not None:
            capture.resume_global_capture()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ControlPlane]":
    """Control plane shared by all tests of this run, which must leave it intact."""
    from gco_stream.local.control_plane import ControlPlane

    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def disposable_control_plane(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Callable[..., ControlPlane]]":
    """Function that starts a separate control plane with the given options. It stops when the test ends."""
    from contextlib import ExitStack

    from gco_stream.local.control_plane import ControlPlane

    with ExitStack() as planes:

        def start(**options: Any) -> ControlPlane:
            return planes.enter_context(ControlPlane(tmp_path_factory.mktemp("control-plane"), **options))

        yield start


@pytest.fixture(scope="session")
def helm_binary() -> Path:
    """Path of the helm binary."""
    from gco_stream.local.progress import Progress
    from gco_stream.local.toolchain.binaries import helm
    from gco_stream.local.toolchain.cache import Cache, default_cache

    return helm(Cache(default_cache(), Progress(quiet=True)))


@pytest.fixture(scope="session")
def kubectl_binary() -> Path:
    """Path of the kubectl binary."""
    from gco_stream.local.progress import Progress
    from gco_stream.local.toolchain.binaries import kubectl
    from gco_stream.local.toolchain.cache import Cache, default_cache

    return kubectl(Cache(default_cache(), Progress(quiet=True)))


@pytest.fixture(scope="session")
def promtool_binary() -> Path:
    """Path of the promtool binary."""
    from gco_stream.local.progress import Progress
    from gco_stream.local.toolchain.binaries import promtool
    from gco_stream.local.toolchain.cache import Cache, default_cache

    return promtool(Cache(default_cache(), Progress(quiet=True)))


@pytest.fixture
def kube(control_plane: "ControlPlane") -> "KubeApi":
    """Administrator client for the shared API server."""
    return control_plane.kube


@pytest.fixture
def namespace(control_plane: "ControlPlane") -> Iterator[str]:
    """Name of a new namespace with the claim `efs-claim`. Its deletion starts when the test ends."""
    from gco_stream.local.cluster_fixtures import create_namespace, delete_namespace

    name = f"t-{uuid.uuid4().hex[:10]}"
    create_namespace(control_plane.kube, name)
    yield name
    delete_namespace(control_plane.kube, name)


@pytest.fixture(scope="session")
def dynamodb_clients(control_plane: "ControlPlane") -> Iterator[tuple[Any, Any]]:
    """boto3 clients for the shared DynamoDB Local: one for tables, one for streams."""
    from gco_stream.local.servers.dynamodb import client

    tables, streams = client(control_plane.dynamodb_url), client(control_plane.dynamodb_url, "dynamodbstreams")
    yield tables, streams
    tables.close()
    streams.close()


@pytest.fixture
def table(dynamodb_clients: tuple[Any, Any]) -> Iterator[Table]:
    """New endpoint table with a stream of new and old images. It is deleted when the test ends."""
    from gco_stream.table.bootstrap import create

    tables, streams = dynamodb_clients
    name = f"endpoints-{uuid.uuid4().hex[:10]}"
    made = create(tables, name).info
    yield Table(name, made.arn, made.stream_arn or "", tables, streams)
    tables.delete_table(TableName=name)


@pytest.fixture
def controller_user(namespace: str) -> str:
    """User name of this test's controller, for `control_plane.audit.calls(user=...)`."""
    return f"gco-stream:{namespace}"


@pytest.fixture
def controller_env(control_plane: "ControlPlane", namespace: str, table: Table, controller_user: str) -> dict[str, str]:
    """Environment variables of a controller with this test's namespace and table, and with any free HTTP port."""
    return control_plane.environment(namespace=namespace, table=table.name, user=controller_user) | {"HTTP_PORT": "0"}
