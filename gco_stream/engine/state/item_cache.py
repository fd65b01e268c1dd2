"""Cache of the table's items as last read, small enough to hold the whole table in memory.

Each item is kept as compressed bytes with two digests. Its model is built when a worker needs it.

A stream record or a later scan never changes the cached desired state, because it may be older than the cached item,
and an outdated desired_state=deleted would delete pods. If it differs, the item is marked stale, and a worker reads the
item with a consistent read before it acts.
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

from gco_stream.engine.state.ingress_paths import IngressPaths
from gco_stream.model.item.endpoint import Endpoint, InvalidItem, RegionState, read_endpoint
from gco_stream.model.wire import WireItem
from gco_stream.ops.metrics import ELSEWHERE, UNREPORTED

_KEY = "endpoint_name"
_NOT_DESIRED_STATE = frozenset({"region_status", "updated_at"})
_DIGEST_BYTES = 16
# Number of cached models. It is about the number of items in flight, because a model can take megabytes.
_DECOMPRESSED = 16
_STATES = {str(state): str(state) for state in RegionState}
# Matches the type tags B and BS but not attributes with these names, because the value of an attribute is an object.
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
    """The cached items by name, each with an optional stale mark. `paths`: the index of their ingress paths."""

    def __init__(self, region: str) -> None:
        self.paths = IngressPaths()
        self._region = region
        self._states: Counter[str] = Counter()
        self._entries: dict[str, _Entry] = {}
        self._stale: dict[str, int] = {}
        self._stale_counter = 0
        # A reconcile reads its item several times. Models are cached by the item's bytes, so they are never outdated.
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
        self.paths.put(item)

    def remove(self, name: str) -> None:
        """Removes an item that a consistent read of the home table did not find."""
        before = self._entries.pop(name, None)
        self.paths.remove(name)
        if before is not None:
            self._states[before.state] -= 1

    def get(self, name: str) -> Endpoint | InvalidItem | None:
        """Returns the model of the item as last read, or None if it is not cached."""
        entry = self._entries.get(name)
        return None if entry is None else self._read(entry.blob)

    def wire(self, name: str) -> WireItem | None:
        """Returns the item as last read, in wire form, or None if it is not cached."""
        entry = self._entries.get(name)
        return None if entry is None else _wire(entry.blob)

    def item_digest(self, name: str) -> bytes | None:
        """Returns a digest of the whole item, which changes with any attribute, or None if it is not cached."""
        entry = self._entries.get(name)
        return None if entry is None else entry.item_digest

    def mark_stale(self, name: str) -> None:
        """Marks the cached item as stale: it must be read from the table before a worker acts on it."""
        self._stale_counter += 1
        self._stale[name] = self._stale_counter

    def stale_mark(self, name: str) -> int | None:
        """Returns the item's stale mark, to be passed to `clear_stale` after a read, or None if it is not stale."""
        return self._stale.get(name)

    def clear_stale(self, name: str, mark: int) -> None:
        """Clears the stale mark after the item was read, unless the item was marked again since `mark`."""
        if self._stale.get(name) == mark:
            del self._stale[name]

    def observe_record(self, name: str, image: WireItem | None) -> ChangeKind:
        """Compares the new image of a stream record (None if it has none) with the cached item.

        If more than the status differs, the item is marked stale. If only the status differs, the entries of other
        regions are copied to the cache. This region's entry is kept, because the responses to its own writes are newer.
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
        """Compares a scanned item with the cached one without changing the cache, which may be newer than the scan."""
        entry = self._entries.get(item[_KEY]["S"])
        if entry is None or entry.desired_digest != _desired_part(item):
            return ChangeKind.CHANGED
        blob = orjson.dumps(item, option=orjson.OPT_SORT_KEYS, default=_binary)
        return ChangeKind.UNCHANGED if _digest(blob) == entry.item_digest else ChangeKind.STATUS_ONLY

    @property
    def states(self) -> Mapping[str, int]:
        """Number of items by the state that this region reports (see ops.metrics.ENDPOINT_STATES)."""
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
    # The controller uses no binary values, but a spec may contain some, and conditional writes compare the whole spec.
    if isinstance(value, bytes | bytearray):
        return value.hex()
    raise TypeError(f"not an attribute value: {type(value).__name__}")


def _restored(value: Any) -> Any:
    """Returns a cached attribute value with its binary content converted back from hexadecimal text."""
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
