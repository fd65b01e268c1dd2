"""The table of all endpoints for the status page, cached and updated incrementally.

Reading ten thousand items takes about a second. The table is therefore updated only on request, and in short slices
between which the event loop runs. A row is rebuilt only if its item or its objects have changed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model.item.endpoint import Endpoint, InvalidItem, RegionState
from gco_stream.model.objects import Kind, ObservedObject
from gco_stream.model.text import truncate
from gco_stream.model.times import parse_time
from gco_stream.planning.lifecycle.health import region_health
from gco_stream.server.page.view_models import ELSEWHERE, NOT_REPORTED, UNREADABLE, Fleet, Row

# Seconds of work between two yields to the event loop.
_SLICE: Final = 0.004
_MIN_INTERVAL: Final = 0.5
# Maximum fraction of the time that is spent on updates.
_MAX_CPU_FRACTION: Final = 0.1
# Seconds after which the table is updated even if `version` is unchanged. Reports of other regions do not change it.
_TTL: Final = 4.0
_MAX_TEXT: Final = 300
_ORDER: Final = (*map(str, (RegionState.RUNNING, RegionState.UPDATING, RegionState.CREATING, RegionState.PENDING)),)
_RowMaker = tuple[Iterable[str], Callable[[str], Hashable], Callable[[str], Row]]


class FleetTable:
    """The cached table of endpoints.

    `version` returns a number that changes whenever an endpoint or this replica may have changed. `clock`: monotonic
    seconds.
    """

    def __init__(self, region: str, version: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._region = region
        self._version = version
        self._clock = clock
        self._rows: dict[str, tuple[Hashable, Row]] = {}
        self._lock = asyncio.Lock()
        self._built_at = self._due = float("-inf")
        self._source: object = None
        self._built_version = -1
        self._fleet = Fleet()

    async def from_items(
        self, items: ItemCache, out_of_sync_since: Callable[[str], float | None], removals: Iterable[str]
    ) -> Fleet:
        """Returns the fleet according to the items, for a leader.

        `out_of_sync_since`: returns the time at which an endpoint went out of sync, None if it is in sync. `removals`:
        the names whose removal waits for approval.
        """

        def row(name: str) -> Row:
            item = items.get(name)
            return Row(name, "", ELSEWHERE) if item is None else row_of_item(item, self._region)

        def dated(row: Row) -> Row:
            seen = out_of_sync_since(row.name)
            return row if seen is None or (row.since is not None and row.since <= seen) else replace(row, since=seen)

        return await self._refreshed(items, (items, items.item_digest, row), dated, removals)

    async def from_cluster(self, cache: ClusterCache) -> Fleet:
        """Returns the fleet according to the Deployments, for a standby."""

        def row(name: str) -> Row:
            found = cache.observed(name).objects.values()
            main = next((obj for obj in found if obj.ref.kind is Kind.DEPLOYMENT and obj.ref.name == name), None)
            return row_of_deployment(name, main)

        names = [endpoint or name for _, name, endpoint in cache.named(Kind.DEPLOYMENT)]
        return await self._refreshed(cache, (dict.fromkeys(names), cache.token, row), lambda row: row, ())

    async def _refreshed(
        self, source: object, maker: _RowMaker, dated: Callable[[Row], Row], removals: Iterable[str]
    ) -> Fleet:
        requested_at = self._clock()
        async with self._lock:
            if source is not self._source:
                self._rows, self._source, self._built_version = {}, source, -1
            elif self._built_at > requested_at or self._is_current():
                return self._fleet
            # Requests that arrive during this wait share the result.
            await asyncio.sleep(max(0.0, self._due - self._clock()))
            began, version = self._clock(), self._version()
            self._rows = await self._updated(*maker)
            self._fleet = await _fleet_of([row for _, row in self._rows.values()], dated, tuple(sorted(removals)))
            # Set only now: a request that is cancelled meanwhile must not leave an old fleet that counts as current.
            self._built_at, self._built_version = began, version
            ended = self._clock()
            self._due = max(began + _MIN_INTERVAL, ended + (ended - began) / _MAX_CPU_FRACTION)
            return self._fleet

    def _is_current(self) -> bool:
        return self._version() == self._built_version and self._clock() - self._built_at < _TTL

    async def _updated(
        self, names: Iterable[str], version: Callable[[str], Hashable], make: Callable[[str], Row]
    ) -> dict[str, tuple[Hashable, Row]]:
        kept = self._rows
        rows: dict[str, tuple[Hashable, Row]] = {}
        pause = _Yielder()
        for name in sorted(names):
            now, held = version(name), kept.get(name)
            rows[name] = held if held is not None and held[0] == now else (now, make(name))
            await pause.yield_if_due()
        return rows


class _Yielder:
    """Yields to the event loop whenever a time slice is used up."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def yield_if_due(self) -> None:
        if time.perf_counter() - self._since > _SLICE:
            await asyncio.sleep(0)
            self._since = time.perf_counter()


