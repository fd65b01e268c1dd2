"""If the API server, the table, a namespace or a permission is missing, the program reports it and keeps running."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from gco_stream.local.cluster_fixtures import create_namespace, delete_namespace
from gco_stream.local.control_plane import NAMESPACE, TABLE, ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.servers.dynamodb import client as dynamodb_client
from gco_stream.model import wire
from gco_stream.table import bootstrap
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.rights import RIGHTS, grant
from tests.support.items import item

pytestmark = pytest.mark.integration
Planes = Callable[..., ControlPlane]
Start = Callable[..., Program]
GPU_FREE = {"gpu_count": 0}
SLOW = 240.0


@pytest.fixture(autouse=True)
def no_traceback(tmp_path: Path) -> Iterator[None]:
    yield
    for log in tmp_path.glob("program-*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()[-5000:]


def not_ready(one: Program, *words: str) -> Callable[[], bool]:
    """Returns a check that the program is alive and that /readyz reports 503 with all these words."""

    def look() -> bool:
        try:
            status, text = one.http("/readyz")
            alive, _ = one.http("/healthz")
        except (StopIteration, urllib3.exceptions.HTTPError):
            return False
        return (status, alive) == (503, 200) and all(word in text for word in words)

    return look


def ready(one: Program) -> Callable[[], bool]:
    return lambda: one.http("/readyz") == (200, "ok\n")


@pytest.fixture
def limited(control_plane: ControlPlane, namespace: str) -> tuple[str, dict[str, str]]:
    """A user without permissions, and the settings with which the program is that user."""
    user = f"limited:{namespace}"
    return user, {"KUBECONFIG": str(control_plane.kubeconfig_for(user, groups=()))}


@pytest.fixture
def everything(control_plane: ControlPlane) -> dict[str, str]:
    """Settings of a user with all permissions, because a missing namespace cannot have a Role."""
    return {"KUBECONFIG": str(control_plane.kubeconfig)}


@pytest.fixture
def other_namespace(kube: KubeApi, namespace: str) -> Iterator[str]:
    """The name of a namespace that does not exist yet."""
    name = f"{namespace}-b"
    yield name
    delete_namespace(kube, name)


def put_in(world: World, namespace: str, name: str, **spec: Any) -> None:
    plain = item(name, spec={**GPU_FREE, **spec}, namespace=namespace)
    world.table.client.put_item(TableName=world.table.name, Item=wire.encode(plain))


def test_an_unreachable_api_server_is_waited_for(disposable_control_plane: Planes, program: Start) -> None:
    plane = disposable_control_plane(controllers=False)
    table = dynamodb_client(plane.dynamodb_url)
    bootstrap.create(table, TABLE)
    server = plane.servers["kube-apiserver"]

    def put(name: str) -> None:
        table.put_item(TableName=TABLE, Item=wire.encode(item(name)))

    def stands(name: str) -> Callable[[], object]:
        return lambda: plane.kube.healthy() and plane.kube.find(path_of("Deployment", NAMESPACE, name))

    server.stop()
    put("first")
    one = program(**plane.environment())
    one.until(not_ready(one, "lease:", "is unreachable", plane.server_url), "/readyz reports the problem", SLOW)
    server.start()
    one.until(stands("first"), "it reconciles once the server answers", SLOW)
    one.until(ready(one), "/readyz reports ready", SLOW)
    server.stop()
    put("second")
    one.until(not_ready(one, "is unreachable"), "/readyz reports the problem again", SLOW)
    server.start()
    one.until(stands("second"), "the change made during the outage is applied", SLOW)
    one.until(ready(one), "/readyz reports ready again", SLOW)
    assert one.stop() == 0


def test_an_unreachable_or_missing_table_is_waited_for(disposable_control_plane: Planes, program: Start) -> None:
    plane = disposable_control_plane(controllers=False)
    plane.servers["dynamodb"].stop()
    one = program(**plane.environment())
    one.until(not_ready(one, "table:", "DynamoDB cannot be reached"), "/readyz reports the outage", SLOW)
    plane.restart("dynamodb")
    one.until(
        not_ready(one, f"table: table {TABLE} in us-east-1 does not exist"), "/readyz reports the missing table", SLOW
    )
    table = dynamodb_client(plane.dynamodb_url)
    bootstrap.create(table, TABLE)
    table.put_item(TableName=TABLE, Item=wire.encode(item()))
    one.until(lambda: plane.kube.find(path_of("Deployment", NAMESPACE, "chat")), "the Deployment is created", SLOW)
    one.until(ready(one), "/readyz reports ready", SLOW)
    # During an outage of the table, live objects are kept and repaired; new changes are applied once it is back.
    plane.servers["dynamodb"].freeze()
    plane.kube.delete(path_of("Service", NAMESPACE, "chat"))
    one.until(lambda: plane.kube.find(path_of("Service", NAMESPACE, "chat")), "drift is still repaired", SLOW)
    plane.servers["dynamodb"].thaw()
    table.put_item(TableName=TABLE, Item=wire.encode(item("other")))
    one.until(lambda: plane.kube.find(path_of("Deployment", NAMESPACE, "other")), "the new endpoint is created", SLOW)
    assert one.stop() == 0


@pytest.mark.parametrize("key", [("id", "S"), ("endpoint_name", "N")], ids=["wrong key name", "numeric key"])
def test_a_table_with_another_key_schema_is_rejected(key: tuple[str, str], world: World, program: Start) -> None:
    name = f"{world.table.name}-wrong"
    world.table.client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key[0], "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key[0], "AttributeType": key[1]}],
        BillingMode="PAY_PER_REQUEST",
    )
    try:
        world.table.client.put_item(TableName=name, Item={key[0]: {key[1]: "1"}})
        one = program(INFERENCE_ENDPOINTS_TABLE_NAME=name)
        one.until(not_ready(one, "table:", name, "endpoint_name"), "/readyz reports the problem")
        assert one.stop() == 0
    finally:
        world.table.client.delete_table(TableName=name)


def test_an_inference_namespace_that_is_missing_is_named_and_waited_for(
    world: World, program: Start, other_namespace: str, everything: dict[str, str]
) -> None:
    one = program(INFERENCE_NAMESPACE=other_namespace, **everything)
    one.until(not_ready(one, "lease:", f'namespaces "{other_namespace}" not found'), "/readyz reports the problem")
    put_in(world, other_namespace, "chat")
    create_namespace(world.kube, other_namespace)
    one.until(lambda: world.state("chat") == "running", "the endpoint runs once the namespace exists", SLOW)
    one.until(ready(one), "/readyz reports ready", SLOW)


def test_a_missing_allowed_namespace_blocks_only_its_own_endpoints(
    world: World, program: Start, other_namespace: str, everything: dict[str, str]
) -> None:
    one = program(ALLOWED_NAMESPACES=other_namespace, **everything).wait_working()
    put_in(world, other_namespace, "there")
    put_in(world, world.namespace, "here")
    one.until(lambda: world.state("here") == "running", "the other endpoint runs")
    reason = f'namespaces "{other_namespace}" not found'
    one.until(lambda: reason in world.report("there").get("error", ""), "the error is reported", SLOW)
    assert world.state("there") == "error"
    create_namespace(world.kube, other_namespace)
    one.until(lambda: world.state("there") == "running", "the endpoint runs once the namespace exists", SLOW)


def test_missing_write_permission_on_ingresses_blocks_only_the_route(
    world: World, program: Start, limited: tuple[str, dict[str, str]]
) -> None:
    user, settings = limited
    grant(world.kube, world.namespace, user, {**RIGHTS, ("networking.k8s.io", "ingresses"): "get list watch"})
    one = program(**settings).wait_working()
    put_in(world, world.namespace, "chat")
    one.until(lambda: world.state("chat") == "error", "the error is reported", SLOW)
    said = world.report("chat")["error"]
    assert "inference-chat" in said
    assert "forbidden" in said
    assert "ingresses" in said
    assert world.objects().keys() == {"Service/chat", "Deployment/chat"}
    put_in(world, world.namespace, "idle", replicas=0)
    one.until(lambda: world.state("idle") == "running", "an endpoint without a route runs", SLOW)
    grant(world.kube, world.namespace, user, RIGHTS)
    one.until(lambda: world.state("chat") == "running", "the endpoint runs once permission is granted", SLOW)


def test_missing_read_permission_on_ingresses_blocks_only_its_namespace(
    world: World, program: Start, limited: tuple[str, dict[str, str]], other_namespace: str
) -> None:
    user, settings = limited
    create_namespace(world.kube, other_namespace)
    grant(world.kube, world.namespace, user, RIGHTS)
    unseen = {right: verbs for right, verbs in RIGHTS.items() if right != ("networking.k8s.io", "ingresses")}
    grant(world.kube, other_namespace, user, unseen)
    one = program(ALLOWED_NAMESPACES=other_namespace, **settings)
    one.until(not_ready(one, other_namespace, "ingresses"), "/readyz reports the problem")
    put_in(world, other_namespace, "there")
    put_in(world, world.namespace, "here")
    one.until(lambda: world.state("here") == "running", "the endpoint in the other namespace runs")
    words = (other_namespace, "ingresses", "forbidden")
    one.until(
        lambda: all(word in world.report("there").get("error", "") for word in words), "the error is reported", SLOW
    )
    assert world.state("there") == "error"
    grant(world.kube, other_namespace, user, RIGHTS)
    one.until(lambda: world.state("there") == "running", "the endpoint runs once permission is granted", SLOW)
    one.until(ready(one), "/readyz reports ready", SLOW)


def test_missing_permissions_are_reported_until_they_are_granted(
    world: World, program: Start, limited: tuple[str, dict[str, str]]
) -> None:
    user, settings = limited
    one = program(**settings)
    one.until(not_ready(one, "lease:", "leases", "forbidden", user), "/readyz reports the problem")
    put_in(world, world.namespace, "chat")
    grant(world.kube, world.namespace, user, RIGHTS)
    one.until(lambda: world.state("chat") == "running", "the endpoint runs once permission is granted", SLOW)
    one.until(ready(one), "/readyz reports ready", SLOW)


def test_rejected_credentials_are_reported(
    disposable_control_plane: Planes, program: Start, control_plane: ControlPlane, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "unknown"
    kubeconfig.write_text(
        control_plane.kubeconfig.read_text()
        .replace("client-certificate-data", "ignored-certificate")
        .replace("client-key-data", "ignored-key")
    )
    one = program(KUBECONFIG=str(kubeconfig))
    one.until(not_ready(one, "lease:"), "/readyz reports the problem")


def test_a_table_without_a_stream_is_polled_until_the_stream_is_enabled(world: World, program: Start) -> None:
    world.table.client.update_table(TableName=world.table.name, StreamSpecification={"StreamEnabled": False})
    one = program(RECONCILE_INTERVAL_SECONDS="1", RESYNC_INTERVAL_SECONDS="86400").wait_working()

    def events() -> list[str]:
        return [line["message"] + line.get("hint", "") for line in one.lines() if line.get("level") == "WARNING"]

    one.until(lambda: any("gco-stream table enable-stream" in event for event in events()), "the log names the command")
    assert one.status()["stream"]["mode"] == "poll"
    one.until(ready(one), "/readyz reports ready", SLOW)
    put_in(world, world.namespace, "polled")
    one.until(lambda: world.state("polled") == "running", "the item is found by polling")
    world.table.client.update_table(
        TableName=world.table.name,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    # A table without a stream is described again once a minute.
    one.until(lambda: one.status()["stream"]["mode"] == "stream", "the stream is read, without a restart", SLOW)
    put_in(world, world.namespace, "streamed")
    one.until(lambda: world.state("streamed") == "running", "the item is received from the stream")
    one.until(lambda: one.status()["stream"]["records"] > 0, "the stream record is counted")
