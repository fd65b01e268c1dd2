"""pytest fixtures that give a test real Kubernetes and a real DynamoDB, started once a run and only if a test asks.

`control_plane` is shared by the run; `namespace`, `table` and `controller_env` are each test's own, so tests do not see
one another. `disposable_control_plane` makes one that a test may break. This module is imported at every start of
pytest, hence the late imports.
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
    """A test's own table of endpoints, with boto3 clients for it and for its stream."""

    name: str
    arn: str
    stream_arn: str
    client: Any
    streams: Any


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is missing before the first test, where no test's time limit runs and progress can be seen."""
    if session.config.option.collectonly:
        return
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if not asked & (_NEED_BINARIES | _NEED_CLIENTS | _NEED_PROMTOOL):
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
        if asked & _NEED_BINARIES:
            binaries(cache)
        if asked & _NEED_CLIENTS:
            helm(cache)
            kubectl(cache)
        if asked & _NEED_PROMTOOL:
            promtool(cache)
    except BuildError as error:
        # The tests that need nothing of it may run; the others try again and fail with this.
        Progress().note(f"Without a control plane or its clients: {error}")
    finally:
        if capture is not None:
            capture.resume_global_capture()


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[ControlPlane]":
    """The control plane of this run, for every test that does no harm to it."""
    from gco_stream.local.control_plane import ControlPlane

    with ControlPlane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def disposable_control_plane(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Callable[..., ControlPlane]]":
    """`disposable_control_plane(controllers=False, ...)` starts another one, stopped when the test ends."""
    from contextlib import ExitStack

    from gco_stream.local.control_plane import ControlPlane

    with ExitStack() as planes:

        def start(**options: Any) -> ControlPlane:
            return planes.enter_context(ControlPlane(tmp_path_factory.mktemp("control-plane"), **options))

        yield start


@pytest.fixture(scope="session")
def helm_binary() -> Path:
    """The path of helm."""
    from gco_stream.local.progress import Progress
    from gco_stream.local.toolchain.binaries import helm
    from gco_stream.local.toolchain.cache import Cache, default_cache

    return helm(Cache(default_cache(), Progress(quiet=True)))


@pytest.fixture(scope="session")
def kubectl_binary() -> Path:
    """The path of kubectl."""
    from gco_stream.local.progress import Progress
    from gco_stream.local.toolchain.binaries import kubectl
    from gco_stream.local.toolchain.cache import Cache, default_cache

    return kubectl(Cache(default_cache(), Progress(quiet=True)))


@pytest.fixture(scope="session")
def promtool_binary() -> Path:
    """The path of promtool."""
    from gco_stream.local.progress import Progress
    from gco_stream.local.toolchain.binaries import promtool
    from gco_stream.local.toolchain.cache import Cache, default_cache

    return promtool(Cache(default_cache(), Progress(quiet=True)))


@pytest.fixture
def kube(control_plane: "ControlPlane") -> "KubeApi":
    """The run's API server as its administrator: raw JSON, `wait_for`, and `until` for async tests."""
    return control_plane.kube


@pytest.fixture
def namespace(control_plane: "ControlPlane") -> Iterator[str]:
    """A new namespace's name; it has the claim `efs-claim`. Deleted, without waiting, when the test ends."""
    from gco_stream.local.cluster_fixtures import create_namespace, delete_namespace

    name = f"t-{uuid.uuid4().hex[:10]}"
    create_namespace(control_plane.kube, name)
    yield name
    delete_namespace(control_plane.kube, name)


@pytest.fixture(scope="session")
def dynamodb_clients(control_plane: "ControlPlane") -> Iterator[tuple[Any, Any]]:
    """boto3 clients of the run's DynamoDB Local, for tables and for streams."""
    from gco_stream.local.servers.dynamodb import client

    tables, streams = client(control_plane.dynamodb_url), client(control_plane.dynamodb_url, "dynamodbstreams")
    yield tables, streams
    tables.close()
    streams.close()


@pytest.fixture
def table(dynamodb_clients: tuple[Any, Any]) -> Iterator[Table]:
    """A new table of endpoints with a stream of new and old images, deleted when the test ends."""
    from gco_stream.table.bootstrap import create

    tables, streams = dynamodb_clients
    name = f"endpoints-{uuid.uuid4().hex[:10]}"
    made = create(tables, name).info
    yield Table(name, made.arn, made.stream_arn or "", tables, streams)
    tables.delete_table(TableName=name)


@pytest.fixture
def controller_user(namespace: str) -> str:
    """The name by which `control_plane.audit.calls(user=...)` tells this test's controller from everybody else."""
    return f"gco-stream:{namespace}"


@pytest.fixture
def controller_env(control_plane: "ControlPlane", namespace: str, table: Table, controller_user: str) -> dict[str, str]:
    """The environment variables that make the program work on this test's namespace and table, on a free HTTP port."""
    return control_plane.environment(namespace=namespace, table=table.name, user=controller_user) | {"HTTP_PORT": "0"}
