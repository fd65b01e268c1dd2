"""The parts of docker-compose.yml work together: LocalStack, its init script, the controller and the helper scripts."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from gco_stream.local.control_plane import TABLE, ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.model import wire
from gco_stream.table import bootstrap
from gco_stream.table.sync_table import SyncEndpointTable
from tests.integration.support.harness.program import Program

ROOT = Path(__file__).parents[2]
NAME = "load-0"
PATIENCE = 60.0
SAME = ("KeySchema", "AttributeDefinitions", "StreamSpecification")
ANY_CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


@pytest.fixture
def client(localstack_url: str) -> Iterator[Any]:
    made = boto3.client("dynamodb", endpoint_url=localstack_url, region_name="us-east-1", **ANY_CREDENTIALS)
    yield made
    made.close()


@pytest.fixture
def program(control_plane: ControlPlane, namespace: str, localstack_url: str, tmp_path: Path) -> Iterator[Program]:
    """The controller as in docker-compose.yml, with one endpoint URL for the table and its stream."""
    settings = control_plane.environment(namespace=namespace)
    environment = {name: value for name, value in settings.items() if not name.startswith("AWS_ENDPOINT_URL")}
    environment |= {"AWS_ENDPOINT_URL": localstack_url, "HTTP_PORT": "0", "LOG_FORMAT": "json"}
    started = Program(environment, tmp_path / "controller.log").start()
    yield started
    started.stop()


@pytest.fixture
def helper(localstack_url: str) -> Callable[..., str]:
    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env={"AWS_ENDPOINT_URL": localstack_url}, capture_output=True,
            text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout

    return run


def test_the_init_script_creates_the_same_table_as_the_command_line(client: Any) -> None:
    by_script, other = bootstrap.describe(client, TABLE), bootstrap.create(client, "made-by-the-command-line").info
    assert by_script.stream_enabled
    assert by_script.view_type == other.view_type
    script_made, command_made = (
        {key: client.describe_table(TableName=name)["Table"][key] for key in SAME}
        for name in (TABLE, "made-by-the-command-line")
    )
    assert script_made == command_made


def test_an_endpoint_is_created_updated_and_deleted_through_localstack(
    client: Any, program: Program, kube: KubeApi, namespace: str, helper: Callable[..., str]
) -> None:
    program.wait_working()
    assert program.status()["stream"]["mode"] == "stream"
    deployment = path_of("Deployment", namespace, NAME)
    assert helper("dev/seed.py", "1") == f"{NAME}: written\n"
    kube.wait_for(lambda: kube.find(deployment), PATIENCE, "the Deployment")

    table = SyncEndpointTable(client, TABLE)
    item = table.get(NAME)
    assert item is not None
    client.update_item(
        TableName=TABLE, Key={"endpoint_name": {"S": NAME}}, UpdateExpression="SET spec.replicas = :two",
        ExpressionAttributeValues=wire.encode({":two": 2}),
    )  # fmt: skip
    kube.wait_for(lambda: (kube.get(deployment)["spec"]["replicas"]) == 2, PATIENCE, "two replicas")
    helper("dev/seed.py", "1", "--remove")
    kube.wait_for(lambda: table.get(NAME) is None, PATIENCE, "the item to be deleted")
    assert kube.find(deployment) is None
    seen = [line.split()[1:3] for line in helper("dev/records.py", "--seconds", "2").splitlines()]
    assert ["INSERT", NAME] in seen
    assert ["REMOVE", NAME] in seen
