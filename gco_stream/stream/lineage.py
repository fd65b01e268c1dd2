"""Decides which shards of a stream to read, from which position, and in which order: parents before their children.

A Lineage is immutable. Its methods return the next Lineage and the shards to start reading. This module makes no calls
and uses no clock, so tests can cover every order in which shards may be listed.

A shard that was closed before the pin is not read, because the table scan covers its records. Every shard that is first
listed after the pin is read from its beginning, regardless of the state of its parent. The result therefore does not
depend on when, or in which order, shards are first listed.

A child waits until its parent has been read. If the parent has not been listed since the pin, the child is read at
once, because the parent may have been trimmed. If the parent is listed later, it is also read from its beginning.
DynamoDB lists a shard as long as it holds records, so this happens only if a listing lags, and only affects the order
of records.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, Self

# Number of consecutive listings that may omit an ended shard before it is forgotten. A shard that is missing from only
# one listing would otherwise count as new when it reappears, and be read again.
_MAX_UNLISTED: Final = 10


class ShardIteratorType(StrEnum):
    """Position at which reading of a shard starts. The values are those of GetShardIterator."""

    LATEST = "LATEST"
    TRIM_HORIZON = "TRIM_HORIZON"


class ShardState(Enum):
    """Progress of reading a shard."""

    WAITING = "waiting"
    """Not read yet, because its parent has not been read to its end."""
    READING = "reading"
    SHARD_END = "drained"
    """Read to its end, closed before the pin, or lost for good."""
    LOST = "lost"
    """Not readable before its end was reached, although it may still receive records."""


_UNREAD: Final = frozenset({ShardState.WAITING, ShardState.READING})


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as listed by DescribeStream. `closed`: it receives no more records."""

    id: str
    parent: str | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class ShardStart:
    """A request to start reading a shard. `gap`: records may have been missed, so the first read must report a gap."""

    shard_id: str
    iterator_type: ShardIteratorType
    gap: bool = False


@dataclass(frozen=True, slots=True)
class TrackedShard:
    """A shard and its state. `unlisted` is the number of consecutive listings that omitted it."""

    shard: Shard
    state: ShardState
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Lineage:
    """The known shards of a stream, by shard id."""

    shards: Mapping[str, TrackedShard] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def pinned(cls, listing: Iterable[Shard]) -> tuple[Self, tuple[ShardStart, ...]]:
        """Returns the lineage for the first listing of a stream. Open shards are read from LATEST.

        The pages of a listing are read at different times, so a parent may appear open although its child is listed.
        The child then waits for its parent and is read from its beginning.
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

    def listed(
        self, listing: Iterable[Shard], *, retry_lost: bool = False, retry_open: bool = False
    ) -> tuple[Self, tuple[ShardStart, ...]]:
        """Applies a later, complete listing. `retry_lost`: start reading lost shards again.

        A lost shard may still receive records. It is therefore retried until it can be read, or until it fails again
        after it is known to have ended. Either outcome reports a gap. `retry_open`: retry only lost shards that have
        not ended according to the listing.
        """
        listed = {shard.id: shard for shard in listing}
        tracked = {}
        for id_, entry in self.shards.items():
            if id_ in listed:
                # A closed shard stays closed, even if an older response arrives late.
                shard = replace(listed[id_], closed=listed[id_].closed or entry.shard.closed)
                tracked[id_] = TrackedShard(shard, entry.state)
            elif entry.state in _UNREAD or entry.unlisted < _MAX_UNLISTED:
                tracked[id_] = replace(entry, unlisted=entry.unlisted + 1)
        for id_, shard in listed.items():
            tracked.setdefault(id_, TrackedShard(shard, ShardState.WAITING))
        starts = []
        if retry_lost or retry_open:
            parents = _parents(tracked)
            for id_, entry in tracked.items():
                has_ended = entry.shard.closed or id_ in parents
                if entry.state is ShardState.LOST and (retry_lost or not has_ended):
                    tracked[id_] = replace(entry, state=ShardState.READING)
                    starts.append(ShardStart(id_, ShardIteratorType.LATEST, gap=True))
        return self._with_ready(tracked, starts)

    def ended(self, shard_id: str, *, lost: bool = False) -> tuple[Self, tuple[ShardStart, ...]]:
        """Applies the end of reading a shard. `lost`: the shard became unreadable before its end was reached."""
        tracked = dict(self.shards)
        entry = tracked[shard_id]
        is_finished = entry.shard.closed or entry.unlisted or shard_id in _parents(tracked)
        tracked[shard_id] = replace(entry, state=ShardState.LOST if lost and not is_finished else ShardState.SHARD_END)
        return self._with_ready(tracked, [])

    def childless(self) -> frozenset[str]:
        """Returns the ids of ended or lost shards without a known child. A child may be listed later, or not exist."""
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
