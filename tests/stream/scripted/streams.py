"""A stream: the changes of a table's partitions, in shards that form a forest.

Each open shard takes the keys of a range of hashes. A split divides the range between two children, a rollover passes
it to one child. A merge, which is neither documented nor impossible, passes two ranges to one child that names one of
its parents. Disabling the stream closes every shard; their records stay readable.
"""

import uuid
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.stream.scripted.shards import Numbers, Record, Shard, written

KEY: Final = "endpoint_name"
HASHES: Final = range(2**32)
# 2030-01-01, in seconds since 1970.
START: Final = 1_893_456_000.0
_NEW: Final = frozenset({"NEW_IMAGE", "NEW_AND_OLD_IMAGES"})
_OLD: Final = frozenset({"OLD_IMAGE", "NEW_AND_OLD_IMAGES"})

Item = Mapping[str, Any]


class Stream:
    """`status`: ENABLING, ENABLED, DISABLING or DISABLED. `shards`: by name, in order of creation.

    `now` is the server's clock, which starts at `START`.
    """

    def __init__(
        self,
        arn: str,
        view: str,
        *shards: str,
        numbers: Numbers,
        now: Callable[[], float],
    ) -> None:
        self.arn = arn
        self.label = arn.rpartition("/")[2]
        self.view = view
        self.status = "ENABLED"
        self.created = START + now()
        self.shards: dict[str, Shard] = {}
        self._numbers = numbers
        self._now = now
        width = len(HASHES) // len(shards)
        for number, name in enumerate(shards):
            end = HASHES.stop if number == len(shards) - 1 else (number + 1) * width
            self.open(name, keys=range(number * width, end))

    @property
    def open_shards(self) -> list[str]:
        return [name for name, shard in self.shards.items() if not shard.closed]

    def open(self, name: str, parent: str | None = None, *, keys: range = range(0), listed: bool = True) -> Shard:
        """Opens a new shard. One without `keys` only takes records that a script writes to it by name."""
        self.shards[name] = Shard(name, parent, self._now(), keys, self._numbers.last + 1, listed=listed)
        return self.shards[name]

    def split(self, parent: str, *children: str, listed: bool = True) -> None:
        """Closes a shard and passes its keys to one child (a rollover) or several."""
        shard = self.shards[parent]
        shard.closed = True
        width = -(-len(shard.keys) // max(1, len(children)))
        for number, child in enumerate(children):
            self.open(child, parent, keys=shard.keys[number * width : (number + 1) * width], listed=listed)

    def merge(self, parent: str, other: str, child: str, *, listed: bool = True) -> None:
        """Closes two shards with adjacent keys; the child names the first as its parent."""
        first, second = self.shards[parent], self.shards[other]
        first.closed = second.closed = True
        keys = range(min(first.keys.start, second.keys.start), max(first.keys.stop, second.keys.stop))
        self.open(child, parent, keys=keys, listed=listed)

    def end(self) -> None:
        """Disables the stream, or deletes its table: nothing more is written, existing records stay readable."""
        self.status = "DISABLED"
        for shard in self.shards.values():
            shard.closed = True

    def shard_of(self, name: str) -> str:
        """The shard that takes the changes of the item `name`."""
        place = zlib.crc32(name.encode())
        return next(id_ for id_, shard in self.shards.items() if not shard.closed and place in shard.keys)

    def write(
        self, name: str, old: Item | None = None, new: Item | None = None, *, shard: str = "", **parts: Any
    ) -> Record:
        """Writes a record for the change of an item from `old` to `new`; `parts` override its "dynamodb" fields."""
        number = self._numbers.draw()
        event = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        change: dict[str, Any] = {
            "ApproximateCreationDateTime": int(START + self._now()),
            "Keys": {KEY: {"S": name}},
            "SequenceNumber": written(number),
            "StreamViewType": self.view,
        }
        if new is not None and self.view in _NEW:
            change["NewImage"] = new
        if old is not None and self.view in _OLD:
            change["OldImage"] = old
        change["SizeBytes"] = sum(size_of(change.get(part, {})) for part in ("Keys", "NewImage", "OldImage"))
        change |= parts
        body = {
            "eventID": str(uuid.UUID(int=number)),
            "eventName": event,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": change,
        }
        record = Record(number, name, self._now(), change["SizeBytes"], body)
        self.shards[shard or self.shard_of(name)].records.append(record)
        return record


def size_of(value: Any) -> int:
    """Approximate bytes of an item or attribute value, as DynamoDB counts strings, numbers, maps and lists."""
    match value:
        case {"S": str(text)}:
            return len(text.encode())
        case {"N": str(digits)}:
            return len(digits) // 2 + 2
        case {"M": content} | {"L": content}:
            return 3 + size_of(content)
        case dict():
            return sum(len(name.encode()) + size_of(attribute) for name, attribute in value.items())
        case list():
            return sum(1 + size_of(element) for element in value)
        case _:
            return 1
