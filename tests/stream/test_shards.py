"""The consumer against a fake stream whose shards end, split, expire, are trimmed and disappear."""

import asyncio
from itertools import pairwise

import pytest

from gco_stream.stream.consumer import CALL_TIMEOUT
from tests.stream.scripted.doors import client_in_memory
from tests.stream.scripted.faults import Body, Cut, Empty, Hang, Refuse, Slow
from tests.stream.scripted.iterators import LIFE
from tests.stream.scripted.shards import id_of
from tests.stream.support.consumer_log import POLL, ConsumerLog, aws_session

pytestmark = pytest.mark.looptime(noop_cycles=2)


async def test_a_closed_shard_is_read_to_its_end_before_its_children(streams, heard):
    async with heard.running():
        streams.record("last of the parent", "s1")
        streams.stream.split("s1", "a", "b")
        streams.record("first of a", "a")
        streams.record("first of b", "b")
        await heard.until(lambda: len(heard.names) == 3)
        streams.record("later in a", "a")
        streams.record("later in b", "b")
        await heard.until(lambda: len(heard.names) == 5)
    assert heard.names[0] == "last of the parent"
    assert sorted(heard.names[1:3]) == ["first of a", "first of b"]
    assert heard.gaps == 0


async def test_children_are_found_as_soon_as_the_parent_ends(streams, heard):
    async with heard.running():
        streams.stream.split("s1", "a")
        streams.record("in a", "a")
        await heard.until(lambda: heard.names, 1)


async def test_a_child_that_is_listed_late_is_found(streams, heard):
    async with heard.running():
        streams.stream.split("s1", "a", listed=False)
        streams.record("in a", "a")
        await asyncio.sleep(3)
        streams.shards["a"].listed = True
        await heard.until(lambda: heard.names, 10)
    assert heard.gaps == 0
    assert heard.mode == "stream"


async def test_an_unrelated_new_shard_is_found_within_30_s_and_read_whole(streams, heard):
    async with heard.running():
        streams.stream.open("new", parent="trimmed long ago")
        streams.record("in it", "new")
        await heard.until(lambda: heard.names, 31)


async def test_known_children_start_although_shards_cannot_be_listed(streams, heard):
    async with heard.running():
        streams.fail("GetRecords", Hang(), times=10, shard="s1")
        await asyncio.sleep(0.5)
        streams.stream.split("s1", "a")
        streams.record("in a", "a")
        await heard.until(lambda: len(heard.consumer.snapshot().shards) == 2, 31)
        streams.recover()
        streams.fail("DescribeStream", Refuse("LimitExceededException"), times=50)
        await heard.until(lambda: heard.names, 10)


async def test_many_generations_are_read_in_order(streams, heard):
    async with heard.running():
        shard = "s1"
        for generation in range(12):
            streams.record(f"in {shard}", shard)
            child = f"g{generation}"
            streams.stream.split(shard, child)
            shard = child
        streams.record("newest", shard)
        await heard.until(lambda: "newest" in heard.names, 20)
    assert heard.names == ["in s1", *(f"in g{generation}" for generation in range(11)), "newest"]
    assert heard.gaps == 0


async def test_empty_pages_of_a_closed_shard_are_not_its_end(streams, heard):
    async with heard.running():
        streams.stream.split("s1", "a")
        streams.record("in a", "a")
        streams.stream.split("a", "b")
        streams.record("in b", "b")
        streams.fail("GetRecords", Empty(), times=3, shard="a")
        await heard.until(lambda: len(heard.names) == 2, 10)
    assert heard.names == ["in a", "in b"]


async def test_a_childless_ended_shard_does_not_cause_endless_listing(streams, heard):
    streams.stream.open("s2")
    async with heard.running():
        streams.shards["s1"].closed = True
        await asyncio.sleep(15)
        streams.calls.clear()
        heard.located.clear()
        await asyncio.sleep(90)
        assert heard.mode == "stream"
    assert len(streams.times("DescribeStream")) <= 4
    assert heard.located == []


@pytest.mark.parametrize(
    "misfortune",
    [
        Refuse("LimitExceededException"),
        Refuse("ProvisionedThroughputExceededException"),
        Refuse("InternalServerError"),
        Cut(0),
        Cut(0.5),
        Hang(),
        Slow(60),
        Empty(),
        Body(""),
        Body("<html>a proxy's page</html>"),
        Body('{"NextShardIterator": "elsewhere"}'),
    ],
    ids=str,
)
async def test_a_page_that_does_not_arrive_is_retried_and_nothing_is_skipped(streams, heard, misfortune):
    async with heard.running():
        streams.record("a", "s1")
        await heard.until(lambda: heard.names)
        streams.fail("GetRecords", misfortune, times=3)
        streams.record("b", "s1")
        await asyncio.sleep(0.5)
        streams.record("c", "s1")
        await heard.until(lambda: len(heard.names) == 3)
    assert heard.names == ["a", "b", "c"]
    assert heard.gaps == 0


