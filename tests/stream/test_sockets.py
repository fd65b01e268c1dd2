"""The consumer and the scripted server over real sockets, in real time, with the same results as in memory."""

import asyncio
from functools import partial

import pytest

from gco_stream.aws.errors import AWSError
from gco_stream.stream.client import StreamsClient
from gco_stream.stream.consumer import StreamTimes
from gco_stream.stream.lineage import ShardIteratorType
from tests.stream.scripted.doors import client_in_memory, client_of, listening
from tests.stream.scripted.faults import Body, Cut, Hang, Refuse, Slow
from tests.stream.scripted.server import ScriptedDynamoDB
from tests.stream.scripted.shards import id_of
from tests.stream.support.consumer_log import ConsumerLog, aws_session

pytestmark = pytest.mark.slow

MISFORTUNES = [
    Refuse("LimitExceededException"),
    Refuse("ExpiredIteratorException"),
    Refuse("InternalServerError"),
    Refuse("AccessDeniedException"),
    Body(""),
    Body("<html>a proxy's page</html>"),
    Body("<html>a proxy's page</html>", 503),
    Cut(0),
    Cut(0.5),
    Hang(),
    Slow(5),
]


async def failure(streams, connect, misfortune):
    """Returns the error class and code for a fault, and checks that the page is still available afterwards."""
    async with connect(timeout=60.0) as patient, connect(timeout=1.0) as impatient:
        api = StreamsClient(patient, timeout=60)
        iterator = await api.get_shard_iterator(streams.stream.arn, id_of("s1"), ShardIteratorType.TRIM_HORIZON, None)
        streams.record("a", "s1")
        streams.fail("GetRecords", misfortune)
        client = impatient if isinstance(misfortune, Hang | Slow) else patient
        with pytest.raises(AWSError) as raised:
            await StreamsClient(client, timeout=60).get_records(iterator)
        assert len((await api.get_records(iterator)).records) == 1
        return type(raised.value), raised.value.code


@pytest.mark.parametrize("misfortune", MISFORTUNES, ids=str)
async def test_a_fault_is_the_same_error_over_a_socket_and_in_memory(misfortune):
    server, other = ScriptedDynamoDB("s1"), ScriptedDynamoDB("s1")
    async with listening(server) as url:
        over_a_socket = await failure(server, partial(client_of, url, aws_session()), misfortune)
    assert await failure(other, partial(client_in_memory, other, aws_session()), misfortune) == over_a_socket


async def test_a_split_and_bad_responses_lose_nothing_over_sockets():
    streams = ScriptedDynamoDB("s1")
    streams.limits.reads = 1000
    async with listening(streams) as url, client_of(url, aws_session()) as client:
        heard = ConsumerLog(streams, client, times=StreamTimes(0.01))
        async with heard.running():
            streams.record("a", "s1")
            streams.fail("GetRecords", Cut(0), Cut(0.5), Slow(0.1), Body(""))
            streams.record("b", "s1")
            streams.stream.split("s1", "x", "y")
            streams.fail("DescribeStream", Cut(0.5))
            streams.record("c", "x")
            await heard.until(lambda: len(heard.names) == 3, 60)
    assert heard.names == ["a", "b", "c"]
    assert heard.gaps == 0
    assert streams.limits.most_readers["s1"] == 1


async def test_a_waiting_consumer_ends_at_once_when_cancelled():
    streams = ScriptedDynamoDB("s1")
    async with listening(streams) as url, client_of(url, aws_session(), timeout=600) as client:
        heard = ConsumerLog(streams, client, times=StreamTimes(0.01, call_timeout=600))
        await heard.consumer.pin()
        streams.fail("GetRecords", Hang())
        running = asyncio.create_task(heard.consumer.run())
        await heard.until(lambda: streams.calls[-1].outcome == "Hang", 60)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
