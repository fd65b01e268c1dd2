"""Random schedules of events in a stream, and the consumers that experience them.

A step is a value, so that a failing schedule shrinks to the relevant steps and is printed in full. A step that is
impossible in the current state (such as splitting a shard of a disabled stream) does nothing.
"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from hypothesis import strategies as st

from gco_stream.stream.consumer import StreamConsumer, StreamLocation, StreamRecord, StreamTimes
from gco_stream.table.endpoints import EndpointTable
from tests.stream.scripted.faults import Body, Cut, Empty, Hang, Misfortune, Refuse, Slow
from tests.stream.scripted.iterators import LIFE
from tests.stream.scripted.server import TABLE, ScriptedDynamoDB
from tests.stream.scripted.shards import Shard, name_of
from tests.stream.scripted.streams import KEY, Stream
from tests.support.record_processor import RecordProcessorFuncs

KEYS = ("chat", "code", "embed", "rank", "speech")
# Size in bytes at which a page counts as full.
_LARGE = 300_000


class World:
    """A table and its stream, the current consumer, and everything that was written and delivered.

    `unheard`: times of the writes without a record, because the stream was disabled. `covered`: the times up to which a
    table scan has shown everything, which are each consumer's start and each gap. `change_delivered`: sequence numbers
    by consumer; `led`: the start time of each consumer. `pins`: the times at which a consumer was about to list the
    shards for the first time.
    """

    def __init__(self, server: ScriptedDynamoDB, streams: Any, tables: Any, *, poll: float, seed: int) -> None:
        self.server = server
        self.made: list[Stream] = [server.stream]
        self.unheard: list[float] = []
        self.covered: list[float] = []
        self.delivered: list[list[int]] = []
        self.led: list[float] = []
        self.pins: list[float] = []
        self.lost: set[int] = set()
        self._client = streams
        self._table = EndpointTable(tables, TABLE)
        self._poll = poll
        self._rng = random.Random(seed)
        self._task: asyncio.Task[None] | None = None
        self._count = 0
        self.consumer = self._new()

    async def lead(self) -> None:
        """Starts a new consumer like a new leader does: it pins the stream, and then the table is scanned."""
        if self._task is not None:
            await self.resign()
            await asyncio.sleep(1)
        self.consumer = self._new()
        await self.consumer.pin()
        self.covered.append(self.server.now())
        self._task = asyncio.create_task(self.consumer.run())

    async def resign(self) -> None:
        """Cancels the consumer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)
            assert self._task.cancelled(), "the consumer did not end when it was cancelled"
            self._task = None

    def put(self, key: int, **parts: Any) -> None:
        self._count += 1
        name = KEYS[key % len(KEYS)]
        self._write(name, {KEY: {"S": name}, "version": {"N": str(self._count)}}, parts)

    def delete(self, key: int) -> None:
        self._write(KEYS[key % len(KEYS)], None, {})

    def _write(self, name: str, new: dict[str, Any] | None, parts: dict[str, Any]) -> None:
        table = self.server.table
        if not table.stream_on:
            self.unheard.append(self.server.now())
        if parts and table.stream_on:
            self.server.stream.write(name, table.items.get(name), new, **parts)
        elif new is None:
            table.delete({KEY: {"S": name}})
        else:
            table.put(new)

    def listed(self) -> set[str]:
        """The shards that a consumer has received in a list."""
        answers = (call.answer for call in self.server.called("DescribeStream") if call.arrived and call.answer)
        return {name_of(shard["ShardId"]) for answer in answers for shard in answer["StreamDescription"]["Shards"]}

    def records(self) -> Iterator[tuple[Stream, Shard, Any]]:
        """Every record ever written, with its stream and shard."""
        for stream in self.made:
            for shard in stream.shards.values():
                for record in shard.records:
                    yield stream, shard, record

    def missing(self) -> list[str]:
        """The writes that were neither delivered nor covered by a later scan."""
        last = max(self.covered)
        numbers = set(chain(*self.delivered))
        start = self.server.wall().timestamp() - self.server.now()
        missed = [
            f"{record.name} #{record.number} in {shard.name}"
            for _, shard, record in self.records()
            if record.at - start > last and record.number not in numbers | self.lost
        ]
        return missed + [f"a write at {at:.2f}" for at in self.unheard if at > last]

    def _new(self) -> StreamConsumer:
        self.delivered.append([])
        self.led.append(self.server.now())
        return StreamConsumer(
            self._client,
            self._locate,
            RecordProcessorFuncs(
                on_record=self._record,
                on_gap=lambda _: self.covered.append(self.server.now()),
                on_mode=lambda *_: None,
            ),
            StreamTimes(self._poll),
            rng=random.Random(self._rng.random()),
            wall_clock=self.server.wall,
        )

    async def _locate(self) -> StreamLocation:
        if self.consumer.snapshot().arn is None:
            self.pins.append(self.server.now())
        info = await self._table.describe()
        return StreamLocation(arn=info.stream_arn, enabled=info.stream_enabled)

    def _record(self, record: StreamRecord) -> None:
        self.delivered[-1].append(int(record.sequence_number))


