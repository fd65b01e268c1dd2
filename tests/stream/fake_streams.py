"""DynamoDB Streams behind the client's three calls, in memory, for what DynamoDB Local cannot be made to show.

It keeps to what AWS does: an iterator names a place, LATEST is fixed only by the first GetRecords, a closed shard's
last page has no next iterator, a page may be empty, lists come in pages. Faults are scripted call by call.
"""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

LATENCY = 0.004
CREATED = datetime(2030, 1, 1, tzinfo=UTC)
_STATUS = {"InternalServerError": 500}


def aws_error(code: str, message: str = "scripted") -> ClientError:
    metadata = {"HTTPStatusCode": _STATUS.get(code, 400)}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "scripted")


@dataclass
class FakeShard:
    parent: str | None = None
    closed: bool = False
    listed: bool = True
    gone: bool = False
    trimmed: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Fault:
    """What one call answers instead: an error is raised, a dict returned (not an empty one), None never answers."""

    operation: str
    answer: Exception | dict[str, Any] | None
    shard: str | None


class FakeStreams:
    """`streams` by ARN, their shards by id; `calls` has (time, operation, parameters) of each call."""

    def __init__(self, *open_shards: str, arn: str = "arn:stream/1") -> None:
        self.arn = arn
        self.streams = {arn: {shard: FakeShard() for shard in open_shards or ("s1",)}}
        self.status = "ENABLED"
        self.status_of_others = "DISABLED"
        self.list_page = 100
        self.record_page = 1000
        self.calls: list[tuple[float, str, dict[str, Any]]] = []
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)
        self._expired_before = 0
        self._issued = itertools.count(1)
        self._reading: set[str] = set()

    @property
    def shards(self) -> dict[str, FakeShard]:
        return self.streams[self.arn]

    def put(self, name: str, shard: str = "s1", **record: Any) -> None:
        number = next(self._numbers)
        change = {
            "Keys": {"endpoint_name": {"S": name}},
            "NewImage": {"endpoint_name": {"S": name}},
            "SequenceNumber": f"{number:030d}",
            "SizeBytes": 100,
            "ApproximateCreationDateTime": CREATED,
        }
        self.shards[shard].records.append({"eventName": "MODIFY", "dynamodb": change | record})

    def open(self, shard: str, parent: str | None = None) -> None:
        self.shards[shard] = FakeShard(parent)

    def split(self, parent: str, *children: str, listed: bool = True) -> None:
        self.shards[parent].closed = True
        for child in children:
            self.shards[child] = FakeShard(parent=parent, listed=listed)

    def recreate(self, arn: str, *open_shards: str) -> None:
        for shard in self.shards.values():
            shard.closed = True
        self.arn = arn
        self.streams[arn] = {shard: FakeShard() for shard in open_shards}

    def expire_iterators(self) -> None:
        self._expired_before = next(self._issued)

    def fail(self, operation: str, *answers: Exception | dict[str, Any] | None, shard: str | None = None) -> None:
        """The next calls of `operation` (of one shard) are answered so, one after another."""
        self._faults += [Fault(operation, answer, shard) for answer in answers]

    def recover(self) -> None:
        self._faults.clear()

    def times(self, operation: str) -> list[float]:
        return [time for time, called, _ in self.calls if called == operation]

    async def describe_stream(self, *, StreamArn: str, ExclusiveStartShardId: str = "") -> dict[str, Any]:  # noqa: N803
        if instead := await self._answer("describe_stream", arn=StreamArn):
            return instead
        listed = [(id_, shard) for id_, shard in self._stream(StreamArn).items() if shard.listed]
        ids = [id_ for id_, _ in listed]
        begin = ids.index(ExclusiveStartShardId) + 1 if ExclusiveStartShardId else 0
        page = listed[begin : begin + self.list_page]
        description: dict[str, Any] = {
            "StreamStatus": self.status if StreamArn == self.arn else self.status_of_others,
            "Shards": [_described(id_, shard) for id_, shard in page],
        }
        if begin + self.list_page < len(listed):
            description["LastEvaluatedShardId"] = page[-1][0]
        return {"StreamDescription": description}

    async def get_shard_iterator(
        self,
        *,
        StreamArn: str,  # noqa: N803
        ShardId: str,  # noqa: N803
        ShardIteratorType: str,  # noqa: N803
        SequenceNumber: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        if instead := await self._answer("get_shard_iterator", ShardId, type=ShardIteratorType, after=SequenceNumber):
            return instead
        shard = self._stream(StreamArn).get(ShardId)
        if shard is None or shard.gone:
            raise aws_error("ResourceNotFoundException", f"Requested resource not found: Shard: {ShardId}")
        match ShardIteratorType:
            case "LATEST":
                place = "LATEST"
            case "TRIM_HORIZON":
                place = "TRIM_HORIZON"
            case _:
                numbers = [record["dynamodb"]["SequenceNumber"] for record in shard.records]
                place = str(numbers.index(SequenceNumber) + 1)
                if int(place) < shard.trimmed:
                    raise aws_error("TrimmedDataAccessException")
        return {"ShardIterator": self._iterator(StreamArn, ShardId, place)}

    async def get_records(self, *, ShardIterator: str, Limit: int = 1000) -> dict[str, Any]:  # noqa: N803
        arn, shard_id, place, issued = ShardIterator.split("|")
        assert shard_id not in self._reading, f"two readers on {shard_id}"
        self._reading.add(shard_id)
        try:
            if instead := await self._answer("get_records", shard_id):
                return instead
        finally:
            self._reading.discard(shard_id)
        shard = self._stream(arn)[shard_id]
        if shard.gone:
            raise aws_error("ResourceNotFoundException", f"Requested resource not found: Shard: {shard_id}")
        if int(issued) <= self._expired_before:
            raise aws_error("ExpiredIteratorException")
        ends = {"LATEST": len(shard.records), "TRIM_HORIZON": shard.trimmed}
        begin = ends[place] if place in ends else int(place)
        if begin < shard.trimmed:
            raise aws_error("TrimmedDataAccessException")
        end = min(begin + min(Limit, self.record_page), len(shard.records))
        page: dict[str, Any] = {"Records": shard.records[begin:end]}
        if not shard.closed or end < len(shard.records):
            page["NextShardIterator"] = self._iterator(arn, shard_id, str(end))
        return page

    def _stream(self, arn: str) -> dict[str, FakeShard]:
        if arn not in self.streams:
            raise aws_error("ResourceNotFoundException", f"Requested resource not found: Stream: {arn}")
        return self.streams[arn]

    def _iterator(self, arn: str, shard: str, place: str) -> str:
        return f"{arn}|{shard}|{place}|{next(self._issued)}"

    async def _answer(self, operation: str, shard: str | None = None, **parameters: Any) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        self.calls.append((loop.time(), operation, {"shard": shard, **parameters}))
        await asyncio.sleep(LATENCY)
        for fault in self._faults:
            if fault.operation == operation and fault.shard in {None, shard}:
                self._faults.remove(fault)
                if fault.answer is None:
                    await loop.create_future()
                if isinstance(fault.answer, Exception):
                    raise fault.answer
                return fault.answer
        return None


def _described(id_: str, shard: FakeShard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": "1"} | ({"EndingSequenceNumber": "9"} if shard.closed else {})
    return {"ShardId": id_, "SequenceNumberRange": numbers} | ({"ParentShardId": shard.parent} if shard.parent else {})
