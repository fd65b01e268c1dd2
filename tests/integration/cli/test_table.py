"""`gco-stream table …` on a real DynamoDB."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from gco_stream.cli.errors import CONFLICT, NOT_FOUND
from gco_stream.cli.main import main
from gco_stream.cli.options import TABLE_VARIABLE
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.pytest_plugin import Table
from gco_stream.local.servers.dynamodb import CREDENTIALS

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def environment(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": control_plane.dynamodb_url,
        "REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
def name(table: Table, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a table that does not exist yet."""
    new = f"endpoints-{uuid.uuid4().hex[:10]}"
    monkeypatch.setenv(TABLE_VARIABLE, new)
    yield new
    if new in table.client.list_tables()["TableNames"]:
        table.client.delete_table(TableName=new)


def run(*arguments: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def described(table: Table, name: str) -> dict[str, Any]:
    found: dict[str, Any] = table.client.describe_table(TableName=name)["Table"]
    return found


def test_a_table_is_created_with_its_stream_and_only_once(
    table: Table, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("table", "create") == 0
    made = described(table, name)
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert made["KeySchema"] == [{"AttributeName": "endpoint_name", "KeyType": "HASH"}]
    assert made["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    capsys.readouterr()
    assert run("table", "create") == CONFLICT
    assert capsys.readouterr().err == f"gco-stream: table {name} already exists\n"


def test_a_stream_is_turned_on_and_one_that_is_on_stays(
    table: Table, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table.client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "endpoint_name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "endpoint_name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert run("table", "status") == 0
    assert "disabled; run `gco-stream table enable-stream`" in capsys.readouterr().out
    assert run("table", "enable-stream") == 0
    on = described(table, name)
    assert on["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert run("table", "enable-stream") == 0
    assert described(table, name)["LatestStreamArn"] == on["LatestStreamArn"]
    capsys.readouterr()
    assert run("table", "status") == 0
    assert on["LatestStreamArn"] in capsys.readouterr().out


def test_a_table_that_is_not_there_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "enable-stream"):
        assert run("table", command) == NOT_FOUND
        assert f"table {name} in us-east-1 does not exist" in capsys.readouterr().err
