"""Cache of the table's items as last read, small enough to hold the whole table in memory.

Each item is kept as compressed bytes with two digests; its model is built when a worker needs it. A stream record or a
later scan only signals a change: if it differs from the cached item, the name is marked stale, and a worker reads the
item with a consistent read before it acts. A record may be older than the cached item, and an outdated
desired_state=deleted would delete pods.
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
# Number of cached models: about as many as are in flight, because the model of a 400 KB item takes megabytes.
_DECOMPRESSED = 16
_STATES = {str(state): str(state) for state in RegionState}
# The value of an attribute named B or BS is an object, so these patterns match type tags only.
_HAS_BINARY = re.compile(rb'"B":"|"BS":\[')


class ChangeKind(Enum):
    """How a stream record or a scanned item differs from the cached item."""

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
    """The items by name. Bounded by the table: one entry per item, and one stale mark per name."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._states: Counter[str] = Counter()
        self._entries: dict[str, _Entry] = {}
        self._stale: dict[str, int] = {}
        self._stale_counter = 0
        # A reconcile reads its item several times, and equal bytes give equal models.
        self._read = lru_cache(maxsize=_DECOMPRESSED)(_read)

    def put(self, item: WireItem) -> None:
        """Stores an item that was just read from the home table or returned by a write to it."""
        name = item[_KEY]["S"]
        blob = orjson.dumps(item, option=orjson.OPT_SORT_KEYS, default=_binary)
        before, state = self._entries.get(name), _state(item, self._region)
        if before is not None:
            self._states[before.state] -= 1
        self._states[state] += 1
        self._entries[name] = _Entry(zlib.compress(blob, 1), _digest(blob), _desired_part(item), state)

    def remove(self, name: str) -> None:
        """Removes an item that a consistent read of the home table did not find."""
        before = self._entries.pop(name, None)
        if before is not None:
            self._states[before.state] -= 1

    def get(self, name: str) -> Endpoint | InvalidItem | None:
        """Returns the endpoint as last read, or None if there is none."""
        entry = self._entries.get(name)
        return None if entry is None else self._read(entry.blob)

    def wire(self, name: str) -> WireItem | None:
        """Returns the item as last read in wire form, or None if there is none."""
        entry = self._entries.get(name)
        return None if entry is None else _wire(entry.blob)

    def item_digest(self, name: str) -> bytes | None:
        """Returns a digest of the whole item, which changes with any attribute, or None if there is no item."""
        entry = self._entries.get(name)
        return None if entry is None else entry.item_digest

    def mark_stale(self, name: str) -> None:
        """Marks the cached item as stale: it must be read before the next action on it."""
        self._stale_counter += 1
        self._stale[name] = self._stale_counter

    def stale_mark(self, name: str) -> int | None:
        """Returns the newest stale mark, or None if the cached item may be used. Call it before reading the item."""
        return self._stale.get(name)

    def clear_stale(self, name: str, mark: int) -> None:
        """Clears this mark after the item was read. A newer mark stays."""
        if self._stale.get(name) == mark:
            del self._stale[name]

    def observe_record(self, name: str, image: WireItem | None) -> ChangeKind:
        """Compares a stream record's new image with the cached item (None: no image, or the item was removed).

        If only the status differs, the other regions' entries are copied to the cache. This region's own entry is kept,
        because the responses to its writes are newer.
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
        """Compares a scanned item with the cached one. Changes nothing: a page may be older than a write's response."""
        entry = self._entries.get(item[_KEY]["S"])
        if entry is None or entry.desired_digest != _desired_part(item):
            return ChangeKind.CHANGED
        blob = orjson.dumps(item, option=orjson.OPT_SORT_KEYS, default=_binary)
        return ChangeKind.UNCHANGED if _digest(blob) == entry.item_digest else ChangeKind.STATUS_ONLY

    @property
    def states(self) -> Mapping[str, int]:
        """Number of items per state that this region reports (see ops.metrics.ENDPOINT_STATES)."""
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
    state = status.get(region, {}).get("M", {}).get("state", {}).get("S")
    if state is not None:
        # The attribute can hold any text; unknown states count as unreported.
        return _STATES.get(state, UNREPORTED)
    regions = item.get("target_regions", {})
    here = region in regions.get("SS", ()) or {"S": region} in regions.get("L", ())
    return UNREPORTED if here else ELSEWHERE


def _desired_part(item: Mapping[str, Any]) -> bytes:
    desired = {name: value for name, value in item.items() if name not in _NOT_DESIRED_STATE}
    return _digest(orjson.dumps(desired, option=orjson.OPT_SORT_KEYS, default=_binary))


def _digest(blob: bytes) -> bytes:
    return hashlib.blake2b(blob, digest_size=_DIGEST_BYTES).digest()


def _binary(value: object) -> str:
    # Binary attributes are not interpreted here, but writes are conditional on attributes of any type.
    if isinstance(value, bytes | bytearray):
        return value.hex()
    raise TypeError(f"not an attribute value: {type(value).__name__}")


def _restored(value: Any) -> Any:
    """Returns an attribute value of a cached item with its binary content as it was read."""
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
