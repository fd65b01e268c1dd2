"""The operations: request parameters in, response content out, or Refused."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.stream.scripted import limits
from tests.stream.scripted.errors import OperationRefused, invalid, not_found
from tests.stream.scripted.iterators import Iterator, alive, end_of, first_number, page, read_token, readable
from tests.stream.scripted.limits import Limits
from tests.stream.scripted.shards import Numbers, name_of
from tests.stream.scripted.streams import START, Stream
from tests.stream.scripted.tables import Table, key_schema

ARN: Final = "arn:aws:dynamodb:us-east-1:123456789012:table/"

Content = dict[str, Any]


class Operations:
    """Both APIs on `tables` by name and `streams` by ARN. A stream outlives its deactivation and its table.

    `latest_at_first_read`: LATEST is the end of the shard at the first read; if False, when the iterator is created.
    DynamoDB does not specify which, so a reader must support both. `now`: the server's clock.
    """

    def __init__(self, bounds: Limits, now: Callable[[], float]) -> None:
        self.tables: dict[str, Table] = {}
        self.streams: dict[str, Stream] = {}
        self.latest_at_first_read = True
        self._limits = bounds
        self._now = now
        self._numbers = Numbers()
        self.by_name: Mapping[str, Callable[[Content], Content]] = {
            "DynamoDB_20120810.CreateTable": self._create_table,
            "DynamoDB_20120810.DescribeTable": lambda asked: {"Table": self._table(asked).described()},
            "DynamoDB_20120810.UpdateTable": self._update_table,
            "DynamoDB_20120810.DeleteTable": self._delete_table,
            "DynamoDB_20120810.PutItem": self._put_item,
            "DynamoDB_20120810.UpdateItem": self._update_item,
            "DynamoDB_20120810.DeleteItem": self._delete_item,
            "DynamoDBStreams_20120810.ListStreams": self._list_streams,
            "DynamoDBStreams_20120810.DescribeStream": self._describe_stream,
            "DynamoDBStreams_20120810.GetShardIterator": self._get_shard_iterator,
            "DynamoDBStreams_20120810.GetRecords": self._get_records,
        }

    def make_table(self, name: str) -> Table:
        self.tables[name] = Table(name, ARN + name, START + self._now())
        return self.tables[name]

    def make_stream(self, table: Table, *shards: str, view: str = "NEW_AND_OLD_IMAGES", label: str = "") -> Stream:
        """Enables the table's stream. This creates a new stream, even if its label is that of an older one."""
        arn = f"{table.arn}/stream/{label or f'2030-01-01T00:00:{len(self.streams):06.3f}'}"
        stream = Stream(arn, view, *(shards or (f"s{len(self.streams) + 1}",)), numbers=self._numbers, now=self._now)
        self.streams[arn] = table.stream = stream
        table.stream_on = True
        return stream

    def _create_table(self, asked: Content) -> Content:
        name = asked["TableName"]
        if name in self.tables:
            raise OperationRefused("ResourceInUseException", "Cannot create preexisting table")
        table = self.make_table(name)
        self._set_stream(table, asked.get("StreamSpecification", {}))
        return {"TableDescription": table.described()}

    def _update_table(self, asked: Content) -> Content:
        table, specification = self._table(asked), asked["StreamSpecification"]
        if specification["StreamEnabled"] == table.stream_on:
            raise invalid(
                "Table already has an enabled stream" if table.stream_on else "Table has no stream to disable"
            )
        self._set_stream(table, specification)
        return {"TableDescription": table.described()}

    def _delete_table(self, asked: Content) -> Content:
        table = self._table(asked)
        description = table.described()
        self._set_stream(table, {})
        del self.tables[table.name]
        return {"TableDescription": description}

    def _set_stream(self, table: Table, specification: Content) -> None:
        if specification.get("StreamEnabled"):
            self.make_stream(table, view=specification["StreamViewType"])
        elif table.stream is not None:
            table.stream.end()
            table.stream_on = False

    def _put_item(self, asked: Content) -> Content:
        self._table(asked).put(asked["Item"])
        return {}

    def _update_item(self, asked: Content) -> Content:
        self._table(asked).update(asked["Key"], asked["AttributeUpdates"])
        return {}

    def _delete_item(self, asked: Content) -> Content:
        self._table(asked).delete(asked["Key"])
        return {}

    def _list_streams(self, asked: Content) -> Content:
        listed = [stream for stream in self.streams.values() if asked.get("TableName") in {None, _table_of(stream)}]
        return {
            "Streams": [
                {"StreamArn": stream.arn, "TableName": _table_of(stream), "StreamLabel": stream.label}
                for stream in listed
            ]
        }

    def _describe_stream(self, asked: Content) -> Content:
        limit = limits.at_most(asked.get("Limit"), limits.SHARDS, "Limit cannot be greater than the maximum: 100")
        stream = self.streams.get(asked["StreamArn"])
        if stream is None:
            raise not_found(f"Requested resource not found: Stream: {asked['StreamArn']} not found")
        self._limits.describing(self._now())
        listed = [shard for shard in stream.shards.values() if shard.listed]
        names = [shard.name for shard in listed]
        after = name_of(asked.get("ExclusiveStartShardId", ""))
        # An ExclusiveStartShardId that is no longer listed restarts the list.
        begin = names.index(after) + 1 if after in names else 0
        shown = listed[begin : begin + min(limit, self._limits.shards)]
        description: Content = {
            "StreamArn": stream.arn,
            "StreamLabel": stream.label,
            "StreamStatus": stream.status,
            "StreamViewType": stream.view,
            "CreationRequestDateTime": stream.created,
            "TableName": _table_of(stream),
            "KeySchema": key_schema(),
            "Shards": [shard.described() for shard in shown],
        }
        if begin + len(shown) < len(listed):
            description["LastEvaluatedShardId"] = description["Shards"][-1]["ShardId"]
        return {"StreamDescription": description}

    def _get_shard_iterator(self, asked: Content) -> Content:
        stream = self.streams.get(asked["StreamArn"])
        if stream is None:
            raise not_found("Stream does not exist")
        shard = readable(stream.shards.get(name_of(asked["ShardId"])))
        number = first_number(shard, asked["ShardIteratorType"], asked.get("SequenceNumber"))
        if number is None and not self.latest_at_first_read:
            number = end_of(shard)
        return {"ShardIterator": Iterator(stream.arn, shard.name, number, self._now()).token()}

    def _get_records(self, asked: Content) -> Content:
        limit = limits.at_most(asked.get("Limit"), limits.RECORDS, "Limit should be less than or equal to 1000")
        iterator = read_token(asked["ShardIterator"])
        stream = self.streams.get(iterator.arn)
        if stream is None:
            raise not_found("Stream does not exist")
        shard = readable(stream.shards.get(iterator.shard))
        alive(iterator, self._now())
        bounds = self._limits
        records, following = page(shard, iterator.number, records=min(limit, bounds.records), size=bounds.size)
        answer: Content = {"Records": [record.body for record in records]}
        if following is not None:
            answer["NextShardIterator"] = Iterator(stream.arn, shard.name, following, self._now()).token()
        return answer

    def _table(self, asked: Content) -> Table:
        table = self.tables.get(asked["TableName"])
        if table is None:
            raise not_found("Cannot do operations on a non-existent table")
        return table


def _table_of(stream: Stream) -> str:
    return stream.arn.removeprefix(ARN).partition("/")[0]