async def test_a_call_has_a_timeout_independent_of_the_client(streams):
    async with client_in_memory(streams, aws_session(), timeout=6000) as client:
        heard = ConsumerLog(streams, client)
        async with heard.running():
            streams.fail("GetRecords", Hang())
            streams.record("a", "s1")
            await heard.until(lambda: heard.names, 2 * CALL_TIMEOUT)
    assert heard.gaps == 0


async def test_throttling_causes_growing_delays_with_jitter(streams, heard):
    async with heard.running():
        streams.calls.clear()
        streams.fail("GetRecords", Refuse("LimitExceededException"), times=12)
        await asyncio.sleep(90)
    times = streams.times("GetRecords")
    waits = [later - earlier for earlier, later in pairwise(times[1:13])]
    assert waits[5] > 2 * waits[0]
    assert max(waits) <= 10.1
    assert len({round(wait, 3) for wait in waits[-4:]}) == 4


async def test_a_failing_shard_does_not_delay_another(streams, heard):
    streams.stream.open("s2")
    async with heard.running():
        streams.fail("GetRecords", Hang(), times=10, shard="s1")
        await asyncio.sleep(1)
        streams.record("in s2", "s2")
        await heard.until(lambda: heard.names, 2 * POLL)


async def test_an_outage_means_poll_mode_and_loses_nothing(streams, heard):
    async with heard.running():
        streams.fail("GetRecords", Refuse("InternalServerError"), times=30)
        streams.record("in the outage", "s1")
        await heard.until(lambda: heard.mode == "poll", 60)
        assert "InternalServerError" in heard.consumer.snapshot().reason
        streams.recover()
        await heard.until(lambda: heard.mode == "stream", 60)
    assert heard.names == ["in the outage"]
    assert heard.gaps == 0


async def test_a_temporary_listing_failure_changes_nothing(streams, heard):
    async with heard.running():
        for _ in range(3):
            streams.fail("DescribeStream", Refuse("LimitExceededException"))
            await asyncio.sleep(31)
    assert heard.said == [("mode", "stream")]


async def test_a_long_listing_failure_means_poll_mode(streams, heard):
    async with heard.running():
        streams.fail("DescribeStream", Refuse("InternalServerError"), times=30)
        streams.stream.split("s1", "a")
        await heard.until(lambda: heard.mode == "poll", 90)
        streams.recover()
        streams.record("in a", "a")
        await heard.until(lambda: heard.names)
        assert heard.mode == "stream"
    assert heard.gaps == 0


