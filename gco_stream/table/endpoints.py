"""The table of endpoints: reads that count only when whole, and the controller's conditional writes.

Every write is conditional on what it was decided from, so a user's change is never overwritten. Nothing here retries a
write: the caller knows how long it may still act.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from gco_stream.aws.botocore_errors import CONDITION_FAILED, old_item, returned_item, table_errors
from gco_stream.aws.table_errors import (
    Contended,
    Fenced,
    ItemNotFound,
    TableError,
    TableRejected,
    TableThrottled,
    TableUnreachable,
)
from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from gco_stream.table.expressions import unchanged_since
from gco_stream.table.info import TableInfo, table_info

# A page's dicts take some 25 times the items' bytes, and two pages are held at once: 500 a page cost 30 MiB for good.
PAGE_ITEMS: Final = 100
_MAX_PAGE_ATTEMPTS: Final = 4
_MAX_STATUS_ATTEMPTS: Final = 4

_SET_REGION: Final = "SET region_status.#r = :s"
_EPOCH_NOT_NEWER: Final = (
    "attribute_exists(endpoint_name) AND "
    "(NOT attribute_type(region_status.#r.epoch, :N) OR region_status.#r.epoch < :e"
    " OR (region_status.#r.epoch = :e AND NOT region_status.#r.last_sync > :t))"
)
_SET_MAP: Final = "SET region_status = :m"
_NO_MAP: Final = "attribute_exists(endpoint_name) AND NOT attribute_type(region_status, :M)"
_DECISION_ATTRIBUTES: Final = ("desired_state", "target_regions", "spec", "created_at")


class EndpointTable:
    """The table `name` through an aiobotocore "dynamodb" client whose own retries are off.

    `timeout`: seconds for one call, the wait for a connection included. `on_call` is told of each: which operation,
    "ok" or what became of it, and its seconds. All methods raise TableError.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        *,
        timeout: float = 5.0,
        page_items: int = PAGE_ITEMS,
        on_call: Callable[[str, str, float], None] = lambda *_: None,
    ) -> None:
        self._client = client
        self._on_call = on_call
        self._name = name
        self._where = f"{name} in {client.meta.region_name}"
        self._timeout = timeout
        self._page_items = page_items

    @property
    def name(self) -> str:
        """The table's name."""
        return self._name

    async def describe(self) -> TableInfo:
        """The table's ARN, stream and status. Raises TableMissing, TableAccessDenied, TableUnreachable, …"""
        response = await self._call("describe_table")
        return table_info(response)

    async def scan(self) -> AsyncIterator[list[WireItem]]:
        """Every item, a page at a time, by consistent reads.

        A page that fails for the moment (TableThrottled, TableUnreachable) is asked for again, four times at most; an
        error means that the scan is not whole.
        """
        start: Mapping[str, Any] | None = None
        while True:
            page = await self._page(start)
            yield page["Items"]
            start = page.get("LastEvaluatedKey")
            if not start:
                return

    async def get(self, name: str) -> WireItem | None:
        """The item as it stands now (a consistent read), None where there is none."""
        response = await self._call("get_item", Key=_key(name), ConsistentRead=True)
        # DynamoDB answers `{}` for no item, and so does botocore for a body that was cut: the parser tells them apart.
        item: WireItem | None = response.get("Item")
        return item

    async def write_status(self, name: str, region: str, status: Mapping[str, Any], epoch: int) -> WireItem:
        """Stores a region's status with the leader's epoch (microseconds) and returns the whole item as it is then.

        A call that is given up may still reach DynamoDB, later than its successor: of one epoch the older `last_sync`
        (ISO 8601, UTC) is refused. Raises Gone where there is no such item, Superseded where something newer is stored,
        Contended where the status map changed its form under every attempt.
        """
        entry = wire.encode_value({**status, "epoch": epoch})
        for _ in range(_MAX_STATUS_ATTEMPTS):
            try:
                return await self._write_entry(name, region, entry, epoch)
            except _NoStatusMap:
                if (item := await self._write_map(name, region, entry)) is not None:
                    return item
        raise Contended(f"{name}: region_status changed its form under every attempt to write {region}'s")

    async def promote(self, last_read: WireItem) -> WireItem | None:
        """Sets desired_state to running, if all that the regions agree on is still as in `last_read`.

        That is desired_state, target_regions, spec, created_at and each reported state. None: it is not, somebody was
        faster, or the item is gone.
        """
        condition, names, values = _unchanged_agreement(last_read)
        values |= {":running": {"S": "running"}, ":now": {"S": datetime.now(UTC).isoformat()}}
        try:
            response = await self._write(
                "update_item",
                Key={"endpoint_name": last_read["endpoint_name"]},
                UpdateExpression="SET desired_state = :running, updated_at = :now",
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
            )
        except _ConditionFailed:
            return None
        return returned_item(response)

    async def purge(self, last_read: WireItem) -> bool:
        """Takes the item out of the table, if all that the regions agree on is still as in `last_read`; see `promote`.

        True: it is gone (by this call or before it). False: somebody was faster.
        """
        condition, names, values = _unchanged_agreement(last_read)
        try:
            await self._write(
                "delete_item",
                Key={"endpoint_name": last_read["endpoint_name"]},
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _ConditionFailed as failed:
            return failed.item is None
        return True

    async def _write_entry(self, name: str, region: str, entry: WireItem, epoch: int) -> WireItem:
        try:
            response = await self._write(
                "update_item",
                Key=_key(name),
                UpdateExpression=_SET_REGION,
                ConditionExpression=_EPOCH_NOT_NEWER,
                ExpressionAttributeNames={"#r": region},
                ExpressionAttributeValues={
                    ":s": entry,
                    ":e": {"N": str(epoch)},
                    ":t": entry["M"].get("last_sync", {"S": "~"}),
                    ":N": {"S": "N"},
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _ConditionFailed as failed:
            if failed.item is None:
                raise ItemNotFound(f"{name}: the item is not in the table") from failed
            stored = _stored_epoch(failed.item, region)
            raise Fenced(f"{name}: {region}'s status has epoch {stored}, ours is {epoch}", stored) from failed
        except TableRejected as error:
            if error.code == "ValidationException" and "document path" in error.message:
                raise _NoStatusMap from error
            raise
        return returned_item(response)

    async def _write_map(self, name: str, region: str, entry: WireItem) -> WireItem | None:
        try:
            response = await self._write(
                "update_item",
                Key=_key(name),
                UpdateExpression=_SET_MAP,
                ConditionExpression=_NO_MAP,
                ExpressionAttributeValues={":m": {"M": {region: entry}}, ":M": {"S": "M"}},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _ConditionFailed as failed:
            if failed.item is None:
                raise ItemNotFound(f"{name}: the item is not in the table") from failed
            return None
        return returned_item(response)

    async def _page(self, start: Mapping[str, Any] | None) -> dict[str, Any]:
        parameters: dict[str, Any] = {"Limit": self._page_items, "ConsistentRead": True}
        if start:
            parameters["ExclusiveStartKey"] = start
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((TableThrottled, TableUnreachable)),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            stop=stop_after_attempt(_MAX_PAGE_ATTEMPTS),
            reraise=True,
        ):
            with attempt:
                response = await self._call("scan", **parameters)
                items = response.get("Items")
                if not isinstance(items, list) or response.get("Count") != len(items):
                    raise TableUnreachable("a page of the table came back incomplete", "BadBody")
        return response

    async def _write(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """As `_call`, of a write that has a condition. Raises _ConditionFailed, too."""
        try:
            return await self._call(operation, **parameters)
        except TableRejected as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and error.code == CONDITION_FAILED:
                raise _ConditionFailed(old_item(cause)) from cause
            raise

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        began, result = time.monotonic(), "Cancelled"
        try:
            with table_errors(self._where):
                async with asyncio.timeout(self._timeout):
                    response: dict[str, Any] = await getattr(self._client, operation)(
                        TableName=self._name, **parameters
                    )
            result = "ok"
        except TableError as error:
            is_condition = error.code == CONDITION_FAILED
            result = "ConditionFailed" if is_condition else type(error).__name__.removeprefix("Table")
            raise
        finally:
            self._on_call(operation, result, time.monotonic() - began)
        return response


class _ConditionFailed(Exception):
    """The item is not as the condition wants it; `item` is what is stored, where it was asked for and exists."""

    def __init__(self, item: WireItem | None) -> None:
        super().__init__("condition failed")
        self.item = item


class _NoStatusMap(Exception):
    """region_status is missing or is not a map, so nothing can be set inside it."""


def _key(name: str) -> WireItem:
    return {"endpoint_name": {"S": name}}


def _unchanged_agreement(last_read: WireItem) -> tuple[str, dict[str, str], WireItem]:
    """A condition, its names and values: the wish and the states that the regions report of it are as in
    `last_read`.
    """
    condition, names, values = unchanged_since(last_read, _DECISION_ATTRIBUTES)
    for number, (region, entry) in enumerate(last_read.get("region_status", {}).get("M", {}).items()):
        if state := entry.get("M", {}).get("state"):
            names |= {f"#region{number}": region, "#state": "state"}
            values[f":state{number}"] = state
            condition += f" AND region_status.#region{number}.#state = :state{number}"
    return condition, names, values


def _stored_epoch(item: WireItem, region: str) -> int:
    entry = item.get("region_status", {}).get("M", {}).get(region, {})
    return int(wire.decode_value(entry)["epoch"])
