"""What a person writes into the table, as GCO's own tools write it, and only onto what that person has read.

Synchronous (boto3), for the command line. The SDK repeats a call whose answer was lost, so a condition may fail on our
own first attempt: the stored updated_at, exact to the microsecond, tells.

The boto3 client of the command line. Importing it costs a third of a second, so commands import it when they run.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from gco_stream.aws.botocore_errors import (
    CONDITION_FAILED,
    code_of,
    configuration_errors,
    old_item,
    returned_item,
    table_errors,
)
from gco_stream.aws.table_errors import AlreadyExists, ConcurrentUpdate, ItemNotFound, TableUnreachable
from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from gco_stream.table.expressions import Path, changes, unchanged_since


def dynamodb(region: str, *, attempts: int = 3, timeout: float = 8) -> Any:
    """A boto3 "dynamodb" client. `timeout`: seconds between two bytes of an answer, less to connect.

    Credentials and endpoint come by botocore's own variables. Raises TableError where it cannot be made.
    """
    config = Config(
        connect_timeout=min(3, timeout),
        read_timeout=timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    with table_errors(), configuration_errors():
        return boto3.session.Session().client("dynamodb", region_name=region, config=config)


_READ: Final = ("desired_state", "target_regions", "spec", "hold", "created_at")
_ATTEMPTS: Final = 3
_WITH_OLD: Final = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


class SyncEndpointTable:
    """The table `name` through a boto3 "dynamodb" client. Items are in wire form, attributes to write plain values.

    Writers return the item as it is afterwards and raise Gone (there is no such item), Changed (somebody else was
    faster; nothing was written) and the other TableErrors.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name
        self._where = f"{name} in {client.meta.region_name}"

    def get(self, name: str) -> WireItem | None:
        """The item as it stands, None where there is none."""
        with table_errors(self._where):
            response = self._client.get_item(
                TableName=self._name, Key={"endpoint_name": {"S": name}}, ConsistentRead=True
            )
        item: WireItem | None = response.get("Item")
        return item

    def scan(self, attributes_wanted: tuple[str, ...] = ()) -> Iterator[WireItem]:
        """Every item, by consistent reads; only some attributes where they are named."""
        parameters: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True}
        if attributes_wanted:
            names = {f"#a{number}": attribute for number, attribute in enumerate(attributes_wanted)}
            parameters |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
        while True:
            with table_errors(self._where):
                page = self._client.scan(**parameters)
            if page.get("Count") != len(page.get("Items", ())):
                raise TableUnreachable("a page of the table came back incomplete", "BadBody")
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            parameters["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def create(self, plain: Mapping[str, Any]) -> WireItem:
        """Puts a new item: desired_state deploying unless it says otherwise, times now, no region status.

        Raises AlreadyExists where an item of its name is there.
        """
        now = _now()
        item = wire.encode(
            {"desired_state": "deploying", **plain, "created_at": now, "updated_at": now, "region_status": {}}
        )
        with table_errors(self._where):
            try:
                self._client.put_item(
                    TableName=self._name,
                    Item=item,
                    ConditionExpression="attribute_not_exists(endpoint_name)",
                    **_WITH_OLD,
                )
            except ClientError as error:
                if code_of(error) != CONDITION_FAILED:
                    raise
                stored = old_item(error)
                if stored is None or stored.get("created_at") != item["created_at"]:
                    raise AlreadyExists(f"{plain['endpoint_name']} was created by somebody else meanwhile") from error
        return item

    def replace_spec(self, last_read: WireItem, spec: Mapping[str, Any], **others: Any) -> WireItem:
        """Sets the spec and desired_state deploying, and whatever else is named (target_regions, labels, …)."""
        sets = {"desired_state": "deploying", **others, "spec": spec}
        return self._update(last_read, {(attribute,): value for attribute, value in sets.items()})

    def scale(self, last_read: WireItem, replicas: int) -> WireItem:
        """Sets spec.replicas."""
        return self._update(last_read, {("spec", "replicas"): replicas})

    def set_state(self, last_read: WireItem, state: str) -> WireItem:
        """Sets desired_state: deploying, stopped or deleted."""
        return self._update(last_read, {("desired_state",): state})

    def hold(self, last_read: WireItem, why: str) -> WireItem:
        """Makes every region leave the endpoint as it is, and say why."""
        return self._update(last_read, {("hold",): why})

    def release(self, last_read: WireItem) -> WireItem:
        """Takes the hold off."""
        return self._update(last_read, {}, removes=[("hold",)])

    def forget_region(self, last_read: WireItem, region: str) -> WireItem:
        """Drops a region's status, so that nothing waits any more for a region that is no more."""
        return self._update(last_read, {}, removes=[("region_status", region)])

    def _update(self, last_read: WireItem, sets: Mapping[Path, Any], removes: Iterable[Path] = ()) -> WireItem:
        name, now = last_read["endpoint_name"]["S"], _now()
        update, names, values = changes({**sets, ("updated_at",): now}, removes)
        for _ in range(_ATTEMPTS):
            condition, condition_names, condition_values = unchanged_since(last_read, _READ)
            try:
                return self._write(
                    Key={"endpoint_name": last_read["endpoint_name"]},
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=names | condition_names,
                    ExpressionAttributeValues=values | condition_values,
                )
            except _ConditionFailed as failed:
                stored = failed.item
            if stored is None:
                raise ItemNotFound(f"{name}: there is no such endpoint (any more)")
            if stored.get("updated_at") == {"S": now}:
                return stored
            if _desired_part(stored) != _desired_part(last_read):
                raise ConcurrentUpdate(f"{name} was changed by somebody else meanwhile; nothing was written")
            # Only a promotion came between, and that is not what this user has to decide upon.
            last_read = stored
        raise ConcurrentUpdate(f"{name} keeps changing; nothing was written")

    def _write(self, **parameters: Any) -> WireItem:
        with table_errors(self._where):
            try:
                response = self._client.update_item(
                    TableName=self._name, ReturnValues="ALL_NEW", **_WITH_OLD, **parameters
                )
            except ClientError as error:
                if code_of(error) == CONDITION_FAILED:
                    raise _ConditionFailed(old_item(error)) from error
                raise
        return returned_item(response)


class _ConditionFailed(Exception):
    def __init__(self, item: WireItem | None) -> None:
        super().__init__("condition failed")
        self.item = item


def _desired_part(item: WireItem) -> tuple[Any, ...]:
    return wire.intent_of(item), item.get("created_at"), item.get("hold")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
