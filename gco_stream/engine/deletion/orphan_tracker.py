"""Evidence that an endpoint's item is gone from the table: two consecutive complete scans did not find it.

A stream record of the item's removal counts as one scan. A failed or interrupted scan does not count. A scan that finds
the table empty is no evidence, and resets all counts. Before a deletion, the item is read again.
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
# Number of names processed before yielding to the event loop.
_SLICE: Final = 50


class OrphanEvidence(Enum):
    """The strength of the evidence that an endpoint's item is gone."""

    INSUFFICIENT = "missing from one scan at most"
    PROVEN = "the table has no such item"
    TABLE_EMPTY = "the table is empty"


def synced_objects(cache: ClusterCache, name: str) -> Observed:
    """Returns the live objects of an endpoint in the namespaces that can be read."""
    unsynced = cache.unsynced
    return Observed({ref: obj for ref, obj in cache.observed(name).objects.items() if ref.namespace not in unsynced})


class OrphanTracker:
    """Counts for each name how many consecutive times it was missing from the table.

    Only names with removable objects in the cluster are counted.
    """

    def __init__(self, cache: ClusterCache, policy: Policy) -> None:
        self._cache = cache
        self._policy = policy
        self._missing_scans: dict[str, int] = {}
        self._removed_during_scan: set[str] = set()
        self._table_empty = False

    @property
    def names(self) -> frozenset[str]:
        """Names with removable objects that were missing from the table."""
        return frozenset(self._missing_scans)

    @property
    def sees_all_objects(self) -> bool:
        """Whether all objects in the allowed namespaces are known. Otherwise, names may be missing unnoticed."""
        return not self._cache.unsynced

    def evidence(self, name: str) -> OrphanEvidence:
        """Returns the evidence that the endpoint's item is gone."""
        if self._table_empty:
            return OrphanEvidence.TABLE_EMPTY
        return (
            OrphanEvidence.PROVEN
            if self._missing_scans.get(name, 0) >= _REQUIRED_SCANS
            else OrphanEvidence.INSUFFICIENT
        )

    def item_seen(self, name: str) -> None:
        """Resets the evidence, because the table has an item with this name."""
        self._table_empty = False
        self._missing_scans.pop(name, None)

    def item_removed(self, name: str) -> bool:
        """Counts a stream record of the item's removal. Returns whether the endpoint has removable objects."""
        if not self._has_objects(name):
            return False
        self._missing_scans[name] = min(_REQUIRED_SCANS, self._missing_scans.get(name, 0) + 1)
        self._removed_during_scan.add(name)
        return True

    def scan_started(self) -> None:
        """Records the start of a scan. An interrupted scan needs no further call."""
        self._removed_during_scan.clear()

    async def scan_ended(self, seen: Set[str]) -> frozenset[str]:
        """Evaluates a complete scan that found the names `seen`. Returns the other names with removable objects."""
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
                # A removal that the stream reported during this scan is already counted; only the next scan adds to it.
                if seen and name not in self._removed_during_scan:
                    self._missing_scans[name] = min(_REQUIRED_SCANS, self._missing_scans.get(name, 0) + 1)
        for name in self._missing_scans.keys() - with_objects - self._removed_during_scan:
            del self._missing_scans[name]
        return frozenset(with_objects)

    def _has_objects(self, name: str) -> bool:
        return bool(removable(name, synced_objects(self._cache, name), self._policy))
