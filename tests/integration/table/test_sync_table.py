"""A user's writes on a real DynamoDB while another writer changes the same item."""

from typing import Any

import pytest

from gco_stream.aws.errors import AlreadyExists, ConcurrentUpdate, ItemNotFound, Rejected
from gco_stream.local.pytest_plugin import Table
from gco_stream.model import wire
from gco_stream.table.sync_table import SyncEndpointTable
from tests.support.items import item

pytestmark = pytest.mark.integration

WRITES = {
    "replace": lambda endpoints, seen: endpoints.replace_spec(seen, {"image": "x:2"}, target_regions=["r"]),
    "scale": lambda endpoints, seen: endpoints.scale(seen, 4),
    "stop": lambda endpoints, seen: endpoints.set_state(seen, "stopped"),
    "hold": lambda endpoints, seen: endpoints.hold(seen, "mine"),
    "release": lambda endpoints, seen: endpoints.release(seen),
    "forget": lambda endpoints, seen: endpoints.forget_region(seen, "mars-1"),
}
OTHERS = {
    "deleted": {"desired_state": "deleted"},
    "respecced": {"spec": {"image": "x:3"}},
    "moved": {"target_regions": ["mars-1"]},
    "held": {"hold": "theirs"},
    "made-again": {"created_at": "2026-11-21T11:00:00+00:00"},
}
STATUS = {"mars-1": {"state": "running"}}


@pytest.fixture
def endpoints(table: Table) -> SyncEndpointTable:
    return SyncEndpointTable(table.client, table.name)


def put(table: Table, **attributes: Any) -> dict[str, Any]:
    written = wire.encode(item(region_status=STATUS, **attributes))
    table.client.put_item(TableName=table.name, Item=written)
    return written


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_a_concurrent_write_is_not_overwritten(
    endpoints: SyncEndpointTable, table: Table, write: Any, change: Any
) -> None:
    seen = put(table)
    theirs = put(table, **change)
    with pytest.raises(ConcurrentUpdate, match="chat"):
        write(endpoints, seen)
    assert endpoints.get("chat") == theirs


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_never_brings_an_item_back(endpoints: SyncEndpointTable, write: Any) -> None:
    with pytest.raises(ItemNotFound, match="chat"):
        write(endpoints, wire.encode(item(region_status=STATUS)))
    assert endpoints.get("chat") is None


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_promotion_in_between_does_not_beat_a_user(endpoints: SyncEndpointTable, table: Table, write: Any) -> None:
    seen = put(table)
    put(table, desired_state="running", updated_at="2026-11-21T09:30:00+00:00")
    after = write(endpoints, seen)
    assert after == endpoints.get("chat")
    assert after["updated_at"]["S"] > "2026-11-21T09:30:00+00:00"


def test_an_existing_endpoint_is_not_created_again(endpoints: SyncEndpointTable, table: Table) -> None:
    theirs = put(table)
    with pytest.raises(AlreadyExists, match="chat"):
        endpoints.create({"endpoint_name": "chat", "target_regions": ["r"], "spec": {"image": "x"}})
    assert endpoints.get("chat") == theirs


class AnswerLost:
    """A client whose writes are sent twice, as the SDK does when the first answer is lost."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.meta = client.meta

    def get_item(self, **parameters: Any) -> Any:
        return self._client.get_item(**parameters)

    def put_item(self, **parameters: Any) -> Any:
        self._client.put_item(**parameters)
        return self._client.put_item(**parameters)

    def update_item(self, **parameters: Any) -> Any:
        self._client.update_item(**parameters)
        return self._client.update_item(**parameters)


def test_a_write_retried_by_the_sdk_is_not_a_conflict(table: Table) -> None:
    endpoints = SyncEndpointTable(AnswerLost(table.client), table.name)
    made = endpoints.create({"endpoint_name": "new", "target_regions": ["r"], "spec": {"image": "x"}})
    assert endpoints.get("new") == made
    for write in (WRITES["stop"], WRITES["scale"], WRITES["hold"]):
        made = write(endpoints, made)
        assert endpoints.get("new") == made


def test_a_spec_that_is_no_map_cannot_be_scaled(endpoints: SyncEndpointTable, table: Table) -> None:
    seen = {**wire.encode(item()), "spec": {"S": "odd"}}
    table.client.put_item(TableName=table.name, Item=seen)
    with pytest.raises(Rejected):
        endpoints.scale(seen, 2)
    assert endpoints.get("chat") == seen


def test_a_scan_of_some_attributes_gives_no_others(endpoints: SyncEndpointTable, table: Table) -> None:
    put(table)
    assert list(endpoints.scan(("endpoint_name",))) == [{"endpoint_name": {"S": "chat"}}]
    assert list(endpoints.scan()) == [endpoints.get("chat")]
