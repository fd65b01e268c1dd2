"""The API server or etcd restarts while the program runs: no change is lost, and none is applied twice."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gco_stream.local.cluster_fixtures import create_namespace
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.pytest_plugin import Table
from gco_stream.local.servers.dynamodb import client
from gco_stream.table.bootstrap import create
from tests.chaos.api_server.behind_proxy import ProgramBehindProxy, program_behind
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World

pytestmark = pytest.mark.integration
NAMESPACE = "restarts"


@pytest.fixture
def plane(disposable_control_plane: Callable[..., ControlPlane]) -> ControlPlane:
    return disposable_control_plane()


@pytest.fixture
def one(plane: ControlPlane, tmp_path: Path) -> Iterator[ProgramBehindProxy]:
    def program(**settings: str) -> Program:
        # The `program` fixture would use the shared control plane, which must not be restarted.
        return Program({"PATH": os.environ["PATH"], **settings}, tmp_path / "program-0.log").start()

    tables, streams = client(plane.dynamodb_url), client(plane.dynamodb_url, "dynamodbstreams")
    info = create(tables, NAMESPACE).info
    create_namespace(plane.kube, NAMESPACE)
    environment = {
        **plane.environment(namespace=NAMESPACE, table=NAMESPACE, user="gco-stream"),
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
        "LOG_FORMAT": "json",
        "STATUS_INTERVAL_SECONDS": "1",
    }
    table = Table(NAMESPACE, info.arn, info.stream_arn or "", tables, streams)
    world = World(table, plane.kube, NAMESPACE, environment["REGION"])
    with program_behind(world, environment, program, tmp_path, **environment) as found:
        yield found
    tables.close()
    streams.close()


def test_server_restarts_lose_nothing_and_cause_no_request_storm(one: ProgramBehindProxy, plane: ControlPlane) -> None:
    kept, replicas = ["e0", "e1", "e2"], 1
    for name in kept:
        one.put(name)
    one.until_in_desired_state(*kept)
    one.record_objects()
    for server in ("kube-apiserver", "etcd"):
        mark, new, replicas = time.monotonic(), f"new-{server}", replicas + 1
        plane.servers[server].stop()
        for name in kept:
            one.world.update_spec(name, replicas=replicas)
        one.put(new)
        one.until(lambda: not one.ready(), "the program reports that the API server does not respond")
        plane.restart(server)
        one.until_in_desired_state(*kept, new)
        one.assert_none_was_replaced()
        asked, took = len(one.since(mark)), time.monotonic() - mark
        assert asked < 150 + 12 * took
        one.until(one.ready, "the program is ready again")
    one.assert_clean_end()
