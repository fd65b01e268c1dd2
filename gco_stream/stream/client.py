"""Client for DynamoDB Streams with a timeout per call, checks for incomplete responses, and AWSError for failures.

Neither the SDK nor this client retries a call. The caller decides when to retry, because it knows which other calls are
waiting.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gco_stream.aio.rate_limiter import RateLimiter
from gco_stream.aws.botocore_errors import aws_errors
from gco_stream.aws.errors import AWSError, Unreachable
from gco_stream.stream.lineage import Shard, ShardIteratorType

PAGE_RECORDS: Final = 1000
# GetRecords returns at most 1,000 records or about 1 MiB. One record can take up most of that, so a page of this size
# may already be full.
_FULL_PAGE_BYTES: Final = 256 * 1024
# DescribeStream is limited to 10 calls per second, and controllers in other regions may read the same stream.
_DESCRIBE_INTERVAL: Final = 0.25
# Lower than the size of the connection pool, so that a call's timeout does not include waiting for a connection.
_MAX_CONCURRENT_CALLS: Final = 16
_MAX_ERROR_CODES: Final = 50


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """Status of a stream (ENABLING, ENABLED, DISABLING or DISABLED) and all of its shards."""

    status: str
    shards: Sequence[Shard]


@dataclass(frozen=True, slots=True)
class RecordsPage:
    """Records as returned by GetRecords. `next_iterator` is None on the last page of a closed shard."""

    records: Sequence[Mapping[str, Any]]
    next_iterator: str | None

    @property
    def full(self) -> bool:
        """Whether more records are probably available already."""
        if len(self.records) >= PAGE_RECORDS:
            return True
        return sum(map(_size, self.records)) >= _FULL_PAGE_BYTES


class StreamsClient:
    """DynamoDB Streams, accessed by an aiobotocore "dynamodbstreams" client. All methods raise AWSError.

    `timeout`: seconds per call. `on_call` is called after each call with the operation, the result and the duration in
    seconds. The result is "ok", "Cancelled" or the name of the AWSError subclass. `errors` counts failed calls by
    error code.
    """

    def __init__(
        self, client: Any, *, timeout: float, on_call: Callable[[str, str, float], None] = lambda *_: None
    ) -> None:
        self._client = client
        self._on_call = on_call
        self._timeout = timeout
        self._rate_limiter = RateLimiter(_DESCRIBE_INTERVAL)
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT_CALLS)
        self.errors: Counter[str] = Counter()

    async def describe(self, arn: str) -> StreamDescription:
        """Returns the status and all shards of a stream. Reads all pages of the list."""
        shards: dict[str, Shard] = {}
        parameters = {"StreamArn": arn}
        while True:
            await self._rate_limiter.acquire()
            description = (await self._call("describe_stream", "StreamDescription", **parameters))["StreamDescription"]
            for shard in map(_shard, description.get("Shards") or ()):
                # Pages are read at different times, so the page that shows the shard as closed is the newer one.
                if shard.id not in shards or shard.closed:
                    shards[shard.id] = shard
            last = description.get("LastEvaluatedShardId")
            if not last:
                return StreamDescription(description.get("StreamStatus", ""), tuple(shards.values()))
            if last == parameters.get("ExclusiveStartShardId"):
                raise Unreachable("endless list of shards: a page repeats the previous position", "BadBody")
            parameters["ExclusiveStartShardId"] = last

    async def get_shard_iterator(
        self, arn: str, shard_id: str, iterator_type: ShardIteratorType, after: str | None
    ) -> str:
        """Returns an iterator that starts after sequence number `after`, or at `iterator_type` if `after` is None."""
        place = (
            {"ShardIteratorType": iterator_type.value}
            if after is None
            else {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
        )
        response = await self._call("get_shard_iterator", "ShardIterator", StreamArn=arn, ShardId=shard_id, **place)
        return str(response["ShardIterator"])

    async def get_records(self, iterator: str) -> RecordsPage:
        """Returns the page of records at `iterator`."""
        response = await self._call("get_records", "Records", ShardIterator=iterator, Limit=PAGE_RECORDS)
        return RecordsPage(response["Records"], response.get("NextShardIterator"))

    async def _call(self, operation: str, required: str, **parameters: Any) -> Mapping[str, Any]:
        try:
            async with self._slots:
                response = await self._timed(operation, required, parameters)
        except AWSError as error:
            known = error.code in self.errors or len(self.errors) < _MAX_ERROR_CODES
            self.errors[error.code if known else "other"] += 1
            raise
        return response

    async def _timed(self, operation: str, required: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        began, result = time.monotonic(), "Cancelled"
        try:
            with aws_errors(service="DynamoDB Streams"):
                async with asyncio.timeout(self._timeout):
                    response: Mapping[str, Any] = await getattr(self._client, operation)(**parameters)
            if response.get(required) is None:
                # botocore treats an empty or truncated body, or one from another server, as a success without content.
                raise Unreachable(f"response to {operation} has no {required}", "BadBody")
            result = "ok"
        except AWSError as error:
            result = type(error).__name__
            raise
        finally:
            self._on_call(operation, result, time.monotonic() - began)
        return response


def _shard(raw: Mapping[str, Any]) -> Shard:
    try:
        closed = bool((raw.get("SequenceNumberRange") or {}).get("EndingSequenceNumber"))
        return Shard(raw["ShardId"], raw.get("ParentShardId") or None, closed)
    except (KeyError, AttributeError) as error:
        raise Unreachable(f"incomplete shard in the list of shards: {error!r}", "BadBody") from None


def _size(record: Any) -> int:
    try:
        size = record["dynamodb"]["SizeBytes"]
    except (KeyError, TypeError):
        return 0
    return size if isinstance(size, int) else 0
