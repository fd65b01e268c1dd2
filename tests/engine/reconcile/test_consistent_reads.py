"""Reads of the table are consistent and complete, on a table whose replicas lag."""

from types import SimpleNamespace
from typing import Any

from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from gco_stream.table.endpoints import EndpointTable
from tests.support.items import item


class LaggingTable:
    """DynamoDB's reads as documented: without ConsistentRead they may return outdated data.

    `pages`: the names on each page of a scan. `missing`: a name that reads without ConsistentRead do not return yet.
    """

    meta = SimpleNamespace(region_name="us-east-1")

    def __init__(self, *pages: tuple[str, ...], missing: str = "") -> None:
        self.pages = pages
        self.missing = missing

    async def get_item(self, *, TableName: str, Key: WireItem, ConsistentRead: bool = False) -> dict[str, Any]:  # noqa: N803
        del TableName
        name = Key["endpoint_name"]["S"]
        stands = any(name in page for page in self.pages)
        return {"Item": wire.encode(item(name))} if stands and self._shows(name, ConsistentRead) else {}

    async def scan(
        self,
        *,
        TableName: str,  # noqa: N803
        Limit: int,  # noqa: N803
        ConsistentRead: bool = False,  # noqa: N803
        ExclusiveStartKey: dict[str, Any] | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        del TableName, Limit
        number = int(ExclusiveStartKey["page"]) if ExclusiveStartKey else 0
        items = [wire.encode(item(name)) for name in self.pages[number] if self._shows(name, ConsistentRead)]
        following = {"LastEvaluatedKey": {"page": number + 1}} if number + 1 < len(self.pages) else {}
        return {"Items": items, "Count": len(items), **following}

    def _shows(self, name: str, consistent: bool) -> bool:
        return consistent or name != self.missing


async def scanned(table: LaggingTable) -> list[str]:
    pages = [page async for page in EndpointTable(table, "endpoints").scan()]
    return [found["endpoint_name"]["S"] for page in pages for found in page]


async def test_an_item_is_read_consistently() -> None:
    assert await EndpointTable(LaggingTable(("new",), missing="new"), "endpoints").get("new") is not None


async def test_the_table_is_scanned_consistently() -> None:
    assert await scanned(LaggingTable(("old", "new"), missing="new")) == ["old", "new"]


async def test_a_scan_continues_after_a_page_without_items() -> None:
    assert await scanned(LaggingTable(("a",), (), ("b", "c"), (), ("d",))) == ["a", "b", "c", "d"]