async def _fleet_of(rows: list[Row], dated: Callable[[Row], Row], removals: tuple[str, ...]) -> Fleet:
    pause = _Yielder()
    states: Counter[str] = Counter()
    regions: dict[str, Counter[str]] = {}
    needs_attention = []
    for number, row in enumerate(rows):
        states[row.state] += 1
        for region, state in row.regions:
            regions.setdefault(region, Counter())[state] += 1
        if row.reason:
            rows[number] = dated(row)
            needs_attention.append(rows[number])
        await pause.yield_if_due()
    needs_attention.sort(key=lambda row: (row.state not in {"error", UNREADABLE}, row.since or 0.0, row.name))
    return Fleet(
        tuple(rows),
        tuple(needs_attention),
        _in_order(states),
        tuple((name, _in_order(counts)) for name, counts in sorted(regions.items())),
        removals,
    )


def _in_order(states: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    first = [(state, states[state]) for state in _ORDER if state in states]
    return (*first, *sorted((state, count) for state, count in states.items() if state not in _ORDER))


def row_of_item(item: Endpoint | InvalidItem, region: str) -> Row:
    """Returns the row of an endpoint, with its state in `region`."""
    states = {name: str(status.state) for name, status in item.region_status.items()}
    health, status = region_health(item, region), item.region_status.get(region)
    is_target = region in item.target_regions
    elsewhere = not is_target and status is None
    regions = sorted({*item.target_regions, *states}, key=lambda one: (one != region, one))
    endpoint = item if isinstance(item, Endpoint) else None
    return Row(
        item.name,
        str(endpoint.desired_state) if endpoint is not None else "",
        states.get(region, NOT_REPORTED if is_target else ELSEWHERE),
        status.replicas_ready if status is not None else 0,
        status.replicas_desired if status is not None else 0,
        tuple((truncate(one), states.get(one, NOT_REPORTED)) for one in regions),
        "" if elsewhere else truncate(health.reason, _MAX_TEXT),
        "" if elsewhere else truncate(health.message, _MAX_TEXT),
        seconds_of(health.since),
        endpoint is not None and endpoint.hold is not None,
    )


def row_of_deployment(name: str, main: ObservedObject | None) -> Row:
    """Returns the row of an endpoint based only on its main Deployment. `main`: None if it does not exist."""
    if main is None:
        return Row(name, "", UNREADABLE)
    desired, ready = int(main.spec.get("replicas", 1)), int(main.status.get("readyReplicas", 0))
    current = main.status.get("observedGeneration", 0) >= main.generation
    settled = current and ready == desired == main.status.get("updatedReplicas", 0)
    state = "deleting" if main.deleting else "stopped" if not desired else "running" if settled else "updating"
    return Row(name, "", state, ready, desired)


def seconds_of(text: str) -> float | None:
    """Returns an ISO 8601 time in seconds since 1970, or None if it is invalid. The default time zone is UTC."""
    time = parse_time(text)
    return None if time is None else time.timestamp()
