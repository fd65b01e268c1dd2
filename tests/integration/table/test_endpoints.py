"""The controller's reads and conditional writes on a real DynamoDB."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from gco_stream.aws import session as clients
from gco_stream.aws.errors import Fenced, ItemNotFound, ItemTooLarge, NotFound
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.pytest_plugin import Table
from gco_stream.local.servers.dynamodb import CREDENTIALS
from gco_stream.model import wire
from gco_stream.model.times import MAX_EPOCH
from gco_stream.table.endpoints import EndpointTable
from tests.support.items import item

pytestmark = pytest.mark.integration
HERE = "us-east-1"


@pytest.fixture
def aws(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": control_plane.dynamodb_url}.items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
async def client(aws: None) -> AsyncIterator[Any]:
    async with clients.table_client(HERE) as made:
        yield made


@pytest.fixture
def endpoints(client: Any, table: Table) -> EndpointTable:
    return EndpointTable(client, table.name)


def put(table: Table, **attributes: Any) -> dict[str, Any]:
    """Puts an item without conditions and returns it in wire form."""
    written = wire.encode(item(**attributes))
    table.client.put_item(TableName=table.name, Item=written)
    return written


def stored(table: Table, name: str = "chat") -> dict[str, Any]:
    found = table.client.get_item(TableName=table.name, Key={"endpoint_name": {"S": name}}, ConsistentRead=True)
    return wire.decode(found["Item"])


async def test_the_table_is_described_with_its_stream(endpoints: EndpointTable, table: Table) -> None:
    info = await endpoints.describe()
    assert (info.arn, info.stream_arn, info.stream_enabled) == (table.arn, table.stream_arn, True)
    assert (info.view_type, info.status) == ("NEW_AND_OLD_IMAGES", "ACTIVE")


async def test_a_missing_table_is_named(client: Any) -> None:
    with pytest.raises(NotFound, match="no-such-table in us-east-1"):
        await EndpointTable(client, "no-such-table").describe()


async def test_a_scan_gives_every_item_once_over_many_pages(client: Any, table: Table) -> None:
    names = {f"endpoint-{number}" for number in range(23)}
    for name in names:
        put(table, name=name)
    pages = [page async for page in EndpointTable(client, table.name, page_items=5).scan()]
    assert len(pages) == 5
    found = [endpoint["endpoint_name"]["S"] for page in pages for endpoint in page]
    assert sorted(found) == sorted(names)


async def test_items_come_as_boto3_gives_them_binary_values_included(endpoints: EndpointTable, table: Table) -> None:
    put(table, name="plain", number=1.5, numbers=[1, 2], empty="", nothing={"at": {"all": [True]}})
    binary = {"L": [{"B": b"\x00\x01"}, {"BS": [b"y"]}, {"NULL": True}, {"SS": ["a"]}, {"NS": ["1"]}]}
    table.client.put_item(TableName=table.name, Item={**wire.encode(item("binary")), "odd": {"M": {"B": binary}}})
    by_boto3 = {found["endpoint_name"]["S"]: found for found in table.client.scan(TableName=table.name)["Items"]}
    assert {found["endpoint_name"]["S"]: found async for page in endpoints.scan() for found in page} == by_boto3
    for name, found in by_boto3.items():
        assert await endpoints.get(name) == found


async def test_an_absent_item_is_none(endpoints: EndpointTable) -> None:
    assert await endpoints.get("nobody") is None


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(..., id="missing"),
        pytest.param(None, id="null"),
        pytest.param("running", id="text"),
        pytest.param([], id="list"),
        pytest.param({}, id="empty"),
        pytest.param({f"region-{n}": {"state": "running"} for n in range(12)}, id="gco"),
        pytest.param({f"region-{n}": "running" for n in range(12)}, id="texts"),
        pytest.param({f"region-{n}": {"state": "error", "epoch": "12"} for n in range(12)}, id="text-epochs"),
    ],
)
async def test_concurrent_reports_of_twelve_regions_are_all_stored(
    endpoints: EndpointTable, table: Table, odd: Any
) -> None:
    written = item()
    written.pop("region_status")
    if odd is not ...:
        written["region_status"] = odd
    table.client.put_item(TableName=table.name, Item=wire.encode(written))
    regions = [f"region-{number}" for number in range(12)]
    images = await asyncio.gather(
        *(endpoints.write_status("chat", region, {"state": "creating"}, epoch=7) for region in regions)
    )
    for region, image in zip(regions, images, strict=True):
        assert wire.decode(image)["region_status"][region] == {"state": "creating", "epoch": 7}
    kept = stored(table)
    assert kept["region_status"] == {region: {"state": "creating", "epoch": 7} for region in regions}
    assert kept["updated_at"] == written["updated_at"]


async def test_a_status_with_a_higher_epoch_is_kept_and_reported(endpoints: EndpointTable, table: Table) -> None:
    put(table)
    await endpoints.write_status("chat", HERE, {"state": "running"}, epoch=1_795_250_000_000_009)
    with pytest.raises(Fenced) as caught:
        await endpoints.write_status("chat", HERE, {"state": "creating"}, epoch=1_795_250_000_000_008)
    assert caught.value.stored_epoch == 1_795_250_000_000_009
    assert stored(table)["region_status"][HERE]["state"] == "running"


@pytest.mark.parametrize("epoch", [MAX_EPOCH, 10**30, -5, Decimal("0.5"), "12", None, [1]])
async def test_an_epoch_that_no_leader_can_have_is_overwritten(
    endpoints: EndpointTable, table: Table, epoch: object
) -> None:
    put(table, region_status={HERE: {"state": "error", "epoch": epoch, "last_sync": "~"}})
    image = await endpoints.write_status("chat", HERE, {"state": "running"}, epoch=9)
    assert wire.decode(image)["region_status"][HERE] == {"state": "running", "epoch": 9}


@pytest.mark.parametrize("epoch", [9, 10])
async def test_the_same_or_a_newer_epoch_writes_again(endpoints: EndpointTable, table: Table, epoch: int) -> None:
    put(table)
    await endpoints.write_status("chat", HERE, {"state": "creating"}, epoch=9)
    image = await endpoints.write_status("chat", HERE, {"state": "running", "replicas_ready": 2}, epoch=epoch)
    expected = {"state": "running", "replicas_ready": 2, "epoch": epoch}
    assert wire.decode(image)["region_status"][HERE] == expected == stored(table)["region_status"][HERE]


@pytest.mark.parametrize("name", ["chat", "never-was"])
async def test_a_status_never_brings_an_item_back(endpoints: EndpointTable, table: Table, name: str) -> None:
    put(table)
    table.client.delete_item(TableName=table.name, Key={"endpoint_name": {"S": "chat"}})
    with pytest.raises(ItemNotFound, match=name):
        await endpoints.write_status(name, HERE, {"state": "running"}, epoch=1)
    assert await endpoints.get(name) is None


async def test_an_item_that_grows_too_large_raises_its_own_error(endpoints: EndpointTable, table: Table) -> None:
    put(table, spec={"env": {"BIG": "x" * 399_000}})
    with pytest.raises(ItemTooLarge):
        await endpoints.write_status("chat", HERE, {"state": "error", "error": "x" * 20_000}, epoch=1)


USERS_WRITES = [
    pytest.param({"desired_state": "stopped"}, id="stop"),
    pytest.param({"spec": {"image": "registry.example/serve:1.0", "replicas": 2}}, id="scale"),
    pytest.param({"created_at": "2026-11-21T10:00:00+00:00"}, id="deleted-and-created-again"),
]


@pytest.mark.parametrize("change", USERS_WRITES)
async def test_promotion_loses_against_a_faster_user(endpoints: EndpointTable, table: Table, change: Any) -> None:
    seen = put(table)
    put(table, **change)
    assert await endpoints.promote(seen) is None
    assert stored(table) == {**item(), **change}


@pytest.mark.parametrize("change", [pytest.param({"desired_state": "deploying"}, id="start"), *USERS_WRITES])
async def test_purge_loses_against_a_faster_user(endpoints: EndpointTable, table: Table, change: Any) -> None:
    seen = put(table, desired_state="deleted")
    put(table, **{"desired_state": "deleted", **change})
    assert await endpoints.purge(seen) is False
    assert stored(table) == {**item(), "desired_state": "deleted", **change}


async def test_promotion_sets_running_and_keeps_the_reports(endpoints: EndpointTable, table: Table) -> None:
    seen = put(table, spec={"env": {"N": 1.5}, "gpu_count": 1})
    await endpoints.write_status("chat", HERE, {"state": "running"}, epoch=3)
    image = await endpoints.promote(seen)
    assert image is not None
    promoted = wire.decode(image)
    assert promoted == stored(table)
    assert promoted["desired_state"] == "running"
    assert promoted["region_status"] == {HERE: {"state": "running", "epoch": 3}}
    assert promoted["updated_at"] > item()["updated_at"]


async def test_promotion_and_purge_of_a_missing_item_create_nothing(endpoints: EndpointTable, table: Table) -> None:
    seen = wire.encode(item())
    assert await endpoints.promote(seen) is None
    assert await endpoints.purge(seen) is True
    assert await endpoints.get("chat") is None


@pytest.mark.parametrize("missing", ["desired_state", "spec", "created_at"])
async def test_an_attribute_that_was_missing_must_still_be_missing(
    endpoints: EndpointTable, table: Table, missing: str
) -> None:
    whole = wire.encode(item(desired_state="deleted"))
    lacking = {name: value for name, value in whole.items() if name != missing}
    table.client.put_item(TableName=table.name, Item=whole)
    assert await endpoints.purge(lacking) is False
    table.client.put_item(TableName=table.name, Item=lacking)
    assert await endpoints.purge(lacking) is True
    assert await endpoints.get("chat") is None
