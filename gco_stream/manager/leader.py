"""Everything that runs while this replica leads, from acquiring the Lease to releasing it.

The order at startup ensures that no change is lost: pin the stream, scan the table, then start the workers. Changes
after the pin arrive through the stream, and earlier ones are in the scan.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.leaderelection.elector import Leadership
from gco_stream.cluster.pods import pods_of
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.engine.deletion.approvals import Approvals
from gco_stream.engine.deletion.budget import DeletionBudget
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.deletion.orphan_tracker import OrphanTracker
from gco_stream.engine.reconcile.controller import Controller
from gco_stream.engine.reconcile.event_publisher import Emit, EventPublisher
from gco_stream.engine.reconcile.executor import PlanExecutor
from gco_stream.engine.reconcile.reconciler import Reconciler, unreadable_namespace
from gco_stream.engine.reconcile.resync import Resync
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.history import ReconcileHistory
from gco_stream.engine.state.item_cache import ChangeKind, ItemCache
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Dispatcher, ItemBackoff, Priority, WorkQueue
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.lifecycle.promotion import may_complete_or_purge
from gco_stream.planning.types.plan import FleetLimit, Step, event_of
from gco_stream.planning.types.policy import Policy
from gco_stream.settings import Settings
from gco_stream.stream.consumer import RecordProcessorFuncs, StreamConsumer, StreamLocation, StreamRecord, StreamTimes
from gco_stream.table.endpoints import EndpointTable

_log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 20.0
_CONTESTED_BASE = 60.0
_CONTESTED_CAP = 6 * 3600.0
# No event reports that a permission, a namespace or a webhook is back. A few failing keys are retried at least every
# 20 s each, and many take turns, about one every 2 s.
_RETRY_FLOOR = 20.0
_RETRY_SPACING = 2.0
_TABLE_CHANGE_DELAY = 1.0
# Label values are public: they do not follow the names in the code.
_PRIORITY_LABELS = {Priority.HIGH: "fresh", Priority.LOW: "resync"}
_STEP_LABELS = {"TransferReplicas": "GiveReplicas", "UpgradeManagedFields": "HandOver"}


class LeaderRunnables:
    """The stream, the resync, the queue and the workers of one leader; created for each term of leadership."""

    def __init__(
        self,
        *,
        settings: Settings,
        policy: Policy,
        table: EndpointTable,
        replica_table: EndpointTable,
        streams: object,
        client: KubeClient,
        cache: ClusterCache,
        leadership: Leadership,
        metrics: Metrics,
        emit: Emit,
        history: ReconcileHistory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._metrics = metrics
        self._clock = clock
        self._leadership = leadership
        self._history = history
        self._mode = "stream"
        self.dispatcher = Dispatcher(
            WorkQueue(),
            clock,
            lambda priority: metrics.queue.added(_PRIORITY_LABELS[priority]),
        )
        self.items = ItemCache(settings.region)
        self.tokens = SyncTokens(self.items, cache)
        self.guard = Guard(
            orphans=OrphanTracker(cache, policy),
            budget=DeletionBudget(settings.mass_delete_limit, leadership, time.time),
            approvals=Approvals(leadership, time.time),
            lease=leadership,
            items=self.items,
            policy=policy,
            metrics=metrics,
            now=_now,
        )
        leadership.on_lease_change(self._on_lease)
        rng = random.Random()  # noqa: S311 - jitter
        self.consumer = StreamConsumer(
            streams,
            _locate(replica_table),
            RecordProcessorFuncs(
                self._on_record, self._on_gap, self._on_mode, on_call=partial(metrics.api_calls.aws, "streams")
            ),
            StreamTimes(settings.stream_poll_interval_seconds, settings.dynamodb_timeout_seconds),
        )
        self.resync = Resync(
            table=table,
            items=self.items,
            tokens=self.tokens,
            dispatcher=self.dispatcher,
            guard=self.guard,
            metrics=metrics,
            interval=self._resync_interval,
            streaming=lambda: self._mode == "stream",
            clock=clock,
            rng=rng,
            on_change_found=history.record_scan_change,
        )
        backoff = ItemBackoff(floor=_RETRY_FLOOR, spacing=_RETRY_SPACING, rng=rng)
        self.census = FleetCensus(cache=cache, items=self.items, policy=policy, clock=clock, now=_now)
        self.reconciler = Reconciler(
            items=self.items,
            table=table,
            cache=cache,
            executor=PlanExecutor(
                ObjectWriter(client, cache, leadership.remaining, timeout=settings.k8s_api_timeout), self._on_step
            ),
            policy=policy,
            guard=self.guard,
            census=self.census,
            pods_of=partial(pods_of, client, timeout=settings.k8s_api_timeout),
            epoch=leadership,
            now=_now,
            failures_of=backoff.failures,
            on_write=lambda kind: metrics.table_writes.labels(kind).inc(),
        )
        self._controller = Controller(
            dispatcher=self.dispatcher,
            reconciler=self.reconciler,
            items=self.items,
            tokens=self.tokens,
            backoff=backoff,
            contested=ItemBackoff(base=_CONTESTED_BASE, cap=_CONTESTED_CAP, rng=rng),
            metrics=metrics,
            clock=clock,
            publish=EventPublisher(emit, cache).publish,
            history=history,
        )
        cache.on_synced(lambda namespace: self._controller.on_cause_resolved(unreadable_namespace(namespace)))
        self.is_working = False

    async def run(self, stop: asyncio.Event) -> None:
        """Leads until `stop` is set, then takes no more keys and waits up to 20 s for in-flight work."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work(), name="tenure")
            await stop.wait()
            self.dispatcher.shut_down()
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
            _log.info("leading", endpoints=len(self.items), mode=self._mode)
            self.is_working = True
            await self._controller.run(self._settings.reconcile_workers)
            for task in listening:
                task.cancel()

    def on_cluster_change(self, keys: frozenset[str]) -> None:
        """Queues endpoints whose objects have changed in the cluster."""
        for name in keys:
            if name in self.items or name in self.guard.held:
                self.dispatcher.add(name, Priority.HIGH, Trigger.CLUSTER)

    def _on_record(self, record: StreamRecord) -> None:
        self._metrics.records.labels(record.event).inc()
        _log.debug(
            "stream record",
            endpoint=record.name,
            change=record.event,
            record=record.sequence_number,
            shard=record.shard_id,
            created=record.created,
        )
        self.resync.change_delivered(record.name)
        if record.event != "REMOVE":
            self.guard.orphans.item_seen(record.name)
        elif self.guard.orphans.item_removed(record.name):
            self.resync.request_soon()
        image = None if record.event == "REMOVE" else record.new
        change = self.items.observe_record(record.name, image)
        self._history.record_change(record, known=change is not ChangeKind.CHANGED)
        if change is ChangeKind.CHANGED:
            self.dispatcher.add(record.name, Priority.HIGH, Trigger.STREAM, (record.sequence_number,))
        elif change is ChangeKind.STATUS_ONLY and image is not None and may_complete_or_purge(image):
            # The region that reports last acts at once. This covers reports of other regions, and a last region that
            # has failed since.
            self.dispatcher.add_after(record.name, _TABLE_CHANGE_DELAY, Trigger.ALL_REPORTED)

    def _on_lease(self) -> None:
        for name in self.guard.newly_approved():
            self.dispatcher.add(name, Priority.HIGH, Trigger.APPROVAL)

    def _on_gap(self, reason: str) -> None:
        self._metrics.gaps.inc()
        self.resync.request(reason)

    def _on_mode(self, mode: str, reason: str) -> None:
        if mode != self._mode:
            self._mode = mode
            self.resync.interval_changed()
        self._metrics.set_mode(mode)
        if mode == "poll":
            _log.warning(
                "stream is unavailable; polling the table",
                reason=reason,
                hint="if the table has no stream, run: gco-stream table enable-stream",
            )
        else:
            _log.info("receiving changes from the stream", reason=reason)

    def _on_step(self, step: Step) -> None:
        self._metrics.steps.labels(_STEP_LABELS.get(type(step).__name__, type(step).__name__), str(step.ref.kind)).inc()
        if (event := event_of(step)) is not None:
            self._metrics.step_events.labels(event.reason).inc()

    def _resync_interval(self) -> float:
        if self._mode == "poll":
            return self._settings.reconcile_interval_seconds
        return self._settings.resync_interval_seconds

    def observe(self) -> None:
        """Updates the gauges before a scrape."""
        metrics, now = self._metrics, self._clock()
        processing_seconds = (now - since for since in self.dispatcher.processing_since.values())
        metrics.queue.observe(self.dispatcher.queue.depth, processing_seconds, self._settings.reconcile_workers)
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


def _now() -> datetime:
    return datetime.now(UTC)


def _locate(table: EndpointTable) -> Callable[[], Awaitable[StreamLocation]]:
    async def locate() -> StreamLocation:
        info = await table.describe()
        return StreamLocation(arn=info.stream_arn, enabled=info.stream_enabled)

    return locate