@dataclass(frozen=True)
class Delete:
    key: int

    async def happen(self, world: World) -> None:
        world.delete(self.key)


@dataclass(frozen=True)
class Burst:
    """Changes of large items, which fill pages."""

    many: int

    async def happen(self, world: World) -> None:
        for key in range(self.many):
            world.put(key, SizeBytes=_LARGE)


@dataclass(frozen=True)
class Split:
    """A rollover (one child) or a split; `seen`: whether the list of shards shows it at once."""

    shard: int
    children: int
    seen: bool

    async def happen(self, world: World) -> None:
        stream = world.server.stream
        if parent := _pick(stream.open_shards, self.shard):
            stream.split(parent, *(f"{parent}{letter}" for letter in "ab"[: self.children]), listed=self.seen)
            stream.shards[parent].listed_closed = self.seen


@dataclass(frozen=True)
class Merge:
    shard: int
    seen: bool

    async def happen(self, world: World) -> None:
        stream = world.server.stream
        neighbours = sorted(stream.open_shards, key=lambda name: stream.shards[name].keys.start)
        if len(neighbours) > 1:
            first = self.shard % (len(neighbours) - 1)
            parent, other = neighbours[first : first + 2]
            stream.merge(parent, other, f"{parent}m", listed=self.seen)


@dataclass(frozen=True)
class Show:
    """Brings the list of shards up to date."""

    async def happen(self, world: World) -> None:
        for shard in world.server.stream.shards.values():
            shard.listed_closed = True
            shard.listed = not (shard.gone and shard.closed)


@dataclass(frozen=True)
class Trim:
    """Trims a shard's records so far. Those that no consumer has started to read are lost without notice."""

    shard: int

    async def happen(self, world: World) -> None:
        shards = world.server.stream.shards
        if name := _pick(list(shards), self.shard):
            shard = shards[name]
            shard.trimmed = len(shard.records)
            if not any(call.arrived for call in world.server.called("GetRecords", name)):
                world.lost |= {record.number for record in shard.records}


@dataclass(frozen=True)
class Vanish:
    """Makes a shard unavailable although it is listed."""

    shard: int

    async def happen(self, world: World) -> None:
        shards = world.server.stream.shards
        if name := _pick(sorted(world.listed() & set(shards)), self.shard):
            shards[name].gone = True


@dataclass(frozen=True)
class Return:
    """Makes all shards available again."""

    async def happen(self, world: World) -> None:
        for shard in world.server.stream.shards.values():
            shard.gone = False


@dataclass(frozen=True)
class TurnOff:
    async def happen(self, world: World) -> None:
        world.server.stream.end()
        world.server.table.stream_on = False


@dataclass(frozen=True)
class TurnOn:
    """Creates a new stream with other shards; `same`: with the label of the previous one."""

    shards: int
    same: bool

    async def happen(self, world: World) -> None:
        server = world.server
        server.stream.end()
        names = (f"n{len(world.made)}{letter}" for letter in "xyz"[: self.shards])
        server.recreate_stream(*names, label=server.stream.label if self.same else "")
        world.made.append(server.stream)


