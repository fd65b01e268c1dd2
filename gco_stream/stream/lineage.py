"""Which shards to read, and from when: the shards of a stream form a forest, and a parent comes before its children.

Pure: a Lineage is a value, each step makes the next one and says which shards to begin with. Reading, clocks and calls
are elsewhere, so that every order in which a stream can be seen to grow is tried by value.

A shard that was closed before we looked is history: what it held is in the table's scan. Whatever appears later is
read from its beginning, whether its parent has ended, is history, or has been trimmed from the list. So nothing depends
on when a shard is first listed, or in which order.

A child waits for a parent that is known. One whose parent no list has shown since the pin is read at once, for nobody
can tell a parent that is still to be listed from one that was trimmed; if it is listed later, it is read whole then.
DynamoDB lists a shard as long as it holds records, so this is for a list that lags, and costs order alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, Self

# An ended shard that is not listed is forgotten, but not at once: were it only missing from one answer, it would come
# back as a new one and be read again.
_MAX_UNLISTED: Final = 10


class ShardIteratorType(StrEnum):
    """Where reading begins; DynamoDB's own words."""

    LATEST = "LATEST"
    TRIM_HORIZON = "TRIM_HORIZON"


class ShardState(Enum):
    """What has become of a shard."""

    WAITING = "waiting"
    """For its parent's end."""
    READING = "reading"
    SHARD_END = "drained"
    """Read to its end, or history, or given up."""
    LOST = "lost"
    """Not found any more, though for all that is known it may be written to."""


_UNREAD: Final = frozenset({ShardState.WAITING, ShardState.READING})


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as DescribeStream lists it. `closed`: nothing more will be written to it."""

    id: str
    parent: str | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class ShardStart:
    """Begin to read a shard. `gap`: some of its records may be missed by that, so a resync is due once it is read."""

    shard_id: str
    iterator_type: ShardIteratorType
    gap: bool = False


@dataclass(frozen=True, slots=True)
class TrackedShard:
    """A shard and what has become of it; `unlisted` counts the listings in a row that lack it."""

    shard: Shard
    state: ShardState
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is known of a stream's shards, by id. Made by `pinned`; each step returns the next one."""

    shards: Mapping[str, TrackedShard] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def pinned(cls, listing: Iterable[Shard]) -> tuple[Self, tuple[ShardStart, ...]]:
        """The first look at a stream: what is open is read from now on.

        The pages of a listing are of different moments, so a parent may look open beside its child: then the child
        waits, and is read whole.
        """
        listed = {shard.id: shard for shard in listing}
        tracked = {}
        for shard in listed.values():
            if any(not ancestor.closed for ancestor in _ancestors(shard, listed)):
                state = ShardState.WAITING
            else:
                state = ShardState.SHARD_END if shard.closed else ShardState.READING
            tracked[shard.id] = TrackedShard(shard, state)
        starts = [
            ShardStart(id_, ShardIteratorType.LATEST)
            for id_, entry in tracked.items()
            if entry.state is ShardState.READING
        ]
        return cls(MappingProxyType(tracked)), tuple(starts)

    def listed(self, listing: Iterable[Shard], *, retry_lost: bool = False) -> tuple[Self, tuple[ShardStart, ...]]:
        """A later, complete listing. `retry_lost`: whether to try again what is lost.

        What was written to a lost shard until it closed is missed. So it is tried until it can be read or has ended,
        and then once more: that tells of a gap in any case.
        """
        listed = {shard.id: shard for shard in listing}
        tracked = {}
        for id_, entry in self.shards.items():
            if id_ in listed:
                # Closed is for good, even where an older answer comes late.
                shard = replace(listed[id_], closed=listed[id_].closed or entry.shard.closed)
                tracked[id_] = TrackedShard(shard, entry.state)
            elif entry.state in _UNREAD or entry.unlisted < _MAX_UNLISTED:
                tracked[id_] = replace(entry, unlisted=entry.unlisted + 1)
        for id_, shard in listed.items():
            tracked.setdefault(id_, TrackedShard(shard, ShardState.WAITING))
        starts = []
        if retry_lost:
            for id_, entry in tracked.items():
                if entry.state is ShardState.LOST:
                    tracked[id_] = replace(entry, state=ShardState.READING)
                    starts.append(ShardStart(id_, ShardIteratorType.LATEST, gap=True))
        return self._with_ready(tracked, starts)

    def ended(self, shard_id: str, *, lost: bool = False) -> tuple[Self, tuple[ShardStart, ...]]:
        """A shard that was read has come to its end; `lost`: before all of it was read."""
        tracked = dict(self.shards)
        entry = tracked[shard_id]
        is_finished = entry.shard.closed or entry.unlisted or shard_id in _parents(tracked)
        tracked[shard_id] = replace(entry, state=ShardState.LOST if lost and not is_finished else ShardState.SHARD_END)
        return self._with_ready(tracked, [])

    def childless(self) -> frozenset[str]:
        """Ended shards of which no child is known: it may not have been listed yet, or there may never be one."""
        parents = _parents(self.shards)
        return frozenset(id_ for id_, entry in self.shards.items() if entry.state not in _UNREAD and id_ not in parents)

    def _with_ready(
        self, tracked: dict[str, TrackedShard], starts: list[ShardStart]
    ) -> tuple[Self, tuple[ShardStart, ...]]:
        unread = {id_ for id_, entry in tracked.items() if entry.state in _UNREAD}
        for id_, entry in tracked.items():
            if entry.state is ShardState.WAITING and entry.shard.parent not in unread:
                tracked[id_] = replace(entry, state=ShardState.READING)
                starts.append(ShardStart(id_, ShardIteratorType.TRIM_HORIZON))
        return type(self)(MappingProxyType(tracked)), tuple(starts)


def _parents(tracked: Mapping[str, TrackedShard]) -> set[str | None]:
    return {entry.shard.parent for entry in tracked.values()}


def _ancestors(shard: Shard, listed: Mapping[str, Shard]) -> Iterable[Shard]:
    passed = {shard.id}
    while (parent := listed.get(shard.parent or "")) is not None and parent.id not in passed:
        yield parent
        passed.add(parent.id)
        shard = parent
