"""Stream records, and the shards that hold them.

A shard is a run of records in the order of their sequence numbers. It is open while the table's partition writes to it
and closed for good afterwards, at the latest after some four hours; a closed shard stays readable for 24 hours after
its last record. What a partition writes next goes to the child: one child after a rollover, two after a split.
"""

from dataclasses import dataclass, field
from typing import Any, Final

# DynamoDB takes no id that is shorter than 28 characters.
_ID: Final = "shardId-{:020d}-{}"
_BIRTH: Final = 1_795_000_000_000


def id_of(name: str) -> str:
    """A shard's id on the wire; scripts call it by its short name."""
    return _ID.format(_BIRTH, name)


def name_of(shard_id: str) -> str:
    """The opposite of `id_of`; an id that is not of ours is returned as it is."""
    return shard_id.removeprefix(id_of(""))


def written(number: int) -> str:
    """A sequence number on the wire: digits that grow over the whole stream, not one by one in a shard."""
    return f"{number:021d}"


@dataclass(slots=True)
class Numbers:
    """Where sequence numbers are drawn from, for all streams of a server. `last`: the last one that was drawn."""

    last: int = 0

    def draw(self) -> int:
        self.last += 1
        return self.last


@dataclass(frozen=True, slots=True)
class Record:
    """One change, at the server's second `at`. `body` is what GetRecords shows, `size` its bytes of a page's."""

    number: int
    name: str
    at: float
    size: int
    body: dict[str, Any]


@dataclass(slots=True)
class Shard:
    """`born`: the server's second. `keys`: the hashes of the keys that it takes.

    `trimmed`: how many records, the oldest, are gone.
    `listed`: whether DescribeStream shows it, `listed_closed`: whether it shows that it is closed; it lags behind.
    `gone`: listed or not, whoever asks for it is told that there is no such shard.
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
        """As DescribeStream has it: an EndingSequenceNumber says that it is closed."""
        numbers = {"StartingSequenceNumber": written(self.starting)}
        if self.closed and self.listed_closed:
            numbers["EndingSequenceNumber"] = written(self.records[-1].number if self.records else self.starting)
        parent = {} if self.parent is None else {"ParentShardId": id_of(self.parent)}
        return {"ShardId": id_of(self.name), "SequenceNumberRange": numbers, **parent}