async def test_an_expired_iterator_is_replaced_after_the_last_delivered_record(streams, heard):
    async with heard.running():
        streams.record("a", "s1")
        await heard.until(lambda: heard.names)
        streams.record("b", "s1")
        streams.pass_time(LIFE)
        streams.record("c", "s1")
        await heard.until(lambda: len(heard.names) == 3)
    assert streams.called("GetShardIterator")[-1].parameters["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER"
    assert heard.names == ["a", "b", "c"]
    assert heard.gaps == 0


async def test_an_expired_iterator_of_an_idle_shard_reports_a_gap_once_pinned(streams, heard):
    async with heard.running():
        streams.pass_time(LIFE)
        streams.fail("GetRecords", Refuse("ExpiredIteratorException"), Refuse("LimitExceededException"))
        streams.record("in the scan that follows", "s1")
        await heard.until(lambda: heard.gaps)
        streams.record("new", "s1")
        await heard.until(lambda: heard.names)
    assert [said if isinstance(said, str) else said[0] for said in heard.said] == ["mode", "gap", "new"]


async def test_an_expired_iterator_of_an_empty_child_restarts_at_its_beginning(streams, heard):
    async with heard.running():
        streams.stream.split("s1", "a")
        await heard.until(lambda: [shard.shard_id for shard in heard.consumer.snapshot().shards] == [id_of("a")])
        await asyncio.sleep(1)
        streams.record("in a", "a")
        streams.pass_time(LIFE)
        await heard.until(lambda: heard.names)
    assert heard.gaps == 1


async def test_a_trimmed_shard_is_read_from_its_remaining_records_with_one_gap(streams, heard):
    async with heard.running():
        streams.record("a", "s1")
        await heard.until(lambda: heard.names)
        for name in ("b", "trimmed", "left"):
            streams.record(name, "s1")
        streams.shards["s1"].trimmed = 3
        streams.pass_time(LIFE)
        await heard.until(lambda: heard.gaps)
        streams.record("new", "s1")
        await heard.until(lambda: "new" in heard.names)
    assert heard.names == ["a", "left", "new"]
    assert heard.gaps == 1


async def test_children_of_a_fully_trimmed_shard_are_read_after_one_gap(streams, heard):
    async with heard.running():
        streams.stream.split("s1", "a")
        streams.record("in a", "a")
        streams.fail("GetRecords", Refuse("TrimmedDataAccessException"), times=20, shard="s1")
        await heard.until(lambda: heard.names, 3)
    assert heard.gaps == 1


async def test_children_of_a_missing_shard_are_read_after_one_gap(streams, heard):
    async with heard.running():
        streams.stream.split("s1", "a")
        streams.shards["s1"].gone = True
        streams.record("in a", "a")
        await heard.until(lambda: heard.names, 1)
    assert heard.gaps == 1


async def test_a_disabled_stream_means_poll_mode_and_a_gap(streams, heard):
    async with heard.running():
        streams.record("last", "s1")
        streams.table.stream_on = False
        streams.stream.status = "DISABLED"
        streams.shards["s1"].closed = True
        await heard.until(lambda: heard.mode == "poll", 2)
        snapshot = heard.consumer.snapshot()
    assert (snapshot.arn, snapshot.shards) == (None, ())
    assert heard.said == [("mode", "stream"), "last", ("mode", "poll"), ("gap", heard.reasons[-1])]


async def test_a_disabled_stream_is_noticed_although_its_status_is_enabled(streams, heard):
    async with heard.running():
        streams.table.stream_on = False
        streams.shards["s1"].closed = True
        await heard.until(lambda: heard.mode == "poll", 2)


async def test_a_replaced_stream_is_pinned_before_the_gap_is_reported(streams, heard):
    async with heard.running():
        streams.record("old", "s1")
        await heard.until(lambda: heard.names)
        streams.recreate_stream("n1")
        streams.record("before the pin", "n1")
        await heard.until(lambda: heard.gaps, 2)
        streams.record("new", "n1")
        await heard.until(lambda: len(heard.names) == 2)
        assert heard.consumer.snapshot().arn == streams.stream.arn
    assert heard.said == [("mode", "stream"), "old", ("gap", heard.reasons[-1]), "new"]


async def test_a_replaced_stream_with_the_same_arn_is_read_whole_after_a_gap(streams, heard):
    async with heard.running():
        streams.record("old", "s1")
        await heard.until(lambda: heard.names)
        streams.recreate_stream("n1", label=streams.stream.label)
        streams.record("new", "n1")
        await heard.until(lambda: len(heard.names) == 2, 60)
    assert heard.names == ["old", "new"]
    assert heard.gaps
    assert heard.mode == "stream"


async def test_a_deleted_stream_is_looked_up_again(streams, heard):
    async with heard.running():
        old = streams.stream.arn
        streams.recreate_stream("n1")
        del streams.operations.streams[old]
        for _ in range(2):
            streams.fail("GetRecords", Refuse("ResourceNotFoundException"))
        await heard.until(lambda: heard.consumer.snapshot().arn == streams.stream.arn, 5)
    assert heard.mode == "stream"


async def test_a_long_failure_of_a_shard_triggers_a_lookup_of_the_stream(streams, heard):
    async with heard.running():
        streams.fail("GetRecords", Refuse("InternalServerError"), times=100, shard="s1")
        old = streams.stream
        streams.recreate_stream("n1")
        old.status = "ENABLED"
        await heard.until(lambda: heard.consumer.snapshot().arn == streams.stream.arn, 90)
    assert heard.mode == "stream"
    assert heard.gaps == 1


async def test_a_stream_without_readable_shards_means_poll_mode(streams, heard):
    async with heard.running():
        streams.shards["s1"].closed = True
        await heard.until(lambda: heard.mode == "poll", 30)
        streams.stream.open("s2")
        await heard.until(lambda: heard.mode == "stream", 61)
        streams.record("new", "s2")
        await heard.until(lambda: heard.names)


async def test_a_failed_stream_lookup_does_not_end_a_stream(streams, heard):
    streams.stream.open("s2")
    async with heard.running():
        heard.locate_error = RuntimeError("throttled")
        streams.shards["s1"].closed = True
        await asyncio.sleep(60)
        assert heard.mode == "stream"
    assert heard.gaps == 0


async def test_a_malformed_record_is_skipped_with_a_gap(streams, heard):
    async with heard.running():
        streams.record("a", "s1")
        streams.record("b", "s1", Keys={})
        streams.record("c", "s1")
        await heard.until(lambda: len(heard.names) == 2)
        await heard.until(lambda: heard.gaps)
        await asyncio.sleep(5)
    assert heard.names == ["a", "c"]
    assert heard.gaps == 1


async def test_no_task_outlives_the_run(streams, heard):
    before = asyncio.all_tasks()
    async with heard.running():
        streams.stream.split("s1", "a", "b")
        await heard.until(lambda: len(heard.consumer.snapshot().shards) == 2)
    assert asyncio.all_tasks() == before
