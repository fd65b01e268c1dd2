"""Lookup of the stream by DescribeTable: denied, unanswered, and when the stream was replaced."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise

import pytest

from gco_stream.stream.consumer import CALL_TIMEOUT, PIN_TIMEOUT, StreamLocation
from gco_stream.table.endpoints import EndpointTable
from tests.stream.scripted.doors import client_in_memory
from tests.stream.scripted.faults import Hang, Refuse
from tests.stream.scripted.server import TABLE, ScriptedDynamoDB
from tests.stream.scripted.shards import id_of
from tests.stream.support.consumer_log import ConsumerLog, aws_session

pytestmark = pytest.mark.looptime(noop_cycles=2)

REFUSED = Refuse("AccessDeniedException", "not authorized to perform: dynamodb:DescribeTable")


@pytest.fixture
async def heard(streams: ScriptedDynamoDB) -> AsyncIterator[ConsumerLog]:
    """A consumer whose table client never times out, so that only the consumer's own timeout ends a call."""
    session = aws_session()
    async with (
        client_in_memory(streams, session) as client,
        client_in_memory(streams, session, "dynamodb", timeout=6000) as tables,
    ):
        table = EndpointTable(tables, TABLE, timeout=6000)

        async def locate() -> StreamLocation:
            info = await table.describe()
            return StreamLocation(info.stream_arn, info.stream_enabled)

        yield ConsumerLog(streams, client, locate)


def long(heard: ConsumerLog, condition: Callable[[], object], seconds: float = 600) -> Awaitable[None]:
    """Waits for conditions that take minutes."""
    return heard.until(condition, seconds, step=0.2)


def news(heard: ConsumerLog) -> list[str]:
    return [said if isinstance(said, str) else said[0] for said in heard.said]


async def test_a_denied_lookup_means_poll_mode_with_retries_and_no_loss(streams, heard):
    streams.fail("DescribeTable", REFUSED, times=10)
    began = asyncio.get_running_loop().time()
    async with heard.running():
        assert asyncio.get_running_loop().time() - began <= PIN_TIMEOUT + 0.1
        assert heard.said == [("mode", "poll")]
        assert "dynamodb:DescribeTable" in heard.reasons[0]
        streams.record("for the scan that the gap asks for", "s1")
        await long(heard, lambda: heard.gaps)
        streams.record("after the gap", "s1")
        await long(heard, lambda: heard.names)
    assert news(heard) == ["mode", "mode", "gap", "after the gap"]
    assert heard.mode == "stream"
    pauses = [later - earlier for earlier, later in pairwise(streams.times("DescribeTable")[:10])]
    assert pauses[1] <= 3
    assert all(29 <= pause <= 61 for pause in pauses[-3:])


async def test_a_lookup_that_raises_any_exception_is_retried(streams):
    failures = iter([OSError("no route to host"), RuntimeError("closed")])
    async with client_in_memory(streams, aws_session()) as client:

        async def locate() -> StreamLocation:
            for failure in failures:
                raise failure
            return StreamLocation(streams.stream.arn, enabled=True)

        heard = ConsumerLog(streams, client, locate)
        async with heard.running():
            await long(heard, lambda: heard.mode == "stream", 60)
    assert next(failures, None) is None


async def test_a_denied_lookup_of_the_next_stream_means_gaps_before_and_after(streams, heard):
    async with heard.running():
        streams.record("old", "s1")
        await long(heard, lambda: heard.names)
        streams.fail("DescribeTable", REFUSED, times=12)
        streams.recreate_stream("n1")
        await long(heard, lambda: heard.mode == "poll", 60)
        assert "dynamodb:DescribeTable" in heard.consumer.snapshot().reason
        assert heard.gaps == 1
        streams.record("for the scan that the gap asks for", "n1")
        await long(heard, lambda: heard.gaps == 2, 120)
        streams.record("new", "n1")
        await long(heard, lambda: "new" in heard.names)
    assert news(heard) == ["mode", "old", "mode", "gap", "mode", "gap", "new"]


