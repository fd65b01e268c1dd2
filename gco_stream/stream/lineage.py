"""The shards of a stream as a forest, and which of them to read from where; parents come before their children.

A Lineage is an immutable value. Each step returns the next one and the shards to start reading. Reading, clocks and
calls are elsewhere, so that tests can cover every order in which a stream can be observed to grow.

A shard that was closed before the pin is history: the table scan covers its records. Every shard that appears later is
read from its beginning, whether its parent has ended, is history, or was trimmed from the list. The result therefore
does not depend on when, or in which order, shards are first listed.

A child waits for a known parent. If no list since the pin has shown the parent, the child is read at once, because a
parent that is listed late looks the same as one that was trimmed; if it is listed later, it is then read whole.
DynamoDB lists a shard as long as it holds records, so this only happens with a lagging list, and only affects the
order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, Self

# An ended shard that is not listed is not forgotten at once: if it were only missing from one response, it would later
# count as new and be read again.
_MAX_UNLISTED: Final = 10


class ShardIteratorType(StrEnum):
    """Position at which reading starts, in DynamoDB's terms."""

    LATEST = "LATEST"
    TRIM_HORIZON = "TRIM_HORIZON"


class ShardState(Enum):
    """State of a shard."""

    WAITING = "waiting"
    """Waits for the end of its parent."""
    READING = "reading"
    SHARD_END = "drained"
    """Read to its end, part of the history, or given up."""
    LOST = "lost"
    """No longer found, although it may still be written to."""


_UNREAD: Final = frozenset({ShardState.WAITING, ShardState.READING})


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as listed by DescribeStream. `closed`: nothing more will be written to it."""

    id: str
    parent: str | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class ShardStart:
    """A request to start reading a shard. `gap`: records may have been missed, so a resync is due once it is read."""

    shard_id: str
    iterator_type: ShardIteratorType
    gap: bool = False


@dataclass(frozen=True, slots=True)
class TrackedShard:
    """A shard and its state; `unlisted` counts the consecutive listings without it."""

    shard: Shard
    state: ShardState
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Lineage:
    """The known shards of a stream, by id. Created by `pinned`; each step returns the next value."""

    shards: Mapping[str, TrackedShard] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def pinned(cls, listing: Iterable[Shard]) -> tuple[Self, tuple[ShardStart, ...]]:
        """Starts from the first listing of a stream: open shards are read from now on.

        The pages of a listing are read at different times, so a parent may look open although its child is listed. The
        child then waits, and is read whole.
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
        """Applies a later, complete listing. `retry_lost`: whether to retry lost shards.

        Records written to a lost shard until it closed are missed. It is therefore retried until it can be read or has
        ended, and then once more: that attempt reports a gap in any case.
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
        if retry_lost:
            for id_, entry in tracked.items():
                if entry.state is ShardState.LOST:
                    tracked[id_] = replace(entry, state=ShardState.READING)
                    starts.append(ShardStart(id_, ShardIteratorType.LATEST, gap=True))
        return self._with_ready(tracked, starts)

    def ended(self, shard_id: str, *, lost: bool = False) -> tuple[Self, tuple[ShardStart, ...]]:
        """Marks a shard that was being read as ended; `lost`: before all of it was read."""
        tracked = dict(self.shards)
        entry = tracked[shard_id]
        is_finished = entry.shard.closed or entry.unlisted or shard_id in _parents(tracked)
        tracked[shard_id] = replace(entry, state=ShardState.LOST if lost and not is_finished else ShardState.SHARD_END)
        return self._with_ready(tracked, [])

    def childless(self) -> frozenset[str]:
        """Ended shards without a known child, which may not be listed yet or may never exist."""
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
