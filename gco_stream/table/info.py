"""Properties of the table itself, parsed from the response of DescribeTable."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gco_stream.aws.errors import Rejected, Unreachable

_KEY = "endpoint_name (S)"


@dataclass(frozen=True, slots=True)
class TableInfo:
    """The table as DynamoDB describes it.

    `table_id`: changes if the table is deleted and recreated under the same name, unlike `arn`.
    `stream_arn` remains after the stream is disabled, so check `stream_enabled`. `view_type`: the stream's view type,
    for example NEW_AND_OLD_IMAGES; None if the stream is disabled. `status`: DynamoDB's TableStatus, for example ACTIVE
    or CREATING. `items` and `bytes`: DynamoDB's counts, which may be several hours old.
    """

    arn: str
    table_id: str
    stream_arn: str | None
    stream_enabled: bool
    view_type: str | None
    status: str
    items: int = 0
    bytes: int = 0


def table_info(response: Mapping[str, Any]) -> TableInfo:
    """Parses the response of DescribeTable.

    Raises Unreachable if it is truncated, and Rejected if the table's key is not that of a table of
    endpoints.
    """
    table = response.get("Table")
    if not table or "TableArn" not in table:
        raise Unreachable("incomplete response to DescribeTable", "BadBody")
    key = _key_of(table)
    if key not in {"", _KEY}:
        raise Rejected(f"{table['TableArn']} is not a table of endpoints: its key is {key}, but must be {_KEY}")
    stream = table.get("StreamSpecification") or {}
    enabled = bool(stream.get("StreamEnabled"))
    return TableInfo(
        arn=table["TableArn"],
        table_id=table.get("TableId") or str(table.get("CreationDateTime", "")),
        stream_arn=table.get("LatestStreamArn"),
        stream_enabled=enabled,
        view_type=stream.get("StreamViewType") if enabled else None,
        status=table.get("TableStatus", ""),
        items=table.get("ItemCount", 0),
        bytes=table.get("TableSizeBytes", 0),
    )


def _key_of(table: Mapping[str, Any]) -> str:
    types = {one["AttributeName"]: one["AttributeType"] for one in table.get("AttributeDefinitions") or ()}
    names = [one["AttributeName"] for one in table.get("KeySchema") or ()]
    return ", ".join(f"{name} ({types.get(name, '?')})" for name in names)
