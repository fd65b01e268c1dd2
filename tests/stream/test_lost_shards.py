"""Shards that are not found, cannot be pinned, or reject a position, temporarily or permanently."""

import asyncio

import pytest

from tests.stream.scripted.faults import Refuse
from tests.stream.scripted.iterators import LIFE

pytestmark = pytest.mark.looptime(noop_cycles=2)


async def test_a_lost_shard_listed_as_open_is_retried_rarely_without_endless_gaps(streams, heard):
    streams.stream.open("s2")
    async with heard.running():
        streams.shards["s1"].gone = True
        await heard.until(lambda: heard.gaps)
        streams.calls.clear()
        await asyncio.sleep(60)
        assert len(streams.times("GetShardIterator", "s1")) <= 3
        assert heard.mode == "stream"
        streams.shards["s1"].gone = False
        streams.calls.clear()
        await heard.until(lambda: len(streams.called("GetRecords", "s1")) == 2)
        streams.record("in it again", "s1")
        await heard.until(lambda: heard.names)


async def test_a_missing_shard_at_the_pin_does_not_block_the_others(streams, heard):
    streams.stream.open("s2")
    streams.shards["s1"].gone = True
    async with heard.running():
        streams.record("in s2", "s2")
        await heard.until(lambda: heard.names)
    assert heard.mode == "stream"


@pytest.mark.parametrize("code", ["TrimmedDataAccessException", "ExpiredIteratorException", "ValidationException"])
async def test_an_unreadable_shard_at_the_pin_does_not_block_the_others(streams, heard, code):
    streams.stream.open("s2")
    streams.fail("GetRecords", Refuse(code), times=1000, shard="s1")
    async with heard.running():
        assert heard.said == [("mode", "stream")]
        streams.record("in s2", "s2")
        await heard.until(lambda: heard.names, 1)


async def test_a_shard_that_fails_at_the_pin_reports_a_gap_once_it_is_read(streams, heard):
    streams.stream.open("s2")
    streams.fail("GetRecords", Refuse("InternalServerError"), times=3, shard="s1")
    async with heard.running():
        assert heard.said == [("mode", "stream")]
        streams.record("in s2", "s2")
        await heard.until(lambda: heard.names, 1)
        await heard.until(lambda: heard.gaps, 10)
        streams.record("in s1", "s1")
        await heard.until(lambda: len(heard.names) == 2)
    assert heard.gaps == 1


async def test_a_later_gap_covers_writes_to_a_lost_shard(streams, heard):
    streams.stream.open("s2")
    async with heard.running():
        streams.shards["s1"].gone = True
        await heard.until(lambda: heard.gaps)
        streams.record("unheard", "s1")
        streams.stream.split("s1", "a")
        gaps = heard.gaps
        await heard.until(lambda: heard.gaps > gaps, 60)
        gaps = heard.gaps
        await asyncio.sleep(40)
        assert heard.gaps == gaps
        streams.record("in a", "a")
        await heard.until(lambda: heard.names)


async def test_a_rejected_position_is_abandoned_with_a_gap(streams, heard):
    async with heard.running():
        streams.record("a", "s1")
        await heard.until(lambda: heard.names)
        streams.pass_time(LIFE)
        streams.fail("GetShardIterator", Refuse("ValidationException"))
        streams.record("b", "s1")
        await heard.until(lambda: "b" in heard.names, 10)
    assert heard.names == ["a", "a", "b"]
    assert heard.gaps == 1
