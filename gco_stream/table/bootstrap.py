"""Creates and describes the table and its stream, for the command line and the local control plane.

The functions are synchronous, because the commands that call them do nothing else in the meantime.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from gco_stream.aws.botocore_errors import aws_errors
from gco_stream.aws.errors import AlreadyExists, AWSError, Rejected, Unreachable
from gco_stream.table.info import TableInfo, table_info

_KEY: Final = "endpoint_name"
_STREAM: Final = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
_PAUSE: Final = 0.5
_MAX_BACKUP_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class CreatedTable:
    """The result of `create`.

    `backups_problem`: why point-in-time recovery could not be enabled; None if it is enabled.
    """

    info: TableInfo
    backups_problem: str | None


def describe(client: Any, name: str) -> TableInfo:
    """Describes the table. Raises NotFound and other AWSErrors."""
    with aws_errors(_where(client, name)):
        return table_info(client.describe_table(TableName=name))


def create(client: Any, name: str, *, timeout: float = 120) -> CreatedTable:
    """Creates the table in on-demand mode with its stream, and waits up to `timeout` seconds until it is active.

    Enables point-in-time recovery if possible. Raises AlreadyExists, TableUnreachable after the timeout, and other
    AWSErrors.
    """
    try:
        with aws_errors(_where(client, name)):
            client.create_table(
                TableName=name,
                AttributeDefinitions=[{"AttributeName": _KEY, "AttributeType": "S"}],
                KeySchema=[{"AttributeName": _KEY, "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
                StreamSpecification=_STREAM,
            )
    except Rejected as error:
        if error.code == "ResourceInUseException":
            raise AlreadyExists(f"table {name} already exists", error.code) from error
        raise
    info = _wait(client, name, timeout)
    return CreatedTable(info, _turn_backups_on(client, name))


def enable_stream(client: Any, name: str, *, timeout: float = 120) -> tuple[TableInfo, bool]:
    """Enables the table's stream and waits up to `timeout` seconds until it is enabled.

    Returns the table's description and whether anything was changed. A stream that is already enabled is left
    unchanged, because every view type is supported. Raises AWSError.
    """
    info = describe(client, name)
    if info.stream_enabled:
        return info, False
    with aws_errors(_where(client, name)):
        client.update_table(TableName=name, StreamSpecification=_STREAM)
    return _wait(client, name, timeout), True


def backups_enabled(client: Any, name: str) -> bool | None:
    """Returns whether point-in-time recovery is enabled, or None if DynamoDB does not report it.

    This is the case without the permission, or with DynamoDB Local.
    """
    try:
        with aws_errors(_where(client, name)):
            answer = client.describe_continuous_backups(TableName=name)
    except AWSError:
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
            raise Unreachable(
                f"table {name} is still {info.status or 'in an unknown state'} after {timeout:g} s", "Timeout"
            )
        time.sleep(_PAUSE)


def _turn_backups_on(client: Any, name: str) -> str | None:
    retrying = Retrying(
        # A new table does not support it for some seconds. Other errors are not retried.
        retry=retry_if_exception(lambda error: getattr(error, "code", "") == "ContinuousBackupsUnavailableException"),
        wait=wait_exponential(multiplier=_PAUSE),
        stop=stop_after_attempt(_MAX_BACKUP_ATTEMPTS),
        reraise=True,
    )
    try:
        for attempt in retrying:
            with attempt, aws_errors(_where(client, name)):
                client.update_continuous_backups(
                    TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
                )
    except AWSError as error:
        return error.message
    return None


def _where(client: Any, name: str) -> str:
    return f"{name} in {client.meta.region_name}"
