"""What every item of the table asks for, as last read: small enough to hold the whole table in memory.

An item is kept as compressed bytes with two digests; the model is made when a worker needs it. A stream record or a
later scan is only a hint: where it differs from what is known, the name is stale, and a worker reads the item
itself, consistently, before it acts. A record may be older than what was read, and an old desired_state=deleted would
delete pods.
"""

import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import orjson

from gco_stream.model.endpoint import Endpoint, InvalidItem, RegionState, read_endpoint
from gco_stream.model.wire import WireItem
from gco_stream.ops.metrics import ELSEWHERE, UNREPORTED

_KEY = "endpoint_name"
_NOT_DESIRED_STATE = frozenset({"region_status", "updated_at"})
_DIGEST_BYTES = 16
# Models that are kept: about as many as are worked on at once, since one of 400 KB takes megabytes.
_DECOMPRESSED = 16
_STATES = {str(state): str(state) for state in RegionState}
# An attribute that is called B or BS has a map behind it, so these are types.
_HAS_BINARY = re.compile(rb'"B":"|"BS":\[')


class ChangeKind(Enum):
    """What a record or a scanned item says about a name."""

    UNCHANGED = "nothing new"
    STATUS_ONLY = "only status"
    CHANGED = "changed"


@dataclass(slots=True)
class _Entry:
    blob: bytes
    item_digest: bytes
    desired_digest: bytes
    state: str


class ItemCache:
    """The items by name. Bounded by the table: one entry an item, and one stale mark a name that was hinted at."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._states: Counter[str] = Counter()
        self._entries: dict[str, _Entry] = {}
        self._stale: dict[str, int] = {}
        self._stale_counter = 0
        # A reconcile looks at its item several times, and each is the same as long as the bytes are.
        self._read = lru_cache(maxsize=_DECOMPRESSED)(_read)

    def put(self, item: WireItem) -> None:
        """An item as just read from the home table, or returned by a write to it."""
        name = item[_KEY]["S"]
        blob = orjson.dumps(item, option=orjson.OPT_SORT_KEYS, default=_binary)
        before, state = self._entries.get(name), _state(item, self._region)
        if before is not None:
            self._states[before.state] -= 1
        self._states[state] += 1
        self._entries[name] = _Entry(zlib.compress(blob, 1), _digest(blob), _desired_part(item), state)

    def remove(self, name: str) -> None:
        """The item is gone: a consistent read of the home table did not find it."""
        before = self._entries.pop(name, None)
        if before is not None:
            self._states[before.state] -= 1

    def get(self, name: str) -> Endpoint | InvalidItem | None:
        """The endpoint as last read, None where there is none."""
        entry = self._entries.get(name)
        return None if entry is None else self._read(entry.blob)

    def wire(self, name: str) -> WireItem | None:
        """The item as last read, in wire form."""
        entry = self._entries.get(name)
        return None if entry is None else _wire(entry.blob)

    def item_digest(self, name: str) -> bytes | None:
        """A digest of the whole item, None where there is none: changes with any attribute."""
        entry = self._entries.get(name)
        return None if entry is None else entry.item_digest

    def mark_stale(self, name: str) -> None:
        """The item must be read before anything is done about it."""
        self._stale_counter += 1
        self._stale[name] = self._stale_counter

    def stale_mark(self, name: str) -> int | None:
        """The newest mark, None where the item may be used as it is known. Take it before reading the item."""
        return self._stale.get(name)

    def clear_stale(self, name: str, mark: int) -> None:
        """The item was read after this mark was made; a newer mark stays."""
        if self._stale.get(name) == mark:
            del self._stale[name]

    def observe_record(self, name: str, image: WireItem | None) -> ChangeKind:
        """A stream record's new image (None: it has none, or the item was removed).

        Only status: the other regions' entries are taken over, this region's own is known better from its writes.
        """
        entry = self._entries.get(name)
        if image is None or entry is None or name in self._stale or _desired_part(image) != entry.desired_digest:
            self.mark_stale(name)
            return ChangeKind.CHANGED
        if _digest(orjson.dumps(image, option=orjson.OPT_SORT_KEYS, default=_binary)) == entry.item_digest:
            return ChangeKind.UNCHANGED
        if (known := self.wire(name)) is not None:
            self.put(_with_status_of_other_regions(known, image, self._region))
        return ChangeKind.STATUS_ONLY

    def compare(self, item: WireItem) -> ChangeKind:
        """A scanned item against what is known. It changes nothing: a page may be older than a write's answer."""
        entry = self._entries.get(item[_KEY]["S"])
        if entry is None or entry.desired_digest != _desired_part(item):
            return ChangeKind.CHANGED
        blob = orjson.dumps(item, option=orjson.OPT_SORT_KEYS, default=_binary)
        return ChangeKind.UNCHANGED if _digest(blob) == entry.item_digest else ChangeKind.STATUS_ONLY

    @property
    def states(self) -> Mapping[str, int]:
        """How many items are in each state that this region reports (see ops.metrics.ENDPOINT_STATES)."""
        return self._states

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)


def _wire(compressed: bytes) -> WireItem:
    blob = zlib.decompress(compressed)
    item: WireItem = orjson.loads(blob)
    return {name: _restored(value) for name, value in item.items()} if _HAS_BINARY.search(blob) else item


def _read(compressed: bytes) -> Endpoint | InvalidItem:
    return read_endpoint(_wire(compressed))


def _state(item: WireItem, region: str) -> str:
    status = item.get("region_status", {}).get("M", {})
    told = status.get(region, {}).get("M", {}).get("state", {}).get("S")
    if told is not None:
        # Whatever is stored there: somebody else's word for a state is none of ours.
        return _STATES.get(told, UNREPORTED)
    regions = item.get("target_regions", {})
    here = region in regions.get("SS", ()) or {"S": region} in regions.get("L", ())
    return UNREPORTED if here else ELSEWHERE


def _desired_part(item: Mapping[str, Any]) -> bytes:
    desired = {name: value for name, value in item.items() if name not in _NOT_DESIRED_STATE}
    return _digest(orjson.dumps(desired, option=orjson.OPT_SORT_KEYS, default=_binary))


def _digest(blob: bytes) -> bytes:
    return hashlib.blake2b(blob, digest_size=_DIGEST_BYTES).digest()


def _binary(value: object) -> str:
    # Binary attributes mean nothing here, but writes are conditional on attributes of any type.
    if isinstance(value, bytes | bytearray):
        return value.hex()
    raise TypeError(f"not a value of an item: {type(value).__name__}")


def _restored(value: Any) -> Any:
    """An attribute value of a kept item with its binary content as it was read."""
    match next(iter(value.items())):
        case "B", str() as content:
            return {"B": bytes.fromhex(content)}
        case "BS", list() as contents:
            return {"BS": [bytes.fromhex(content) for content in contents]}
        case "L", inner:
            return {"L": [_restored(one) for one in inner]}
        case "M", inner:
            return {"M": {name: _restored(one) for name, one in inner.items()}}
    return value


def _with_status_of_other_regions(known: WireItem, image: WireItem, region: str) -> WireItem:
    own = known.get("region_status", {}).get("M", {}).get(region)
    status = {**image.get("region_status", {}).get("M", {})}
    status.pop(region, None)
    if own is not None:
        status[region] = own
    return {**image, "region_status": {"M": status}}