async def test_a_lookup_without_a_response_times_out_and_is_retried(streams, heard):
    streams.fail("DescribeTable", Hang(), times=4)
    async with heard.running():
        assert heard.said == [("mode", "poll")]
        await long(heard, lambda: heard.mode == "stream", 60)
    hung = streams.called("DescribeTable")[:4]
    # The second call is the one that the timeout of the pin ended.
    assert [round(call.ended - call.began, 2) for call in (hung[0], *hung[2:])] == [CALL_TIMEOUT] * 3


async def test_problems_of_a_former_stream_are_not_reported_for_the_next(streams, heard):
    async with heard.running():
        streams.fail("GetRecords", Refuse("InternalServerError"), times=100, shard="s1")
        old = streams.stream
        streams.recreate_stream("n1")
        old.status = "ENABLED"
        await long(heard, lambda: heard.consumer.snapshot().arn == streams.stream.arn, 90)
        assert any("InternalServerError" in reason for reason in heard.reasons)
        streams.fail("DescribeStream", Refuse("ThrottlingException"), times=30)
        await long(heard, lambda: heard.mode == "poll", 120)
        assert heard.consumer.snapshot().reason == "cannot list the shards of the stream"
        streams.recover()
        await long(heard, lambda: heard.mode == "stream", 60)


async def test_no_shards_positions_or_lag_remain_from_a_former_stream(streams, heard):
    async with heard.running():
        streams.record("old", "s1")
        await long(heard, lambda: heard.names)
        old = streams.stream.arn
        streams.recreate_stream("n1", "n2")
        await long(heard, lambda: heard.consumer.snapshot().arn == streams.stream.arn, 10)
        streams.calls.clear()
        await asyncio.sleep(60)
        shards = heard.consumer.snapshot().shards
        assert [(shard.shard_id, shard.last_sequence_number) for shard in shards] == [
            (id_of("n1"), None),
            (id_of("n2"), None),
        ]
        assert all(shard.behind is not None and shard.behind < 1 for shard in shards)
        assert not any(old in str(call.parameters) for call in streams.calls)
    assert heard.gaps == 1


async def test_the_problem_of_a_shard_ends_with_the_shard(streams, heard):
    streams.stream.open("s2")
    async with heard.running():
        streams.fail("GetRecords", Refuse("InternalServerError"), times=100, shard="s1")
        await long(heard, lambda: heard.mode == "poll", 60)
        streams.recover()
        streams.shards["s1"].gone = True
        await long(heard, lambda: heard.mode == "stream", 30)


async def test_lookups_are_frequent_again_after_a_stream_is_disabled_again(streams, heard):
    streams.table.stream_on = False
    async with heard.running():
        await asyncio.sleep(300)
        streams.table.stream_on = True
        await long(heard, lambda: heard.mode == "stream", 61)
        streams.table.stream_on = False
        streams.stream.end()
        await long(heard, lambda: heard.mode == "poll", 10)
        heard.located.clear()
        await asyncio.sleep(8)
        assert len(heard.located) >= 3


async def test_a_stream_that_can_be_pinned_but_not_read_is_retried_with_growing_pauses(streams, heard):
    clock = asyncio.get_running_loop().time
    pinned = []
    async with heard.running():
        for _ in range(10):
            await long(heard, lambda: heard.mode == "stream", 61)
            pinned.append(clock())
            streams.fail("GetRecords", Refuse("AccessDeniedException"))
            await long(heard, lambda: heard.mode == "poll", 5)
    pauses = [later - earlier for earlier, later in pairwise(pinned)]
    assert pauses[0] < 2
    assert all(30 <= pause <= 61 for pause in pauses[6:])


async def test_a_stream_that_was_readable_for_a_minute_is_retried_soon(streams, heard):
    clock = asyncio.get_running_loop().time
    async with heard.running():
        for _ in range(8):
            streams.fail("GetRecords", Refuse("AccessDeniedException"))
            await long(heard, lambda: heard.mode == "poll", 5)
            denied = clock()
            await long(heard, lambda: heard.mode == "stream", 61)
            assert clock() - denied < 2
            await asyncio.sleep(61)
