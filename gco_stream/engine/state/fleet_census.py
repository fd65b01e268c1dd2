"""The fleet census: how many endpoints run in this region, and how many of them have a withdrawn Ingress.

Unhealthy endpoints are rare, so endpoints are counted only when a decision depends on the census. The count uses the
cached live objects and is reused for 15 seconds. Withdrawals during that time are added to it.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.planning.policies.watchdog import is_withdrawn
from gco_stream.planning.types.context import ReconcileContext
from gco_stream.planning.types.policy import Census, FleetState, Policy

_TTL_SECONDS = 15.0
# After this many seconds, the cache has observed the deletion of the withdrawn Ingress.
_RECENT = 60.0
_SLICE = 200


class FleetCensus:
    """Takes and keeps the fleet census. `clock`: monotonic seconds. `now`: wall clock with a time zone."""

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
        """Counts the endpoints, unless the last count is less than 15 seconds old."""
        async with self._lock:
            if self._clock() - self._counted_at >= _TTL_SECONDS:
                await self._count()

    @property
    def current(self) -> Census:
        """The last count, including the withdrawals since then."""
        return Census(self._running, len(self._withdrawn | self._recent.keys()))

    def excluding(self, name: str) -> Census:
        """Returns the census for a decision about this endpoint, without counting its own withdrawal.

        The decision may be made again, for example after a failed deletion, and must then have the same result.
        """
        return Census(self._running, len((self._withdrawn | self._recent.keys()) - {name}))

    def record_withdrawal(self, name: str) -> None:
        """Records that the endpoint's Ingress is about to be withdrawn."""
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
