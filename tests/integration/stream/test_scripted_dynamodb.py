"""Checks that the scripted DynamoDB of the unit tests gives the same answers as DynamoDB Local.

The same requests are sent to both. Before the transcripts are compared, values that each server chooses, such as ARNs,
IDs, iterators and sequence numbers, are replaced by names in order of appearance.
"""

import uuid
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ClientError

from gco_stream.aws.session import new_session
from gco_stream.local.servers import dynamodb
from tests.stream.scripted.doors import listening
from tests.stream.scripted.server import ScriptedDynamoDB

pytestmark = pytest.mark.integration

# No retries, and requests are sent unchanged, including invalid ones.
CONFIG = AioConfig(retries={"total_max_attempts": 1, "mode": "standard"}, parameter_validation=False)
IMAGES = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
# Values that differ between the servers: capacity and dates, which DynamoDB Local rounds to the minute.
LEFT_OUT = {
    "ApproximateCreationDateTime",
    "BillingModeSummary",
    "ConsumedCapacity",
    "CreationDateTime",
    "CreationRequestDateTime",
    "DeletionProtectionEnabled",
    "ItemCount",
    "ProvisionedThroughput",
    "ResponseMetadata",
    "TableSizeBytes",
    "awsRegion",
}
NAMED = {
    "TableArn": "table",
    "StreamArn": "stream",
    "LatestStreamArn": "stream",
    "StreamLabel": "label",
    "LatestStreamLabel": "label",
    "ShardId": "shard",
    "ParentShardId": "shard",
    "ShardIterator": "iterator",
    "NextShardIterator": "iterator",
    "eventID": "event",
    "SequenceNumber": "number",
    "StartingSequenceNumber": "number",
    "EndingSequenceNumber": "number",
}


class Conversation:
    """Sends requests to a DynamoDB and records the answers in `transcript`."""

    def __init__(self, tables: Any, streams: Any) -> None:
        self.transcript: list[Any] = []
        # A stream outlives its table and would be listed in the next conversation about a table of the same name.
        self._table = f"conversation-{uuid.uuid4().hex[:10]}"
        self._tables = tables
        self._streams = streams
        self._names = {self._table: "conversation"}

    async def table(self, operation: str, **asked: Any) -> Any:
        return await self._ask(self._tables, operation, {"TableName": self._table, **asked})

    async def stream(self, operation: str, **asked: Any) -> Any:
        return await self._ask(self._streams, operation, asked)

    async def _ask(self, client: Any, operation: str, asked: dict[str, Any]) -> Any:
        try:
            answer = await getattr(client, operation)(**asked)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            answer = {"Error": error.response["Error"], "Status": status}
        self.transcript.append((operation, self._plain(answer)))
        return answer

    def _plain(self, value: Any, key: str = "") -> Any:
        match value:
            case dict():
                return {name: self._plain(part, name) for name, part in value.items() if name not in LEFT_OUT}
            case list():
                return [self._plain(part) for part in value]
            case str() if key in NAMED:
                return self._names.setdefault(value, f"{NAMED[key]} {len(self._names)}")
            case str():
                for text in sorted(self._names, key=len, reverse=True):
                    value = value.replace(text, self._names[text])
        return value

    async def iterator(self, stream: str, shard: str, kind: str, number: str | None = None) -> Any:
        place = {} if number is None else {"SequenceNumber": number}
        asked = {"StreamArn": stream, "ShardId": shard, "ShardIteratorType": kind}
        return (await self.stream("get_shard_iterator", **asked, **place)).get("ShardIterator")

    async def list_streams(self) -> None:
        await self.stream("list_streams", TableName=self._table)
        await self.stream("list_streams", TableName="another")

    async def shards(self, stream: str, **asked: Any) -> list[Any]:
        answer = await self.stream("describe_stream", StreamArn=stream, **asked)
        return answer.get("StreamDescription", {}).get("Shards", [])


def key(name: str) -> dict[str, Any]:
    return {"endpoint_name": {"S": name}}


def number(value: int) -> dict[str, Any]:
    return {"n": {"N": str(value)}}


def change(value: int) -> dict[str, Any]:
    return {"n": {"Action": "PUT", "Value": {"N": str(value)}}}


async def hold(say: Conversation) -> None:
    stream, shard = await about_a_table(say)
    numbers = await about_pages(say, stream, shard)
    await about_places(say, stream, shard, numbers)
    await about_what_is_not_there(say, stream, shard)
    await about_a_stream_that_is_turned_off_and_on(say, stream, shard)


