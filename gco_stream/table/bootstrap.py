"""Making the table and its stream, for the command line and the local demo. Synchronous: a person waits for it."""

import time
from dataclasses import dataclass
from typing import Any, Final

from gco_stream.aws.botocore_errors import table_errors
from gco_stream.aws.table_errors import AlreadyExists, TableError, TableRejected, TableUnreachable
from gco_stream.table.info import TableInfo, table_info

_KEY: Final = "endpoint_name"
_STREAM: Final = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
_PAUSE: Final = 0.5
_MAX_BACKUP_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class CreatedTable:
    """A table that was made. `backups_problem`: why point-in-time recovery could not be turned on, None if it is on."""

    info: TableInfo
    backups_problem: str | None


def describe(client: Any, name: str) -> TableInfo:
    """The table as it is. Raises TableMissing and the like."""
    with table_errors(_where(client, name)):
        return table_info(client.describe_table(TableName=name))


def create(client: Any, name: str, *, timeout: float = 120) -> CreatedTable:
    """Makes the table with its stream, paid per request, and waits until it is active (`timeout` seconds).

    Point-in-time recovery is turned on where that is possible. Raises AlreadyExists.
    """
    try:
        with table_errors(_where(client, name)):
            client.create_table(
                TableName=name,
                AttributeDefinitions=[{"AttributeName": _KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": _KEY, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
                StreamSpecification=_STREAM,
            )
    except TableRejected as error:
        if error.code == "ResourceInUseException":
            raise AlreadyExists(f"the table {name} is there already", error.code) from error
        raise
    info = _wait(client, name, timeout)
    return CreatedTable(info, _turn_backups_on(client, name))


def enable_stream(client: Any, name: str, *, timeout: float = 120) -> tuple[TableInfo, bool]:
    """Turns the table's stream on and waits until it is. Returns the table and whether anything was changed.

    A stream that is on already stays as it is: any view type serves.
    """
    info = describe(client, name)
    if info.stream_enabled:
        return info, False
    with table_errors(_where(client, name)):
        client.update_table(TableName=name, StreamSpecification=_STREAM)
    return _wait(client, name, timeout), True


def backups_enabled(client: Any, name: str) -> bool | None:
    """Whether point-in-time recovery is on, None where that cannot be found out (no permission, a local DynamoDB)."""
    try:
        with table_errors(_where(client, name)):
            answer = client.describe_continuous_backups(TableName=name)
    except TableError:
        return None
    recovery = answer.get("ContinuousBackupsDescription", {}).get("PointInTimeRecoveryDescription", {})
    return bool(recovery.get("PointInTimeRecoveryStatus") == "ENABLED")


def _wait(client: Any, name: str, timeout: float) -> TableInfo:
    deadline = time.monotonic() + timeout
    while True:
        info = describe(client, name)
        if info.status == "ACTIVE" and info.stream_enabled and info.stream_arn:
            return info
        if time.monotonic() > deadline:
            raise TableUnreachable(
                f"the table {name} is still {info.status or 'unknown'} after {timeout:g} s", "Timeout"
            )
        time.sleep(_PAUSE)


def _turn_backups_on(client: Any, name: str) -> str | None:
    problem = None
    for attempt in range(_MAX_BACKUP_ATTEMPTS):
        try:
            with table_errors(_where(client, name)):
                client.update_continuous_backups(
                    TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
                )
        except TableError as error:
            problem = error.message
            # A table that was just made is not ready for it for some seconds; anything else stays as it is.
            if error.code != "ContinuousBackupsUnavailableException":
                return problem
            time.sleep(_PAUSE * 2**attempt)
        else:
            return None
    return problem


def _where(client: Any, name: str) -> str:
    return f"{name} in {client.meta.region_name}"
