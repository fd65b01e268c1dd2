"""Index of the items' ingress paths, and of the endpoints that wait for the path of another.

Paths under /inference are not in the index, because each of them is reserved for the endpoint with its name. Most items
have such a path, so the index is small.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gco_stream.model.item.field_types import is_ingress_path
from gco_stream.model.item.validation import is_reserved_path
from gco_stream.model.times import parse_time
from gco_stream.model.wire import WireItem
from gco_stream.planning.policies.ingress_paths import normalized


@dataclass(frozen=True, slots=True, order=True)
class _Claim:
    """The claim of an item to a path, in the order of creation. Items without a valid time come last."""

    is_undated: bool
    created: float
    name: str
    path: str


class IngressPaths:
    """The paths of all items, whatever their state, and the endpoint that each endpoint waits for."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}
        self._at: dict[str, set[str]] = {}
        self._below: dict[str, set[str]] = {}
        self._owners: dict[str, str] = {}
        self._waiters: dict[str, set[str]] = {}

    def put(self, item: WireItem) -> None:
        """Records the path of an item in wire form."""
        claim = _claim_of(item)
        name: str = item["endpoint_name"]["S"]
        if claim == self._claims.get(name):
            return
        self.remove(name)
        if claim is not None:
            self._claims[name] = claim
            _add(self._at, claim.path, name)
            for parent in _parents(claim.path):
                _add(self._below, parent, name)

    def remove(self, name: str) -> None:
        """Removes the path of an item."""
        claim = self._claims.pop(name, None)
        if claim is not None:
            _discard(self._at, claim.path, name)
            for parent in _parents(claim.path):
                _discard(self._below, parent, name)

    def overlapping(self, name: str) -> list[str]:
        """Returns the other items whose path overlaps the path of this one, in the order of creation."""
        claim = self._claims.get(name)
        if claim is None:
            return []
        found = {*self._at[claim.path], *self._below.get(claim.path, ())} - {name}
        for parent in _parents(claim.path):
            found |= self._at.get(parent, set())
        return sorted(found, key=self._claims.__getitem__)

    def is_older(self, one: str, other: str) -> bool:
        """Returns whether the first of two items in the index was created before the second one."""
        return self._claims[one] < self._claims[other]

    def set_owner(self, name: str, owner: str | None) -> None:
        """Records that the endpoint waits for the path of `owner`; None if it waits for none."""
        before = self._owners.pop(name, None)
        if before is not None:
            _discard(self._waiters, before, name)
        if owner is not None:
            self._owners[name] = owner
            _add(self._waiters, owner, name)

    def waiters_of(self, owner: str) -> tuple[str, ...]:
        """Returns the endpoints that wait for the path of this one."""
        return tuple(sorted(self._waiters.get(owner, ())))

    def __len__(self) -> int:
        return len(self._claims)


def _claim_of(item: WireItem) -> _Claim | None:
    path = item.get("ingress_path", {}).get("S", "")
    if not is_ingress_path(path) or is_reserved_path(path):
        return None
    created = parse_time(item.get("created_at", {}).get("S"))
    return _Claim(
        created is None, created.timestamp() if created else 0.0, item["endpoint_name"]["S"], normalized(path)
    )


def _parents(path: str) -> Iterator[str]:
    while parent := path.rpartition("/")[0]:
        yield parent
        path = parent


def _add(sets: dict[str, set[str]], key: str, name: str) -> None:
    sets.setdefault(key, set()).add(name)


def _discard(sets: dict[str, set[str]], key: str, name: str) -> None:
    sets[key].discard(name)
    if not sets[key]:
        del sets[key]
