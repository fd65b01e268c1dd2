"""Asynchronous access to the table of endpoints: consistent reads, and the controller's conditional writes.

Every write is conditional, so it never overwrites a change by a user or by a newer leader. Failed writes are not
retried here, because only the caller knows whether it still holds the Lease.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from botocore.exceptions import ClientError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from gco_stream.aws.botocore_errors import CONDITION_FAILED, aws_errors, old_item, returned_item
from gco_stream.aws.errors import (
    AWSError,
    Contended,
    Fenced,
    ItemNotFound,
    Rejected,
    Throttled,
    Unreachable,
)
from gco_stream.model import wire
from gco_stream.model.times import MAX_EPOCH
from gco_stream.model.wire import WireItem
from gco_stream.table.expressions import unchanged_since
from gco_stream.table.info import TableInfo, table_info

# A parsed page takes about 25 times as much memory as its items take in DynamoDB, and two pages are in memory at once.
# With 500 items per page, 30 MiB would stay allocated.
PAGE_ITEMS: Final = 100
_MAX_PAGE_ATTEMPTS: Final = 4
_MAX_STATUS_ATTEMPTS: Final = 4

_SET_REGION: Final = "SET region_status.#r = :s"
_EPOCH_NOT_NEWER: Final = (
    "attribute_exists(endpoint_name) AND "
    "(NOT attribute_type(region_status.#r.epoch, :N) OR region_status.#r.epoch < :e"
    " OR (region_status.#r.epoch = :e AND NOT region_status.#r.last_sync > :t)"
    " OR region_status.#r.epoch >= :max)"
)
_SET_MAP: Final = "SET region_status = :m"
_NO_MAP: Final = "attribute_exists(endpoint_name) AND NOT attribute_type(region_status, :M)"
_DECISION_ATTRIBUTES: Final = ("desired_state", "target_regions", "spec", "created_at")


class EndpointTable:
    """The table `name`, accessed through an aiobotocore "dynamodb" client that does not retry failed calls.

    `timeout` is in seconds per call, including the wait for a connection. `on_call` is called after each call with the
    operation, "ok" or the kind of failure, and the duration in seconds. All methods raise AWSError.
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
        """Returns the table's ARN, stream and status. Raises NotFound, AccessDenied, Unreachable, …"""
        response = await self._call("describe_table")
        return table_info(response)

    async def scan(self) -> AsyncIterator[list[WireItem]]:
        """Yields all items as one list per page, using consistent reads.

        A page that fails temporarily (Throttled, Unreachable) is requested up to four times. An error means
        that the scan is incomplete.
        """
        start: Mapping[str, Any] | None = None
        while True:
            page = await self._page(start)
            yield page["Items"]
            start = page.get("LastEvaluatedKey")
            if not start:
                return

    async def get(self, name: str) -> WireItem | None:
        """Returns the current item, using a consistent read, or None if it does not exist."""
        response = await self._call("get_item", Key=_key(name), ConsistentRead=True)
        # DynamoDB responds with `{}` if there is no item. A truncated body cannot be mistaken for that, because
        # aws.item_parser rejects it.
        item: WireItem | None = response.get("Item")
        return item

    async def write_status(self, name: str, region: str, status: Mapping[str, Any], epoch: int) -> WireItem:
        """Stores a region's status with the leader's epoch (microseconds) and returns the whole resulting item.

        A call that has timed out may reach DynamoDB after the next call. Therefore, a write is rejected if a status of
        the same epoch with a later `last_sync` (ISO 8601, UTC) is stored. A stored epoch that no leader can have counts
        as absent: one that is not a number, or not below MAX_EPOCH. Raises ItemNotFound if the item does not
        exist, Fenced if a newer status is stored, and Contended if region_status changed its type on every attempt.
        """
        entry = wire.encode_value({**status, "epoch": epoch})
        for _ in range(_MAX_STATUS_ATTEMPTS):
            try:
                return await self._write_entry(name, region, entry, epoch)
            except _NoStatusMap:
                if (item := await self._write_map(name, region, entry)) is not None:
                    return item
        raise Contended(f"{name}: region_status kept changing its type while the status of {region} was written")

    async def promote(self, last_read: WireItem) -> WireItem | None:
        """Sets desired_state to running, provided that the data behind this decision has not changed since `last_read`.

        This data is desired_state, target_regions, spec, created_at and the state that each region reports. Returns the
        resulting item, or None if any of these has changed or the item does not exist.
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
        """Deletes the item under the same condition as `promote`.

        Returns True if the item no longer exists, even if it was deleted before this call, and False if it has changed.
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
                    ":max": {"N": str(MAX_EPOCH)},
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except _ConditionFailed as failed:
            if failed.item is None:
                raise ItemNotFound(f"{name}: item does not exist") from failed
            stored = _stored_epoch(failed.item, region)
            raise Fenced(
                f"{name}: status of {region} is superseded: its epoch is {stored}, ours is {epoch}", stored
            ) from failed
        except Rejected as error:
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
                raise ItemNotFound(f"{name}: item does not exist") from failed
            return None
        return returned_item(response)

    async def _page(self, start: Mapping[str, Any] | None) -> dict[str, Any]:
        parameters: dict[str, Any] = {"Limit": self._page_items, "ConsistentRead": True}
        if start:
            parameters["ExclusiveStartKey"] = start
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((Throttled, Unreachable)),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            stop=stop_after_attempt(_MAX_PAGE_ATTEMPTS),
            reraise=True,
        ):
            with attempt:
                response = await self._call("scan", **parameters)
                items = response.get("Items")
                if not isinstance(items, list) or response.get("Count") != len(items):
                    raise Unreachable("incomplete page of the table scan", "BadBody")
        return response

    async def _write(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Performs a conditional write. Raises _ConditionFailed if the condition does not hold, and AWSError."""
        try:
            return await self._call(operation, **parameters)
        except Rejected as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and error.code == CONDITION_FAILED:
                raise _ConditionFailed(old_item(cause)) from cause
            raise

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        began, result = time.monotonic(), "Cancelled"
        try:
            with aws_errors(self._where):
                async with asyncio.timeout(self._timeout):
                    response: dict[str, Any] = await getattr(self._client, operation)(
                        TableName=self._name, **parameters
                    )
            result = "ok"
        except AWSError as error:
            is_condition = error.code == CONDITION_FAILED
            result = "ConditionFailed" if is_condition else type(error).__name__
            raise
        finally:
            self._on_call(operation, result, time.monotonic() - began)
        return response


class _ConditionFailed(Exception):
    """The condition of a write does not hold. `item`: the stored item if it was requested and exists."""

    def __init__(self, item: WireItem | None) -> None:
        super().__init__("condition failed")
        self.item = item


class _NoStatusMap(Exception):
    """The item's region_status is missing or not a map, so an entry cannot be set in it."""


def _key(name: str) -> WireItem:
    return {"endpoint_name": {"S": name}}


def _unchanged_agreement(last_read: WireItem) -> tuple[str, dict[str, str], WireItem]:
    """Returns the ConditionExpression of `promote` and `purge`, with its names and values.

    It requires that the desired state and the states that the regions report are the same as in `last_read`.
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
