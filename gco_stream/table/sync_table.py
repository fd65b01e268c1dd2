"""Synchronous access to the table with boto3, for the command line.

Items are written in the format of GCO's own tools. A write fails if the item has changed since the user read it. boto3
repeats a call if the response was lost, so a condition may also fail because the first attempt succeeded. The stored
created_at or updated_at, exact to the microsecond, identifies that case.

Commands import this module only when they run, because the import takes a third of a second.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from gco_stream.aws.botocore_errors import (
    CONDITION_FAILED,
    aws_errors,
    code_of,
    configuration_errors,
    old_item,
    returned_item,
)
from gco_stream.aws.errors import AlreadyExists, ConcurrentUpdate, ItemNotFound, Unreachable
from gco_stream.model import wire
from gco_stream.model.wire import WireItem
from gco_stream.table.expressions import Path, changes, unchanged_since


def dynamodb(region: str, *, attempts: int = 3, timeout: float = 8) -> Any:
    """Creates a boto3 "dynamodb" client. `attempts`: maximum number of attempts per call.

    The timeout for connecting is shorter. Credentials and endpoint come from botocore's own variables. Raises
    AWSError if the client cannot be created.
    """
    config = Config(
        connect_timeout=min(3, timeout),
        read_timeout=timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    with aws_errors(), configuration_errors():
        return boto3.session.Session().client("dynamodb", region_name=region, config=config)


_READ: Final = ("desired_state", "target_regions", "spec", "hold", "created_at")
_ATTEMPTS: Final = 3
_WITH_OLD: Final = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


class SyncEndpointTable:
    """The table `name`, accessed through a boto3 "dynamodb" client. All methods raise AWSError.

    Items are in wire form, attributes to write are plain values. Methods that write return the resulting item and raise
    Gone (the item does not exist), Changed (the item was changed in the meantime; nothing was written) and other
    AWSErrors.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name
        self._where = f"{name} in {client.meta.region_name}"

    def get(self, name: str) -> WireItem | None:
        """Returns the current item, or None if it does not exist."""
        with aws_errors(self._where):
            response = self._client.get_item(
                TableName=self._name, Key={"endpoint_name": {"S": name}}, ConsistentRead=True
            )
        item: WireItem | None = response.get("Item")
        return item

    def scan(self, attributes_wanted: tuple[str, ...] = ()) -> Iterator[WireItem]:
        """Yields all items, using consistent reads.

        If `attributes_wanted` is not empty, the items have only these attributes.
        """
        parameters: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True}
        if attributes_wanted:
            names = {f"#a{number}": attribute for number, attribute in enumerate(attributes_wanted)}
            parameters |= {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
        while True:
            with aws_errors(self._where):
                page = self._client.scan(**parameters)
            if page.get("Count") != len(page.get("Items", ())):
                raise Unreachable("incomplete page of the table scan", "BadBody")
            yield from page["Items"]
            if not page.get("LastEvaluatedKey"):
                return
            parameters["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def create(self, plain: Mapping[str, Any]) -> WireItem:
        """Creates an item with the current time and an empty region_status; desired_state is deploying by default.

        Raises AlreadyExists if an item with this name exists.
        """
        now = _now()
        item = wire.encode(
            {"desired_state": "deploying", **plain, "created_at": now, "updated_at": now, "region_status": {}}
        )
        with aws_errors(self._where):
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
                    raise AlreadyExists(
                        f"endpoint {plain['endpoint_name']} already exists: it was created in the meantime"
                    ) from error
        return item

    def replace_spec(self, last_read: WireItem, spec: Mapping[str, Any], **others: Any) -> WireItem:
        """Sets the spec, desired_state (deploying by default), and the attributes in `others`."""
        sets = {"desired_state": "deploying", **others, "spec": spec}
        return self._update(last_read, {(attribute,): value for attribute, value in sets.items()})

    def scale(self, last_read: WireItem, replicas: int) -> WireItem:
        """Sets spec.replicas."""
        return self._update(last_read, {("spec", "replicas"): replicas})

    def set_state(self, last_read: WireItem, state: str) -> WireItem:
        """Sets desired_state to deploying, stopped or deleted."""
        return self._update(last_read, {("desired_state",): state})

    def hold(self, last_read: WireItem, why: str) -> WireItem:
        """Puts the endpoint on hold: every region leaves it unchanged and reports the reason `why`."""
        return self._update(last_read, {("hold",): why})

    def release(self, last_read: WireItem) -> WireItem:
        """Removes the hold."""
        return self._update(last_read, {}, removes=[("hold",)])

    def forget_region(self, last_read: WireItem, region: str) -> WireItem:
        """Removes the status of a decommissioned region, so that a deletion does not wait for it."""
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
                raise ItemNotFound(f"endpoint {name} does not exist")
            if stored.get("updated_at") == {"S": now}:
                return stored
            if _desired_part(stored) != _desired_part(last_read):
                raise ConcurrentUpdate(f"endpoint {name} was changed in the meantime; nothing was written")
            # The change does not affect the user's decision: for example, the rollout was completed.
            last_read = stored
        raise ConcurrentUpdate(f"endpoint {name} keeps changing; nothing was written")

    def _write(self, **parameters: Any) -> WireItem:
        with aws_errors(self._where):
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