async def about_a_table(say: Conversation) -> tuple[str, str]:
    await say.table("describe_table")
    await say.table("put_item", Item=key("a"))
    definition = {
        "AttributeDefinitions": [{"AttributeName": "endpoint_name", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "endpoint_name", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": IMAGES,
    }
    await say.table("create_table", **definition)
    await say.table("create_table", **definition)
    stream = (await say.table("describe_table"))["Table"]["LatestStreamArn"]
    (shard,) = await say.shards(stream)
    await say.list_streams()
    await say.table("put_item", Item=key("a") | number(1))
    await say.table("put_item", Item=key("a") | number(1))
    await say.table("put_item", Item=key("a") | number(2))
    await say.table("update_item", Key=key("a"), AttributeUpdates=change(3))
    await say.table("update_item", Key=key("b"), AttributeUpdates=change(3))
    await say.table("update_item", Key=key("b"), AttributeUpdates={"n": {"Action": "DELETE"}})
    await say.table("update_item", Key=key("b"), AttributeUpdates={"n": {"Action": "DELETE"}})
    await say.table("delete_item", Key=key("a"))
    await say.table("delete_item", Key=key("a"))
    await say.table("put_item", Item=number(1))
    await say.table("update_item", Key=number(1), AttributeUpdates=change(1))
    await say.table("delete_item", Key=number(1))
    return stream, shard["ShardId"]


async def about_pages(say: Conversation, stream: str, shard: str) -> list[str]:
    place = await say.iterator(stream, shard, "TRIM_HORIZON")
    numbers = []
    for limit in (1, 2, 1000, 1000):
        page = await say.stream("get_records", ShardIterator=place, Limit=limit)
        numbers += [record["dynamodb"]["SequenceNumber"] for record in page["Records"]]
        # An iterator can be reused.
        await say.stream("get_records", ShardIterator=place, Limit=1)
        place = page["NextShardIterator"]
    await say.table("put_item", Item=key("c"))
    await say.stream("get_records", ShardIterator=place)
    for limit in (0, -1, 1001):
        await say.stream("get_records", ShardIterator=place, Limit=limit)
        await say.shards(stream, Limit=limit)
    await say.shards(stream, Limit=1)
    await say.shards(stream, ExclusiveStartShardId=shard)
    await say.shards(stream, ExclusiveStartShardId="shardId-00000000000000000000-00000000")
    return numbers


async def about_places(say: Conversation, stream: str, shard: str, numbers: list[str]) -> None:
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        for known in (numbers[0], numbers[2], numbers[-1]):
            place = await say.iterator(stream, shard, kind, known)
            await say.stream("get_records", ShardIterator=place, Limit=1)
        await say.iterator(stream, shard, kind)
    for kind in ("LATEST", "TRIM_HORIZON"):
        await say.iterator(stream, shard, kind, numbers[0])
    latest = await say.iterator(stream, shard, "LATEST")
    await say.table("put_item", Item=key("d"))
    page = await say.stream("get_records", ShardIterator=latest)
    await say.table("put_item", Item=key("d") | number(4))
    await say.stream("get_records", ShardIterator=page["NextShardIterator"])
    await say.stream("get_records", ShardIterator=latest)


async def about_what_is_not_there(say: Conversation, stream: str, shard: str) -> None:
    unknown = stream.rpartition("/")[0] + "/2000-01-01T00:00:00.000"
    await say.shards(unknown)
    await say.iterator(unknown, shard, "LATEST")
    await say.iterator(stream, "shardId-00000000000000000000-00000000", "LATEST")
    await say.stream("get_records", ShardIterator="an iterator that nobody gave")
    await say.table("update_table", StreamSpecification=IMAGES)


async def about_a_stream_that_is_turned_off_and_on(say: Conversation, stream: str, shard: str) -> None:
    place = await say.iterator(stream, shard, "TRIM_HORIZON")
    latest = await say.iterator(stream, shard, "LATEST")
    await say.table("update_table", StreamSpecification={"StreamEnabled": False})
    await say.table("update_table", StreamSpecification={"StreamEnabled": False})
    await say.table("put_item", Item=key("nobody hears of it"))
    await say.table("describe_table")
    (old,) = await say.shards(stream)
    # The records of a closed shard can still be read; its last page has no next iterator.
    page = await say.stream("get_records", ShardIterator=place, Limit=2)
    await say.stream("get_records", ShardIterator=page["NextShardIterator"])
    await say.stream("get_records", ShardIterator=latest)
    await say.stream("get_records", ShardIterator=await say.iterator(stream, shard, "LATEST"))
    await say.table("update_table", StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    again = (await say.table("describe_table"))["Table"]["LatestStreamArn"]
    (new,) = await say.shards(again)
    await say.table("put_item", Item=key("e") | number(1))
    await say.table("delete_item", Key=key("e"))
    place = await say.iterator(again, new["ShardId"], "TRIM_HORIZON")
    await say.stream("get_records", ShardIterator=place)
    await say.iterator(again, shard, "TRIM_HORIZON")
    first = old["SequenceNumberRange"]["StartingSequenceNumber"]
    await say.iterator(again, new["ShardId"], "AFTER_SEQUENCE_NUMBER", first)
    await say.table("delete_table")
    await say.table("describe_table")
    await say.shards(again)
    await say.stream("get_records", ShardIterator=place)


async def transcript(url: str) -> list[Any]:
    session = new_session()
    options = {
        "region_name": dynamodb.REGION,
        "endpoint_url": url,
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
        "config": CONFIG,
    }
    async with (
        session.create_client("dynamodb", **options) as tables,
        session.create_client("dynamodbstreams", **options) as streams,
    ):
        say = Conversation(tables, streams)
        await hold(say)
        return say.transcript


async def test_the_scripted_dynamodb_and_dynamodb_local_give_the_same_answers(control_plane):
    scripted = ScriptedDynamoDB()
    scripted.operations.latest_at_first_read = False
    scripted.limits.reads = 1000
    async with listening(scripted) as url:
        ours = await transcript(url)
    real = await transcript(control_plane.dynamodb_url)
    for said, expected in zip(ours, real, strict=True):
        assert said == expected
