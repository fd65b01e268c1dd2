"""Everything that runs while this replica leads, from acquiring the Lease to releasing it.

The startup order ensures that no change is lost: pin the stream, scan the table, then start the workers. Changes
after the pin arrive through the stream, and earlier ones are in the scan.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from gco_stream.aio.clock import Clock
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.leaderelection.elector import Leadership
from gco_stream.cluster.pods import pods_of
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.engine.deletion.approvals import Approvals
from gco_stream.engine.deletion.budget import DeletionBudget
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.deletion.orphan_tracker import OrphanTracker
from gco_stream.engine.deletion.table_identity import TableIdentity
from gco_stream.engine.reconcile.controller import Controller
from gco_stream.engine.reconcile.endpoint_planner import ClusterView, EndpointPlanner
from gco_stream.engine.reconcile.executor import PlanExecutor
from gco_stream.engine.reconcile.observers import Observers
from gco_stream.engine.reconcile.reconciler import Reconciler, unreadable_namespace
from gco_stream.engine.reconcile.resync import Resync, ScanTimes
from gco_stream.engine.reconcile.status_writer import StatusWriter
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Priority, WorkQueue
from gco_stream.engine.workqueue.retries import Backoffs, ItemBackoff
from gco_stream.manager.event_handlers import EventHandlers
from gco_stream.planning.types.decision import FleetLimit
from gco_stream.planning.types.policy import Policy
from gco_stream.planning.types.steps import Step
from gco_stream.settings import Settings
from gco_stream.stream.consumer import StreamConsumer, StreamLocation, StreamTimes
from gco_stream.table.endpoints import EndpointTable

_log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 20.0
_CONTESTED_BASE = 60.0
_CONTESTED_CAP = 6 * 3600.0
# No event reports that a missing permission, namespace or webhook is available again, so failing keys are retried
# often: if only a few keys fail, each at least every 20 s; if many fail, about one key every 2 s.
_RETRY_FLOOR = 20.0
_RETRY_SPACING = 2.0
# Dashboards and alerts use these label values, so they stay the same if the names in the code change.
_PRIORITY_LABELS = {Priority.HIGH: "fresh", Priority.LOW: "resync"}
_STEP_LABELS = {"TransferReplicas": "GiveReplicas", "UpgradeManagedFields": "HandOver"}


@dataclass(frozen=True, slots=True)
class Connections:
    """The API clients of this process.

    `table` is in the home region, and `replica_table` in the region whose stream is read. `streams` is an aiobotocore
    "dynamodbstreams" client.
    """

    kube: KubeClient
    table: EndpointTable
    replica_table: EndpointTable
    streams: object


class LeaderRunnables:
    """The stream consumer, resync, queue and workers of a leader, created for each term of leadership."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        connections: Connections,
        cache: ClusterCache,
        leadership: Leadership,
        observers: Observers,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._metrics = metrics = observers.metrics
        self._clock = clock.monotonic
        rng = random.Random()  # noqa: S311 - jitter
        self.queue = WorkQueue(clock.monotonic, on_add=lambda priority: metrics.queue.added(_PRIORITY_LABELS[priority]))
        self.items = ItemCache(settings.region)
        self.guard = Guard(
            orphans=OrphanTracker(cache, policy),
            budget=DeletionBudget(settings.mass_delete_limit, leadership, lambda: clock.now().timestamp()),
            approvals=Approvals(leadership, lambda: clock.now().timestamp()),
            items=self.items,
            metrics=metrics,
            identity=TableIdentity(leadership, _table_id(connections.table)),
        )
        tokens = SyncTokens(self.items, cache)
        times = ScanTimes(
            streaming=settings.resync_interval_seconds,
            polling=settings.reconcile_interval_seconds,
            clock=clock.monotonic,
            rng=rng,
        )
        self.resync = Resync(connections.table, tokens, self.queue, self.guard, times, observers)
        self._handlers = EventHandlers(self.items, self.queue, self.guard, self.resync, observers)
        self.on_cluster_change = self._handlers.on_cluster_change
        leadership.on_lease_change(self._handlers.on_lease_change)
        self.consumer = StreamConsumer(
            connections.streams,
            _locate(connections.replica_table),
            self._handlers,
            StreamTimes(settings.stream_poll_interval_seconds, settings.dynamodb_timeout_seconds),
        )
        self.census = FleetCensus(cache=cache, items=self.items, policy=policy, clock=clock.monotonic, now=clock.now)
        timeout = settings.k8s_api_timeout
        cluster = ClusterView(cache, partial(pods_of, connections.kube, timeout=timeout), self.census)
        writer = ObjectWriter(connections.kube, cache, leadership.remaining, timeout=timeout)
        backoffs = Backoffs(
            failing=ItemBackoff(floor=_RETRY_FLOOR, spacing=_RETRY_SPACING, rng=rng),
            contested=ItemBackoff(base=_CONTESTED_BASE, cap=_CONTESTED_CAP, rng=rng),
        )
        reconciler = Reconciler(
            self.items,
            EndpointPlanner(self.items.get, self.items.paths, cluster, policy, clock.now, self.guard),
            PlanExecutor(writer, self._on_step),
            StatusWriter(
                self.items,
                connections.table,
                policy.region,
                leadership,
                now=clock.now,
                on_write=lambda kind: metrics.table_writes.labels(kind).inc(),
            ),
            self.guard,
            failures_of=backoffs.failing.failures,
        )
        self._controller = Controller(
            self.queue, reconciler, tokens, backoffs, observers, clock.monotonic, self.items.paths.waiters_of
        )
        cache.on_synced(lambda namespace: self._controller.on_cause_resolved(unreadable_namespace(namespace)))
        self.is_working = False

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set, then takes no more keys and waits up to 20 s for in-flight reconciles."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work(), name="tenure")
            await stop.wait()
            self.queue.shut_down()
            if self.is_working:
                await asyncio.wait({working}, timeout=_DRAIN_SECONDS)
            working.cancel()

    async def _work(self) -> None:
        await self.consumer.pin()
        async with asyncio.TaskGroup() as sources:
            listening = [sources.create_task(self.consumer.run(), name="stream")]
            await self.resync.first_scan()
            await self._cache.wait_settled()
            listening.append(sources.create_task(self.resync.run(), name="resync"))
            _log.info("leading", endpoints=len(self.items), mode=self.resync.mode)
            self.is_working = True
            await self._controller.run(self._settings.reconcile_workers)
            for task in listening:
                task.cancel()

    def _on_step(self, step: Step) -> None:
        self._metrics.steps.labels(_STEP_LABELS.get(type(step).__name__, type(step).__name__), str(step.ref.kind)).inc()
        if (event := step.event) is not None:
            self._metrics.step_events.labels(event.reason).inc()

    def observe(self) -> None:
        """Updates the gauges; called before each scrape."""
        metrics, now = self._metrics, self._clock()
        processing_seconds = (now - since for since in self.queue.processing_since.values())
        metrics.queue.observe(self.queue.depth, processing_seconds, self._settings.reconcile_workers)
        metrics.endpoints.set(len(self.items))
        metrics.set_endpoint_states(self.items.states)
        metrics.set_guard_state(self.guard.state)
        metrics.deletions_left.set(self.guard.deletions_left)
        metrics.deletions_held.set(len(self.guard.held))
        for limit in FleetLimit:
            metrics.held_back.labels(limit).set(self._controller.count_limited(limit))
        names = set(self.items)
        metrics.unclaimed.set(sum(name not in names for name in self._cache.endpoint_names()))
        shards = self.consumer.snapshot().shards
        for state in ("reading", "waiting"):
            metrics.shards.labels(state).set(sum(shard.state == state for shard in shards))
        metrics.lag.set(max((shard.behind for shard in shards if shard.behind is not None), default=0))
        metrics.iterator_age.set(max((shard.read_age for shard in shards if shard.read_age is not None), default=0))


def _table_id(table: EndpointTable) -> Callable[[], Awaitable[str]]:
    async def describe() -> str:
        return (await table.describe()).table_id

    return describe


def _locate(table: EndpointTable) -> Callable[[], Awaitable[StreamLocation]]:
    async def locate() -> StreamLocation:
        info = await table.describe()
        return StreamLocation(arn=info.stream_arn, enabled=info.stream_enabled)

    return locate
