"""What has to hold whatever a schedule was: read from the server's record of calls and from what was delivered."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, pairwise

from tests.stream.schedules import World
from tests.stream.scripted.faults import Call
from tests.stream.scripted.iterators import read_token
from tests.stream.scripted.shards import Shard, name_of
from tests.stream.scripted.streams import Stream

_FULL = 256 * 1024


_NO_PLACE = {
    "ResourceNotFoundException",
    "TrimmedDataAccessException",
    "ExpiredIteratorException",
    "ValidationException",
}
"""Answers of GetShardIterator after which a shard counts as lost."""


def keep(world: World) -> None:
    """Raises AssertionError where a promise was broken."""
    one_reader_a_shard(world)
    parents_first(world)
    order_of_each_key(world)
    within_the_limits(world)


def one_reader_a_shard(world: World) -> None:
    for (_, shard), calls in _reads(world).items():
        for earlier, later in pairwise(calls):
            assert earlier.ended is not None
            assert earlier.ended <= later.began, f"two readers of {shard} at {later.began:.3f}"


def parents_first(world: World) -> None:
    """A child is not read before its parent was: to its end, or to where it was lost.

    Not meant are a parent that was closed when a consumer looked at the stream for the first time, which is history,
    and one that no list of shards had shown by then.
    """
    reads = _reads(world)
    for arn, name, shard in _shards(world):
        calls = reads.get((arn, name), ())
        begun = next((call.began for call in calls if call.arrived), None)
        parent = shard.parent
        if begun is None or parent is None or not _was_listed(world, parent, begun):
            continue
        closed = shard.born
        if any(closed <= at <= begun for at in world.begun):
            continue
        assert any(_over(call) and (call.ended or 0) <= begun for call in reads.get((arn, parent), ())) or any(
            call.outcome in _NO_PLACE and call.began <= begun
            for call in world.server.called("GetShardIterator", parent)
        ), f"{name} was read at {begun:.3f}, before {parent} was"


def order_of_each_key(world: World) -> None:
    """Of two changes of a key a consumer tells the earlier first, where the stream's forest says which is earlier.

    Not meant is a shard that was gone and is there again: what it still holds comes late. Records are hints, and what
    is asked is read from the table.
    """
    lost = {call.shard for call in world.server.calls if call.outcome in _NO_PLACE}
    of_key: defaultdict[tuple[str, Stream], list[tuple[int, Shard]]] = defaultdict(list)
    for stream, shard, record in world.records():
        of_key[record.name, stream].append((record.number, shard))
    for delivered in world.delivered:
        first = {number: position for position, number in reversed([*enumerate(delivered)])}
        for (name, stream), changes in of_key.items():
            told = sorted((number, shard.name) for number, shard in changes if number in first)
            for (earlier, elder), (later, younger) in combinations(told, 2):
                if first[earlier] > first[later]:
                    line = {younger, *_ancestors(stream, stream.shards[younger])}
                    assert elder not in line - lost, f"{name}: #{later} came before #{earlier}"


def within_the_limits(world: World) -> None:
    """Nothing is refused as too much, but where there was so much to read that it was tried."""
    for call in world.server.calls:
        if not call.limited:
            continue
        assert call.operation == "GetRecords", call
        shard = next(shard for stream in world.made for shard in stream.shards.values() if shard.name == call.shard)
        reads = world.server.called("GetRecords", call.shard)
        before = [read for read in reads if 0 <= call.began - read.began <= 2]
        assert shard.closed or any(map(_full, before)), f"too many reads of {call.shard} at {call.began:.3f}"


def _reads(world: World) -> dict[tuple[str, str], list[Call]]:
    reads: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in world.server.called("GetRecords"):
        reads[read_token(call.parameters["ShardIterator"]).arn, call.shard].append(call)
    return reads


def _shards(world: World) -> Iterator[tuple[str, str, Shard]]:
    for stream in world.made:
        for name, shard in stream.shards.items():
            yield stream.arn, name, shard


def _was_listed(world: World, name: str, before: float) -> bool:
    return any(
        name == name_of(shard["ShardId"])
        for call in world.server.called("DescribeStream")
        if call.arrived and call.answer and call.began <= before
        for shard in call.answer["StreamDescription"]["Shards"]
    )


def _over(call: Call) -> bool:
    """Whether the shard had come to its end, or was lost."""
    if call.outcome in {"ResourceNotFoundException", "TrimmedDataAccessException"}:
        return True
    return call.arrived and call.answer is not None and "NextShardIterator" not in call.answer


def _ancestors(stream: Stream, shard: Shard) -> Iterator[str]:
    while shard.parent is not None and (parent := stream.shards.get(shard.parent)) is not None:
        yield parent.name
        shard = parent


def _full(call: Call) -> bool:
    records = (call.answer or {}).get("Records", ())
    return sum(record["dynamodb"]["SizeBytes"] for record in records) >= _FULL
