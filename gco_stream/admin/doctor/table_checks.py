"""Checks of DynamoDB: credentials, table, clock, permissions on the table, and stream."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from gco_stream.admin.doctor.findings import Finding, fail, ok, warn
from gco_stream.aws.botocore_errors import aws_errors
from gco_stream.aws.errors import AccessDenied, AWSError, NotFound
from gco_stream.aws.session import new_session, streams_client, table_client
from gco_stream.settings import Settings
from gco_stream.stream.client import StreamsClient
from gco_stream.stream.lineage import ShardIteratorType
from gco_stream.table.info import TableInfo, table_info

# In seconds. AWS rejects requests at a skew of 5 minutes, but timestamps in items are misleading before that.
_MAX_SKEW: Final = 30.0
# Not a valid endpoint name, so this item never exists. The test writes require that it exists, so they change nothing.
_NO_ITEM: Final = {"endpoint_name": {"S": "-doctor-"}}
_FIX_STREAM: Final = (
    "allow dynamodb:DescribeStream, GetShardIterator and GetRecords on the stream in the IAM role, DescribeTable on "
    "the replica in STREAM_REGION; check STREAM_REGION and AWS_ENDPOINT_URL_DYNAMODB_STREAMS"
)
_CONDITION_FAILED: Final = "ConditionalCheckFailedException"

Call = Callable[[Any, str], Awaitable[object]]


async def check_table(settings: Settings) -> AsyncIterator[Finding]:
    """Yields the findings about the table and its stream. Each check follows the checks that it depends on."""
    name, timeout = settings.inference_endpoints_table_name, settings.dynamodb_timeout_seconds
    session = new_session()
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(
                table_client(settings.home_region, timeout=timeout, connections=2, session=session)
            )
            with aws_errors(f"{name} in {settings.home_region}"):
                answer = await client.describe_table(TableName=name)
            info = table_info(answer)
        except AWSError as error:
            yield _no_table(settings, error)
            return
        yield ok("table", f"{info.arn}: {info.status.lower()}, about {info.items} endpoints")
        yield _clock(answer)
        async for finding in _permissions(client, name):
            yield finding
        if settings.streams_region != settings.home_region:
            # Each replica of a global table has its own stream. DescribeTable returns its ARN only in its region.
            try:
                replica = await stack.enter_async_context(
                    table_client(settings.streams_region, timeout=timeout, connections=2, session=session)
                )
                with aws_errors(f"{name} in {settings.streams_region}"):
                    info = table_info(await replica.describe_table(TableName=name))
            except AWSError as error:
                yield warn("stream", str(error), _FIX_STREAM)
                return
        if not info.stream_enabled or not info.stream_arn:
            yield warn(
                "stream",
                f"disabled: changes are found by scans every {settings.reconcile_interval_seconds:g} s",
                "gco-stream table enable-stream",
            )
            return
        streams = await stack.enter_async_context(
            streams_client(settings.streams_region, timeout=timeout, connections=2, session=session)
        )
        yield await _stream(settings, info, StreamsClient(streams, timeout=timeout))


def _no_table(settings: Settings, error: AWSError) -> Finding:
    if isinstance(error, NotFound):
        return fail("table", str(error), f"gco-stream table create --region {settings.home_region}")
    if isinstance(error, AccessDenied):
        return fail(
            "table",
            str(error),
            "give this process AWS credentials (IRSA, Pod Identity, AWS_PROFILE) that allow dynamodb:DescribeTable",
        )
    return fail("table", str(error), "check DYNAMODB_REGION, AWS_ENDPOINT_URL_DYNAMODB and the network policies")


def _clock(answer: Mapping[str, Any]) -> Finding:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        theirs = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return warn("clock", "DynamoDB's response has no valid Date header", "check this machine's clock manually")
    skew = abs((datetime.now(UTC) - theirs).total_seconds())
    if skew > _MAX_SKEW:
        return fail("clock", f"{skew:.0f} s off DynamoDB's clock", "synchronize this machine's clock (chrony, NTP)")
    return ok("clock", f"within {max(1.0, skew):.0f} s of DynamoDB's clock")


async def _permissions(client: Any, name: str) -> AsyncIterator[Finding]:
    """Yields the findings about calls on items, after trying each call. Writes have a condition that never holds."""
    condition = {"ConditionExpression": "attribute_exists(endpoint_name)"}
    calls: Mapping[str, Call] = {
        "dynamodb:Scan": lambda client, table: client.scan(TableName=table, Limit=1),
        "dynamodb:GetItem": lambda client, table: client.get_item(TableName=table, Key=_NO_ITEM),
        "dynamodb:UpdateItem": lambda client, table: client.update_item(
            TableName=table,
            Key=_NO_ITEM,
            UpdateExpression="REMOVE #none",
            ExpressionAttributeNames={"#none": "none"},
            **condition,
        ),
        "dynamodb:DeleteItem": lambda client, table: client.delete_item(TableName=table, Key=_NO_ITEM, **condition),
    }
    allowed: list[str] = []
    for action, call in calls.items():
        try:
            with aws_errors(name):
                await call(client, name)
        except AWSError as error:
            if error.code != _CONDITION_FAILED:
                yield fail(action, str(error), f"allow {action} on the table in the IAM role")
                continue
        allowed.append(action.removeprefix("dynamodb:"))
    if allowed:
        yield ok("table calls", f"allowed: {', '.join(allowed)}")


async def _stream(settings: Settings, info: TableInfo, api: StreamsClient) -> Finding:
    arn = info.stream_arn or ""
    try:
        listing = await api.describe(arn)
        shard = next((shard for shard in listing.shards if not shard.closed), None)
        if shard is not None:
            await api.get_records(await api.get_shard_iterator(arn, shard.id, ShardIteratorType.LATEST, None))
    except AWSError as error:
        return warn(
            "stream",
            f"cannot be read: {error}; changes are found by scans every {settings.reconcile_interval_seconds:g} s",
            _FIX_STREAM,
        )
    return ok("stream", f"{listing.status.lower()}, {info.view_type}, shards: {len(listing.shards)}")
