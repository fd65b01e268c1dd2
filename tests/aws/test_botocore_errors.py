"""Translation of raw HTTP responses by the real client into errors."""

import asyncio
import functools
from contextlib import asynccontextmanager

import pytest
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import ClientError, CredentialRetrievalError, NoCredentialsError

from gco_stream.aws.botocore_errors import aws_errors
from gco_stream.aws.errors import (
    AccessDenied,
    AWSError,
    IteratorExpired,
    NotFound,
    Rejected,
    Throttled,
    Trimmed,
    Unreachable,
)
from gco_stream.stream.client import RecordsPage, StreamsClient
from gco_stream.stream.lineage import Shard
from tests.stream.scripted.doors import client_of

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2030-01-01T00:00:00.000"
SHARD = "shardId-00000001795255981043-5ac95a2d"
CLOSED = '{"EndingSequenceNumber": "999999999999999999999"}'


@functools.cache
def plain_session() -> AioSession:
    """botocore's own session, without the program's item parser, which would detect many of these errors first."""
    return get_session()


@asynccontextmanager
async def answering(answer):
    """The API with a real client whose server sends these bytes to each request and closes the connection."""

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = client_of(f"http://127.0.0.1:{port}", plain_session())
    async with server, client as streams:
        yield StreamsClient(streams, timeout=5)


def http(status, body, length=None):
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: "
    return f"{head}{len(body) if length is None else length}\r\nConnection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(200, ""), Unreachable),
        (http(200, "{}"), Unreachable),
        (http(200, '{"Records": null, "NextShardIterator": "elsewhere"}'), Unreachable),
        (http(200, "<html>a proxy's page</html>"), Unreachable),
        (http(200, '{"Records": [{"eventNa'), Unreachable),
        (http(200, '{"Records": [', length=5000), Unreachable),
        (http(503, "<html>no</html>"), Unreachable),
        (http(500, '{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}'), Unreachable),
        (http(400, '{"__type": "x#LimitExceededException", "message": "slower"}'), Throttled),
        (http(400, '{"__type": "x#ExpiredIteratorException"}'), IteratorExpired),
        (http(400, '{"__type": "x#TrimmedDataAccessException"}'), Trimmed),
        (http(400, '{"__type": "x#ResourceNotFoundException"}'), NotFound),
        (http(400, '{"__type": "x#AccessDeniedException", "Message": "not authorized"}'), AccessDenied),
        (http(400, '{"__type": "x#ExpiredTokenException"}'), AccessDenied),
        (http(403, "<html>no</html>"), AccessDenied),
        (http(429, ""), Throttled),
        (http(400, '{"__type": "x#ValidationException", "message": "Invalid ShardIterator"}'), Rejected),
        (b"", Unreachable),
    ],
)
async def test_each_failure_is_a_counted_error_of_its_class(answer, kind):
    async with answering(answer) as api:
        with pytest.raises(AWSError) as raised:
            await api.get_records("somewhere")
        assert type(raised.value) is kind
        assert api.errors == {raised.value.code: 1}
        assert raised.value.code


async def test_a_page_without_records_is_valid():
    async with answering(http(200, '{"Records": [], "NextShardIterator": "on"}')) as api:
        page = await api.get_records("somewhere")
    assert (page.records, page.next_iterator, page.full) == ([], "on", False)


def test_a_page_of_malformed_records_is_not_full():
    assert not RecordsPage([None, 7, {}, {"dynamodb": None}, {"dynamodb": {"SizeBytes": "many"}}], "on").full


async def test_an_incomplete_list_of_shards_is_an_error():
    async with answering(http(200, '{"StreamDescription": {"Shards": [{"SequenceNumberRange": {}}]}}')) as api:
        with pytest.raises(Unreachable, match="incomplete"):
            await api.describe(ARN)


@pytest.mark.parametrize("ranges", [(CLOSED, "{}"), ("{}", CLOSED)], ids=["first", "last"])
async def test_a_shard_listed_twice_is_closed_if_either_entry_is_closed(ranges):
    shards = ", ".join(f'{{"ShardId": "{SHARD}", "SequenceNumberRange": {range_}}}' for range_ in ranges)
    async with answering(http(200, f'{{"StreamDescription": {{"Shards": [{shards}]}}}}')) as api:
        listing = await api.describe(ARN)
    assert listing.shards == (Shard(SHARD, closed=True),)


async def test_an_endless_list_of_shards_is_an_error():
    body = '{"StreamDescription": {"Shards": [], "LastEvaluatedShardId": "' + SHARD + '"}}'
    async with answering(http(200, body)) as api:
        with pytest.raises(Unreachable, match="endless"):
            await api.describe(ARN)


@pytest.mark.parametrize(
    "error", [NoCredentialsError(), CredentialRetrievalError(provider="p", error_msg="m")], ids=["none", "broken"]
)
def test_missing_credentials_mean_denied_access(error):
    with pytest.raises(AccessDenied, match="credentials"), aws_errors():
        raise error


def test_programming_errors_are_not_converted():
    with pytest.raises(LookupError), aws_errors():
        raise LookupError


def test_the_counts_by_code_are_bounded():
    # A proxy may respond with any code.
    async def fail_often():
        api = StreamsClient(Failing(), timeout=1)
        for _ in range(300):
            with pytest.raises(AWSError):
                await api.get_records("somewhere")
        return api.errors

    class Failing:
        calls = 0

        async def get_records(self, **_):
            self.calls += 1
            raise ClientError({"Error": {"Code": f"Code{self.calls}"}}, "GetRecords")

    errors = asyncio.run(fail_often())
    assert len(errors) <= 51
    assert sum(errors.values()) == 300


async def test_an_invalid_request_is_rejected():
    async with answering(b"") as api:
        with pytest.raises(Rejected, match="StreamArn"):
            await api.describe("short")
