"""One refused call delays changes by less than two seconds, whatever the refusal."""

import asyncio

import pytest

from tests.stream.scripted.faults import Refuse

pytestmark = pytest.mark.looptime(noop_cycles=2)

CODES = [
    "ExpiredIteratorException",
    "TrimmedDataAccessException",
    "ValidationException",
    "ResourceNotFoundException",
    "LimitExceededException",
    "InternalServerError",
    "ThrottlingException",
    "UnrecognizedClientException",
]


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("at_the_pin", [True, False])
@pytest.mark.parametrize("call", ["GetRecords", "GetShardIterator"])
@pytest.mark.parametrize("code", CODES)
async def test_one_refused_call_costs_less_than_two_seconds(streams, heard, code, call, at_the_pin, shards):
    if shards == 2:
        streams.stream.open("s2")
    if at_the_pin:
        streams.fail(call, Refuse(code), shard="s1")
    async with heard.running():
        if not at_the_pin:
            streams.record("before", "s1")
            await heard.until(lambda: "before" in heard.names, 2)
            if call == "GetShardIterator":
                # An iterator is requested again only after the last one has expired.
                streams.fail("GetRecords", Refuse("ExpiredIteratorException"), shard="s1")
            streams.fail(call, Refuse(code), shard="s1")
        gaps = heard.gaps
        streams.record("first", "s1")
        # A gap causes a scan of the whole table, which finds the change as well.
        await heard.until(lambda: "first" in heard.names or heard.gaps > gaps, 2)
        await asyncio.sleep(2)
        streams.record("second", "s1")
        await heard.until(lambda: "second" in heard.names, 2)
