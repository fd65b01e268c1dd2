"""How many endpoints of the region run, and of how many the Ingress is withdrawn: counted when a decision hangs on it.

Illness is rare, so nothing is kept up to date for it. A count is made from what stands in the cluster, is good for a
while, and holds what has been withdrawn since.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.planning.policies.watchdog import is_withdrawn
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.policy import Census, FleetState, Policy

_TTL_SECONDS = 15.0
# By then the cache has seen the Ingress go.
_RECENT = 60.0
_SLICE = 200


class FleetCensus:
    """Counts the fleet. `clock` gives monotonic seconds, `now` the wall clock with a time zone."""

    def __init__(
        self,
        *,
        cache: ClusterCache,
        items: ItemCache,
        policy: Policy,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._items = items
        self._policy = policy
        self._clock = clock
        self._now = now
        self._lock = asyncio.Lock()
        self._counted_at = float("-inf")
        self._running = 0
        self._withdrawn: set[str] = set()
        self._recent: dict[str, float] = {}

    async def refresh(self) -> None:
        """Counts, unless there is a count that is recent enough."""
        async with self._lock:
            if self._clock() - self._counted_at >= _TTL_SECONDS:
                await self._count()

    @property
    def current(self) -> Census:
        """The last count, with what has been withdrawn since."""
        return Census(self._running, len(self._withdrawn | self._recent.keys()))

    def beside(self, name: str) -> Census:
        """The same for a decision about this endpoint, which does not count itself: it may be decided about again, once
        its report is written or a deletion has failed.
        """
        return Census(self._running, len((self._withdrawn | self._recent.keys()) - {name}))

    def record_withdrawal(self, name: str) -> None:
        """The endpoint's Ingress is about to be taken away."""
        self._recent[name] = self._clock()

    async def _count(self) -> None:
        started = self._clock()
        running, withdrawn = 0, set()
        for number, (namespace, name, endpoint) in enumerate(self._cache.named(Kind.DEPLOYMENT)):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if name not in self._items or endpoint not in {None, name}:
                continue
            if self._cache.has(ObjectRef(Kind.INGRESS, namespace, names.ingress_name(name))):
                running += 1
            elif self._is_withdrawn(name):
                running += 1
                withdrawn.add(name)
        self._running, self._withdrawn, self._counted_at = running, withdrawn, started
        self._recent = {name: at for name, at in self._recent.items() if started - at < _RECENT}

    def _is_withdrawn(self, name: str) -> bool:
        item = self._items.get(name)
        if not isinstance(item, Endpoint) or item.spec is None or not item.is_wanted_in(self._policy.region):
            return False
        return is_withdrawn(ReconcileContext(item, self._cache.observed(name), FleetState(), self._now(), self._policy))
