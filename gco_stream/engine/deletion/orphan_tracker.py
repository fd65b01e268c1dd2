"""The evidence that an endpoint's item is gone from the table: two complete scans in a row that lack it.

A record of its removal in the stream counts as one of them. A scan that failed or was cut counts for nothing; an empty
one is no proof of anything and makes all evidence begin anew. Whoever acts on it reads the item once more.
"""

import asyncio
from collections.abc import Set
from enum import Enum
from typing import Final

from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.model.objects import Observed
from gco_stream.planning.lifecycle.orphaned import removable
from gco_stream.planning.types.policy import Policy

_REQUIRED_SCANS: Final = 2
# Names looked at before the loop gets its turn.
_SLICE: Final = 50


class OrphanEvidence(Enum):
    """What is known of an endpoint that has no item."""

    INSUFFICIENT = "seen to be missing once at most"
    PROVEN = "the table has no such item"
    TABLE_EMPTY = "the table has no item at all"


def synced_objects(cache: ClusterCache, name: str) -> Observed:
    """What stands of an endpoint in the namespaces that can be read."""
    unsynced = cache.unsynced
    return Observed({ref: obj for ref, obj in cache.observed(name).objects.items() if ref.namespace not in unsynced})


class OrphanTracker:
    """Counts for each name how often in a row the table has lacked it.

    Bounded by the names in the cluster: nothing is kept of a name of which nothing stands that might be removed.
    """

    def __init__(self, cache: ClusterCache, policy: Policy) -> None:
        self._cache = cache
        self._policy = policy
        self._missing_scans: dict[str, int] = {}
        self._removed_during_scan: set[str] = set()
        self._table_empty = False

    @property
    def names(self) -> frozenset[str]:
        """Names of which something stands and that the table was seen to lack."""
        return frozenset(self._missing_scans)

    def observed(self, name: str) -> Observed:
        """What stands of the endpoint, as far as it is known for certain."""
        return synced_objects(self._cache, name)

    def evidence(self, name: str) -> OrphanEvidence:
        """What is known of an endpoint without an item."""
        if self._table_empty:
            return OrphanEvidence.TABLE_EMPTY
        return (
            OrphanEvidence.PROVEN
            if self._missing_scans.get(name, 0) >= _REQUIRED_SCANS
            else OrphanEvidence.INSUFFICIENT
        )

    def item_seen(self, name: str) -> None:
        """The table has an item of this name."""
        self._table_empty = False
        self._missing_scans.pop(name, None)

    def item_removed(self, name: str) -> bool:
        """The stream tells that the item was removed; whether something stands of it that a scan should ask about."""
        if not self._has_objects(name):
            return False
        self._missing_scans[name] = min(_REQUIRED_SCANS, self._missing_scans.get(name, 0) + 1)
        self._removed_during_scan.add(name)
        return True

    def scan_started(self) -> None:
        """A scan begins. One that does not come to its end needs no word."""
        self._removed_during_scan.clear()

    async def scan_ended(self, seen: Set[str]) -> frozenset[str]:
        """The scan was complete and has shown these names; the names of which something stands and that it lacked."""
        self._table_empty = not seen
        if not seen:
            self._missing_scans.clear()
        missing = self._cache.endpoint_names() - seen
        with_objects = set()
        for number, name in enumerate(missing):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if self._has_objects(name):
                with_objects.add(name)
                # Whether the page is older than what the stream told meanwhile is not known: the next scan counts.
                if seen and name not in self._removed_during_scan:
                    self._missing_scans[name] = min(_REQUIRED_SCANS, self._missing_scans.get(name, 0) + 1)
        for name in self._missing_scans.keys() - with_objects - self._removed_during_scan:
            del self._missing_scans[name]
        return frozenset(with_objects)

    def _has_objects(self, name: str) -> bool:
        return bool(removable(name, self.observed(name), self._policy))
