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
_LISTINGS_REMEMBERED: Final = 10


class Begin(StrEnum):
    """Where reading begins; DynamoDB's own words."""

    LATEST = "LATEST"
    TRIM_HORIZON = "TRIM_HORIZON"


class State(Enum):
    """What has become of a shard."""

    WAITING = "waiting"
    """For its parent's end."""
    READING = "reading"
    DRAINED = "drained"
    """Read to its end, or history, or given up."""
    LOST = "lost"
    """Not found any more, though for all that is known it may be written to."""


_UNREAD: Final = frozenset({State.WAITING, State.READING})


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as DescribeStream lists it. `closed`: nothing more will be written to it."""

    id: str
    parent: str | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Begin to read a shard. `gap`: some of its records may be missed by that, so a resync is due once it is read."""

    shard_id: str
    begin: Begin
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A shard and what has become of it; `unlisted` counts the listings in a row that lack it."""

    shard: Shard
    state: State
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is known of a stream's shards, by id. Made by `pinned`; each step returns the next one."""

    shards: Mapping[str, Known] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def pinned(cls, listing: Iterable[Shard]) -> tuple[Self, tuple[Start, ...]]:
        """The first look at a stream: what is open is read from now on.

        The pages of a listing are of different moments, so a parent may look open beside its child: then the child
        waits, and is read whole.
        """
        listed = {shard.id: shard for shard in listing}
        known = {}
        for shard in listed.values():
            if any(not ancestor.closed for ancestor in _ancestors(shard, listed)):
                state = State.WAITING
            else:
                state = State.DRAINED if shard.closed else State.READING
            known[shard.id] = Known(shard, state)
        starts = [Start(id_, Begin.LATEST) for id_, entry in known.items() if entry.state is State.READING]
        return cls(MappingProxyType(known)), tuple(starts)

    def listed(self, listing: Iterable[Shard], *, retry_lost: bool = False) -> tuple[Self, tuple[Start, ...]]:
        """A later, complete listing. `retry_lost`: whether to try again what is lost.

        What was written to a lost shard until it closed is missed. So it is tried until it can be read or has ended,
        and then once more: that tells of a gap in any case.
        """
        seen = {shard.id: shard for shard in listing}
        known = {}
        for id_, entry in self.shards.items():
            if id_ in seen:
                # Closed is for good, even where an older answer comes late.
                shard = replace(seen[id_], closed=seen[id_].closed or entry.shard.closed)
                known[id_] = Known(shard, entry.state)
            elif entry.state in _UNREAD or entry.unlisted < _LISTINGS_REMEMBERED:
                known[id_] = replace(entry, unlisted=entry.unlisted + 1)
        for id_, shard in seen.items():
            known.setdefault(id_, Known(shard, State.WAITING))
        starts = []
        if retry_lost:
            for id_, entry in known.items():
                if entry.state is State.LOST:
                    known[id_] = replace(entry, state=State.READING)
                    starts.append(Start(id_, Begin.LATEST, gap=True))
        return self._with_ready(known, starts)

    def ended(self, shard_id: str, *, lost: bool = False) -> tuple[Self, tuple[Start, ...]]:
        """A shard that was read has come to its end; `lost`: before all of it was read."""
        known = dict(self.shards)
        entry = known[shard_id]
        over = entry.shard.closed or entry.unlisted or shard_id in _parents(known)
        known[shard_id] = replace(entry, state=State.LOST if lost and not over else State.DRAINED)
        return self._with_ready(known, [])

    def childless(self) -> frozenset[str]:
        """Ended shards of which no child is known: it may not have been listed yet, or there may never be one."""
        parents = _parents(self.shards)
        return frozenset(id_ for id_, entry in self.shards.items() if entry.state not in _UNREAD and id_ not in parents)

    def _with_ready(self, known: dict[str, Known], starts: list[Start]) -> tuple[Self, tuple[Start, ...]]:
        unread = {id_ for id_, entry in known.items() if entry.state in _UNREAD}
        for id_, entry in known.items():
            if entry.state is State.WAITING and entry.shard.parent not in unread:
                known[id_] = replace(entry, state=State.READING)
                starts.append(Start(id_, Begin.TRIM_HORIZON))
        return type(self)(MappingProxyType(known)), tuple(starts)


def _parents(known: Mapping[str, Known]) -> set[str | None]:
    return {entry.shard.parent for entry in known.values()}


def _ancestors(shard: Shard, listed: Mapping[str, Shard]) -> Iterable[Shard]:
    passed = {shard.id}
    while (parent := listed.get(shard.parent or "")) is not None and parent.id not in passed:
        yield parent
        passed.add(parent.id)
        shard = parent
