"""The consumer against a fake stream, in the loop's own time: start position, pacing and fallback."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from gco_stream.stream.consumer import PIN_TIMEOUT, StreamRecord
from tests.stream.scripted.faults import Hang, Refuse
from tests.stream.scripted.shards import id_of, written
from tests.stream.support.consumer_log import POLL

pytestmark = pytest.mark.looptime(noop_cycles=2)


async def test_everything_after_the_pin_is_delivered_and_nothing_before(streams, heard):
    streams.record("before", "s1")
    await heard.consumer.pin()
    streams.record("between", "s1")
    async with heard.running(pin=False):
        streams.record("after", "s1")
        await heard.until(lambda: len(heard.names) == 2)
    assert heard.said == [("mode", "stream"), "between", "after"]


async def test_changes_during_the_pin_are_scanned_or_delivered(streams, heard):
    table = set()

    async def user():
        for number in range(40):
            streams.record(f"e{number}", "s1")
            table.add(f"e{number}")
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(user())
        await heard.consumer.pin()
        scanned = set(table)
        async with heard.running(pin=False):
            await writing
            await asyncio.sleep(1)
    assert scanned | set(heard.names) == table
    assert scanned
    assert heard.names


async def test_a_record_contains_the_change(streams, heard):
    image = {"endpoint_name": {"S": "chat"}, "desired_state": {"S": "running"}}
    async with heard.running():
        streams.record("chat", "s1", NewImage=image)
        await heard.until(lambda: heard.records)
    number = written(streams.shards["s1"].records[0].number)
    assert heard.records == [
        StreamRecord("chat", "INSERT", image, None, number, id_of("s1"), datetime(2030, 1, 1, tzinfo=UTC))
    ]


async def test_an_idle_consumer_reads_every_interval_and_lists_shards_every_30_s(streams, heard):
    streams.stream.open("s2")
    async with heard.running():
        streams.calls.clear()
        heard.located.clear()
        await asyncio.sleep(60)
    reads, lists = streams.times("GetRecords"), streams.times("DescribeStream")
    assert len(reads) <= 2 * 60 / POLL
    assert len(reads) >= 2 * 60 / (POLL + 0.02)
    assert 2 <= len(lists) <= 3
    assert streams.times("GetShardIterator") == heard.located == []


async def test_reads_stay_within_the_limit_from_the_first_second(streams, heard):
    async with heard.running():
        await asyncio.sleep(5)
    assert not [call for call in streams.calls if call.limited]


async def test_reads_stay_within_the_limit_despite_failures(streams, heard):
    async with heard.running():
        for _ in range(20):
            streams.fail("GetRecords", Refuse("InternalServerError"))
            await asyncio.sleep(0.7)
    assert not [call for call in streams.calls if call.limited]


async def test_full_pages_are_read_without_waiting(streams, heard):
    streams.limits.records = 1000
    async with heard.running():
        for number in range(5000):
            streams.record(f"e{number}", "s1")
        streams.calls.clear()
        await heard.until(lambda: len(heard.names) == 5000)
        times = streams.times("GetRecords")
    assert heard.names == [f"e{number}" for number in range(5000)]
    assert times[4] - times[0] < POLL


async def test_pages_that_are_full_by_size_are_read_without_waiting(streams, heard):
    streams.limits.records = 2
    async with heard.running():
        for number in range(8):
            streams.record(f"e{number}", "s1", SizeBytes=400_000)
        streams.calls.clear()
        await heard.until(lambda: len(heard.names) == 8)
        times = streams.times("GetRecords")
    assert times[3] - times[0] < POLL


async def test_reads_pause_after_several_full_pages(streams, heard):
    streams.limits.records = 2
    async with heard.running():
        for number in range(100):
            streams.record(f"e{number}", "s1", SizeBytes=400_000)
        streams.calls.clear()
        await heard.until(lambda: len(heard.names) == 100)
        times = streams.times("GetRecords")
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert sum(wait >= POLL for wait in waits) >= 4


async def test_full_pages_are_read_at_the_usual_interval_after_throttling(streams, heard):
    streams.limits.records = 2
    async with heard.running():
        await asyncio.sleep(2)
        for number in range(60):
            streams.record(f"e{number}", "s1", SizeBytes=400_000)
        await heard.until(lambda: len(heard.names) == 60)
    assert len([call for call in streams.calls if call.limited]) <= 2


async def test_pages_of_the_list_of_shards_are_rate_limited(streams, heard):
    streams.limits.shards = 1
    for number in range(2, 8):
        streams.stream.open(f"s{number}")
    async with heard.running():
        for shard in streams.shards:
            streams.record(f"in {shard}", shard)
        await heard.until(lambda: len(heard.names) == 7)
    times = streams.times("DescribeStream")
    assert len(times) == 7
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(times))


async def test_a_new_stream_of_a_polled_table_is_found_within_a_minute(streams, heard):
    streams.table.stream_on = False
    async with heard.running():
        assert heard.said == [("mode", "poll")]
        assert heard.reasons == ["the table's stream is disabled"]
        assert streams.calls == []
        await asyncio.sleep(300)
        # Frequent at first, since the stream may be about to be enabled, and then once a minute.
        assert 8 <= len(heard.located) <= 16
        tried = len(heard.located)
        await asyncio.sleep(300)
        assert len(heard.located) - tried <= 10
        streams.table.stream_on = True
        await heard.until(lambda: heard.mode == "stream", 61)
        streams.record("new", "s1")
        await heard.until(lambda: heard.names)
    assert heard.said == [("mode", "poll"), ("mode", "stream"), ("gap", heard.reasons[-1]), "new"]


@pytest.mark.parametrize("operation", ["DescribeStream", "GetShardIterator", "GetRecords"])
async def test_denied_access_means_poll_mode_with_a_reason_and_backoff(streams, heard, operation):
    streams.fail(operation, Refuse("AccessDeniedException", "not authorized to perform this"), times=10)
    async with heard.running():
        assert heard.said == [("mode", "poll")]
        (reason,) = heard.reasons
        assert reason == "DynamoDB Streams denied access: AccessDeniedException: not authorized to perform this"
        await heard.until(lambda: heard.mode == "stream")
        streams.record("new", "s1")
        await heard.until(lambda: heard.names)
    pauses = [later - earlier for earlier, later in pairwise(streams.times(operation)[:10])]
    assert pauses[1] <= 3
    assert all(29 <= pause <= 61 for pause in pauses[-3:])
    assert heard.gaps == 1


async def test_access_revoked_while_reading_means_poll_mode_and_two_gaps(streams, heard):
    async with heard.running():
        streams.fail("GetRecords", Refuse("AccessDeniedException"))
        await heard.until(lambda: heard.mode == "poll")
        streams.record("unread", "s1")
        await heard.until(lambda: heard.mode == "stream", 61)
    assert [said[0] for said in heard.said] == ["mode", "mode", "gap", "mode", "gap"]


@pytest.mark.parametrize("code", ["LimitExceededException", "ThrottlingException", "InternalServerError"])
async def test_the_pin_survives_temporary_errors(streams, heard, code):
    streams.fail("DescribeStream", Refuse(code))
    streams.fail("GetRecords", Refuse(code))
    await heard.consumer.pin()
    assert heard.said == [("mode", "stream")]


async def test_an_unreachable_stream_does_not_block_the_engine(streams, heard):
    streams.fail("DescribeStream", Hang(), times=4)
    began = asyncio.get_running_loop().time()
    async with heard.running():
        assert asyncio.get_running_loop().time() - began <= PIN_TIMEOUT
        assert heard.said == [("mode", "poll")]
        streams.record("in the scan", "s1")
        await heard.until(lambda: heard.mode == "stream")
        streams.record("new", "s1")
        await heard.until(lambda: heard.names)
    assert heard.names == ["new"]
    assert heard.gaps == 1


async def test_a_failed_stream_lookup_is_retried(streams, heard):
    heard.locate_error = RuntimeError("the table is not there")
    async with heard.running():
        assert heard.said == [("mode", "poll")]
        assert "the table is not there" in heard.reasons[0]
        heard.locate_error = None
        await heard.until(lambda: heard.mode == "stream")


async def test_a_stream_that_is_being_enabled_is_pinned_once_it_has_a_shard(streams, heard):
    first = streams.shards.pop("s1")
    streams.stream.status = "ENABLING"
    async with asyncio.TaskGroup() as group:
        pinning = group.create_task(heard.consumer.pin())
        await asyncio.sleep(3)
        assert not pinning.done()
        streams.shards["s1"] = first
    assert heard.said == [("mode", "stream")]


async def test_the_snapshot_shows_mode_shards_and_errors(streams, heard):
    streams.table.stream_on = False
    await heard.consumer.pin()
    nothing = heard.consumer.snapshot()
    assert (nothing.mode, nothing.arn, nothing.shards, nothing.records) == ("poll", None, (), 0)
    streams.table.stream_on = True
    async with heard.running():
        streams.record("a", "s1")
        await heard.until(lambda: heard.names)
        streams.fail("GetRecords", Refuse("LimitExceededException"), Refuse("InternalServerError"))
        await asyncio.sleep(2)
        streams.stream.split("s1", "a", "b")
        streams.fail("GetRecords", Hang(), times=9, shard="s1")
        await heard.until(lambda: len(heard.consumer.snapshot().shards) == 3)
        snapshot = heard.consumer.snapshot()
    assert (snapshot.mode, snapshot.arn, snapshot.records) == ("stream", streams.stream.arn, 1)
    assert snapshot.reason == "reading the table's stream"
    assert snapshot.errors["LimitExceededException"] == snapshot.errors["InternalServerError"] == 1
    reading, *waiting = snapshot.shards
    assert (reading.shard_id, reading.state) == (id_of("s1"), "reading")
    assert reading.last_sequence_number == written(streams.shards["s1"].records[0].number)
    assert reading.behind == reading.read_age > 20
    assert [(shard.shard_id, shard.state) for shard in waiting] == [(id_of("a"), "waiting"), (id_of("b"), "waiting")]


async def test_lag_is_the_age_of_the_newest_record_while_pages_are_full(streams, heard):
    async with heard.running():
        for number in range(8000):
            streams.record(f"e{number}", "s1")
        await heard.until(lambda: heard.names)
        streams.fail("GetRecords", Hang())
        await heard.until(lambda: heard.consumer.snapshot().shards[0].behind >= 3, 4)


@pytest.mark.parametrize("moment", range(30))
async def test_a_cancellation_at_the_moment_of_an_error_takes_effect(streams, heard, moment):
    await heard.consumer.pin()
    running = asyncio.ensure_future(heard.consumer.run())
    streams.fail("GetRecords", Refuse("AccessDeniedException"))
    await heard.until(lambda: streams.calls[-1].outcome == "AccessDeniedException", 1)
    for _ in range(moment):
        await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(1):
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_an_error_in_a_callback_is_raised(streams, heard):
    def fail(record):
        raise LookupError(record.name)

    heard.on_record = fail
    await heard.consumer.pin()
    streams.record("a", "s1")
    with pytest.raises(ExceptionGroup) as raised:
        await heard.consumer.run()
    assert raised.group_contains(LookupError)