@dataclass(frozen=True)
class Outage:
    """Lasts longer than an iterator lives."""

    async def happen(self, world: World) -> None:
        world.server.pass_time(LIFE + 1)


@dataclass(frozen=True)
class Pages:
    """Sets the number of records and of shards on a page."""

    records: int
    shards: int

    async def happen(self, world: World) -> None:
        world.server.limits.records, world.server.limits.shards = self.records, self.shards


@dataclass(frozen=True)
class Fail:
    """Injects faults into the next calls, for one shard or for all ("")."""

    operation: str
    misfortune: Misfortune
    times: int
    shard: str = ""

    async def happen(self, world: World) -> None:
        world.server.fail(self.operation, self.misfortune, shard=self.shard, times=self.times)


@dataclass(frozen=True)
class Lead:
    """Another leader takes over."""

    async def happen(self, world: World) -> None:
        await world.lead()


Action = (
    Delete | Burst | Split | Merge | Show | Trim | Vanish | Return | TurnOff | TurnOn | Outage | Pages | Fail | Lead
)


@dataclass(frozen=True)
class Step:
    """After `after` seconds, performs `action` and then writes the items of `keys`."""

    after: float
    action: Action
    keys: tuple[int, ...]

    async def happen(self, world: World) -> None:
        await asyncio.sleep(self.after)
        await self.action.happen(world)
        for key in self.keys:
            world.put(key)


@dataclass(frozen=True)
class Schedule:
    """`poll`: the consumer's interval in seconds."""

    shards: int
    poll: float
    latest_at_first_read: bool
    seed: int
    steps: tuple[Step, ...]


def _pick(names: list[str], which: int) -> str:
    return names[which % len(names)] if names else ""


_which = st.integers(0, 7)
_codes = st.sampled_from(
    [
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "InternalServerError",
        "ExpiredIteratorException",
        "ValidationException",
        "AccessDeniedException",
    ]
)
_misfortunes = st.one_of(
    st.builds(Refuse, _codes),
    st.sampled_from([Hang(), Slow(0.5), Slow(8), Cut(0), Cut(0.5), Body(""), Body("<html>no</html>", 503)]),
)
_faults = st.one_of(
    st.builds(
        Fail, st.sampled_from(["DescribeStream", "GetShardIterator", "GetRecords"]), _misfortunes, st.integers(1, 8)
    ),
    st.builds(Fail, st.just("GetRecords"), st.just(Empty()), st.integers(1, 8)),
    st.builds(Fail, st.just("DescribeTable"), _misfortunes, st.integers(1, 3)),
)
_topology = st.one_of(
    st.builds(Split, _which, st.integers(1, 2), st.booleans()),
    st.builds(Merge, _which, st.booleans()),
    st.just(Show()),
    st.builds(Vanish, _which),
    st.just(Return()),
    st.builds(Trim, _which),
)
_stream = st.one_of(
    st.builds(TurnOn, st.integers(1, 3), st.booleans()),
    st.just(TurnOff()),
    st.just(Outage()),
    st.just(Lead()),
    st.builds(Pages, st.integers(1, 5), st.integers(1, 3)),
)
_writes = st.one_of(st.builds(Delete, _which), st.builds(Burst, st.integers(1, 15)))
_pauses = st.sampled_from([0.0, 0.003, 0.1, 0.3, 1.0, 5.0, 33.0])
_steps = st.builds(
    Step,
    _pauses,
    st.one_of(_writes, _topology, _topology, _faults, _stream),
    st.lists(_which, max_size=3).map(tuple),
)

schedules = st.builds(
    Schedule,
    shards=st.integers(1, 3),
    poll=st.sampled_from([2.0, 2.0, 1.0, 0.2]),
    latest_at_first_read=st.booleans(),
    seed=st.integers(0, 3),
    steps=st.lists(_steps, min_size=6, max_size=25).map(tuple),
)
