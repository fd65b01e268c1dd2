"""Stream records, and the shards that hold them.

A shard is a sequence of records, ordered by sequence number. It is open while the table's partition writes to it, and
is closed for good after some four hours at the latest. A closed shard stays readable for 24 hours after its last
record. The partition's next records go to its children: one after a rollover, two after a split.
"""

from dataclasses import dataclass, field
from typing import Any, Final

# DynamoDB rejects ids of fewer than 28 characters.
_ID: Final = "shardId-{:020d}-{}"
_BIRTH: Final = 1_795_000_000_000


def id_of(name: str) -> str:
    """The shard id on the wire for the short name that scripts use."""
    return _ID.format(_BIRTH, name)


def name_of(shard_id: str) -> str:
    """The inverse of `id_of`; a foreign id is returned unchanged."""
    return shard_id.removeprefix(id_of(""))


def written(number: int) -> str:
    """A sequence number on the wire. Numbers grow across the whole stream, with gaps within a shard."""
    return f"{number:021d}"


@dataclass(slots=True)
class Numbers:
    """Source of sequence numbers for all streams of a server. `last`: the last one that was used."""

    last: int = 0

    def draw(self) -> int:
        self.last += 1
        return self.last


@dataclass(frozen=True, slots=True)
class Record:
    """One change. `at`: the server's time in seconds; `body`: what GetRecords returns; `size`: bytes on a page."""

    number: int
    name: str
    at: float
    size: int
    body: dict[str, Any]


@dataclass(slots=True)
class Shard:
    """`born`: the server's time in seconds. `keys`: the hashes of the keys that it takes.

    `trimmed`: the number of oldest records that are gone. `listed`: whether DescribeStream shows the shard.
    `listed_closed`: whether DescribeStream shows it as closed, which lags behind. `gone`: requests for the shard fail
    as if it did not exist, even if it is listed.
    """

    name: str
    parent: str | None
    born: float
    keys: range
    starting: int
    records: list[Record] = field(default_factory=list)
    closed: bool = False
    trimmed: int = 0
    listed: bool = True
    listed_closed: bool = True
    gone: bool = False

    def described(self) -> dict[str, Any]:
        """The shard as shown by DescribeStream; an EndingSequenceNumber means that it is closed."""
        numbers = {"StartingSequenceNumber": written(self.starting)}
        if self.closed and self.listed_closed:
            numbers["EndingSequenceNumber"] = written(self.records[-1].number if self.records else self.starting)
        parent = {} if self.parent is None else {"ParentShardId": id_of(self.parent)}
        return {"ShardId": id_of(self.name), "SequenceNumberRange": numbers, **parent}
