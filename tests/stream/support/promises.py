"""Guarantees that hold for every schedule, checked with the server's record of calls and the delivered records."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from tests.stream.scripted.faults import Call
from tests.stream.scripted.iterators import read_token
from tests.stream.scripted.shards import Shard, name_of
from tests.stream.scripted.streams import Stream
from tests.stream.support.schedules import World

Lists = Sequence[tuple[str, float, frozenset[str]]]

_FULL = 256 * 1024


_NO_PLACE = {
    "ResourceNotFoundException",
    "TrimmedDataAccessException",
    "ExpiredIteratorException",
    "ValidationException",
}
"""Error codes of GetShardIterator after which a shard counts as lost."""


def check_invariants(world: World) -> None:
    """Raises AssertionError if a guarantee is violated."""
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
    """A child is not read before its parent was read to its end, or to the point where it was lost.

    Two kinds of parents are exempt: one that was closed when a consumer first listed the stream, which is history, and
    one that no complete list of shards had shown when the child was started.
    """
    reads, lists = _reads(world), _lists(world)
    for arn, name, shard in _shards(world):
        calls = reads.get((arn, name), ())
        begun = next((call.began for call in calls if call.arrived), None)
        parent = shard.parent
        if begun is None or parent is None:
            continue
        if any(not _shown(world, lists, arn, parent, at) for at in _beginnings(world, arn, name) if at <= begun):
            continue
        closed = shard.born
        if any(closed <= at <= begun for at in _looks(world, lists, arn)):
            continue
        assert any(_over(call) and (call.ended or 0) <= begun for call in reads.get((arn, parent), ())) or any(
            call.outcome in _NO_PLACE and call.began <= begun
            for call in world.server.called("GetShardIterator", parent)
        ), f"{name} was read at {begun:.3f}, before {parent} was"


def order_of_each_key(world: World) -> None:
    """A consumer reports two changes of a key in the order that the stream's forest defines.

    Two kinds of shards are exempt: one that was lost and found again, and one that no list of shards showed when its
    child was started. Their records arrive late, which is harmless: records only trigger a read of the table.
    """
    lost = {call.shard for call in world.server.calls if call.outcome in _NO_PLACE}
    lists = _lists(world)
    of_key: defaultdict[tuple[str, Stream], list[tuple[int, Shard]]] = defaultdict(list)
    for stream, shard, record in world.records():
        of_key[record.name, stream].append((record.number, shard))
    for delivered, began, ended in zip(world.delivered, world.led, [*world.led[1:], math.inf], strict=True):
        first = {number: position for position, number in reversed([*enumerate(delivered)])}
        for (name, stream), changes in of_key.items():
            received = sorted((number, shard.name) for number, shard in changes if number in first)
            for (earlier, elder), (later, younger) in combinations(received, 2):
                if first[earlier] < first[later] or elder in lost:
                    continue
                line = [younger, *_ancestors(stream, stream.shards[younger])]
                if elder in line and _followed(world, lists, stream.arn, line[: line.index(elder) + 1], began, ended):
                    raise AssertionError(f"{name}: #{later} came before #{earlier}")


def within_the_limits(world: World) -> None:
    """Nothing is throttled, except attempts to read a backlog fast."""
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


def _followed(world: World, lists: Lists, arn: str, line: Sequence[str], began: float, ended: float) -> bool:
    """Whether each shard's parent, which is the next in the line, had been listed when the shard was started."""
    for child, parent in pairwise(line):
        begun = [at for at in _beginnings(world, arn, child) if began <= at < ended]
        # A shard that was never started was history, regardless of its parent.
        if not begun or not all(_shown(world, lists, arn, parent, at) for at in begun):
            return False
    return True


def _shown(world: World, lists: Lists, arn: str, name: str, at: float) -> bool:
    """Whether a complete list of shards had shown the shard by that time, since the stream was pinned."""
    pinned = max((pin for pin in world.pins if pin <= at), default=0.0)
    return any(of == arn and pinned <= listed <= at and name in names for of, listed, names in lists)


def _looks(world: World, lists: Lists, arn: str) -> list[float]:
    """The times at which a consumer first received the stream's shards, for each pin of it."""
    first = (min((at for of, at, _ in lists if of == arn and at >= pin), default=None) for pin in world.pins)
    return [at for at in first if at is not None]


def _beginnings(world: World, arn: str, name: str) -> list[float]:
    """The times at which a consumer requested an iterator of the shard."""
    calls = world.server.called("GetShardIterator", name)
    return [call.began for call in calls if call.parameters["StreamArn"] == arn]


def _lists(world: World) -> Lists:
    """Each list of shards that a consumer received completely: its stream, time and shards."""
    lists = []
    names: set[str] = set()
    for call in world.server.called("DescribeStream"):
        if "ExclusiveStartShardId" not in call.parameters:
            names = set()
        if call.arrived and call.answer and call.ended is not None:
            description = call.answer["StreamDescription"]
            names |= {name_of(shard["ShardId"]) for shard in description["Shards"]}
            if "LastEvaluatedShardId" not in description:
                lists.append((call.parameters["StreamArn"], call.ended, frozenset(names)))
    return lists


def _over(call: Call) -> bool:
    """Whether the call showed that the shard has ended or is lost."""
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
