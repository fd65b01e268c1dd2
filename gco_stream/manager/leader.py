"""One tenure as leader: everything that turns from taking the lease to giving it up.

The order of a start is what makes it lose nothing: pin the stream, scan the table, then work. What is written after the
pin arrives by the stream, what was written before it is in the scan.
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
from gco_stream.engine.deletion.orphan_tracker import Orphans
from gco_stream.engine.reconcile.controller import Workers
from gco_stream.engine.reconcile.event_publisher import Emit, News
from gco_stream.engine.reconcile.executor import StepRunner
from gco_stream.engine.reconcile.reconciler import Reconciler, unreadable_namespace
from gco_stream.engine.reconcile.resync import Resync
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.history import Journal
from gco_stream.engine.state.item_cache import DesiredState, Hint
from gco_stream.engine.state.sync_tokens import SyncTokens
from gco_stream.engine.workqueue.queue import Backoff, Band, Dispatcher, WorkQueue
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.lifecycle.promotion import may_agree
from gco_stream.planning.types.plan import HeldBack, Step, tell_of
from gco_stream.planning.types.policy import Policy
from gco_stream.settings import Settings
from gco_stream.stream.consumer import StreamConsumer, StreamLocation, StreamRecord
from gco_stream.table.endpoints import EndpointTable

_log = structlog.get_logger()

_DRAIN_SECONDS = 20.0
_CONTESTED_BASE = 60.0
_CONTESTED_CAP = 6 * 3600.0
# Nobody tells when a right, a namespace or a webhook is back: one name that fails is tried this often, many take turns.
_RETRY_FLOOR = 20.0
_RETRY_SPACING = 2.0
_AGREED_AFTER = 1.0


class Tenure:
    """The stream, the resync, the queue and the workers of one leader; made anew for each tenure."""

    def __init__(
        self,
        *,
        settings: Settings,
        policy: Policy,
        table: EndpointTable,
        streamed: EndpointTable,
        streams: object,
        client: KubeClient,
        cache: ClusterCache,
        leadership: Leadership,
        metrics: Metrics,
        emit: Emit,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._metrics = metrics
        self._clock = clock
        self._leadership = leadership
        self._journal = journal
        self._mode = "stream"
        self.dispatcher = Dispatcher(
            WorkQueue(),
            clock,
            lambda band: metrics.queue.added(band.name.lower()),
        )
        self.desired = DesiredState(settings.region)
        self.tokens = SyncTokens(self.desired, cache)
        self.guard = Guard(
            orphans=Orphans(cache, policy),
            budget=DeletionBudget(settings.mass_delete_limit, leadership, time.time),
            approvals=Approvals(leadership, time.time),
            lease=leadership,
            desired=self.desired,
            policy=policy,
            metrics=metrics,
            now=_now,
        )
        leadership.on_news(self._on_lease)
        rng = random.Random()  # noqa: S311 - jitter
        self.consumer = StreamConsumer(
            streams,
            _locate(streamed),
            poll_interval=settings.stream_poll_interval_seconds,
            call_timeout=settings.dynamodb_timeout_seconds,
            on_record=self._on_record,
            on_gap=self._on_gap,
            on_mode=self._on_mode,
            on_call=partial(metrics.calls.aws, "streams"),
        )
        self.resync = Resync(
            table=table,
            desired=self.desired,
            tokens=self.tokens,
            dispatcher=self.dispatcher,
            guard=self.guard,
            metrics=metrics,
            interval=self._resync_interval,
            streaming=lambda: self._mode == "stream",
            clock=clock,
            rng=rng,
            on_found=journal.found,
        )
        backoff = Backoff(floor=_RETRY_FLOOR, spacing=_RETRY_SPACING, rng=rng)
        self.census = FleetCensus(cache=cache, desired=self.desired, policy=policy, clock=clock, now=_now)
        self.reconciler = Reconciler(
            desired=self.desired,
            table=table,
            cache=cache,
            runner=StepRunner(
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
        self._workers = Workers(
            dispatcher=self.dispatcher,
            reconciler=self.reconciler,
            desired=self.desired,
            tokens=self.tokens,
            backoff=backoff,
            contested=Backoff(base=_CONTESTED_BASE, cap=_CONTESTED_CAP, rng=rng),
            metrics=metrics,
            clock=clock,
            tell=News(emit, cache).tell,
            journal=journal,
        )
        cache.on_synced(lambda namespace: self._workers.is_over(unreadable_namespace(namespace)))
        self.working = False

    async def run(self, stop: asyncio.Event) -> None:
        """Leads until `stop` is set: then takes no more names and finishes the work in hand, for 20 s at the most."""
        async with asyncio.TaskGroup() as group:
            turning = group.create_task(self._turn(), name="tenure")
            await stop.wait()
            self.dispatcher.close()
            if self.working:
                await asyncio.wait({turning}, timeout=_DRAIN_SECONDS)
            turning.cancel()

    async def _turn(self) -> None:
        await self.consumer.pin()
        async with asyncio.TaskGroup() as sources:
            listening = [sources.create_task(self.consumer.run(), name="stream")]
            await self.resync.first()
            await self._cache.wait_settled()
            listening.append(sources.create_task(self.resync.run(), name="resync"))
            _log.info("leading", endpoints=len(self.desired), mode=self._mode)
            self.working = True
            await self._workers.run(self._settings.reconcile_workers)
            for task in listening:
                task.cancel()

    def on_cluster_change(self, names: frozenset[str]) -> None:
        """Objects of these endpoints have changed in the cluster."""
        for name in names:
            if name in self.desired or name in self.guard.waiting:
                self.dispatcher.add(name, Band.FRESH, Trigger.CLUSTER)

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
        self.resync.delivered(record.name)
        if record.event != "REMOVE":
            self.guard.orphans.seen(record.name)
        elif self.guard.orphans.removed(record.name):
            self.resync.request_soon()
        image = None if record.event == "REMOVE" else record.new
        hint = self.desired.hear(record.name, image)
        self._journal.changed(record, known=hint is not Hint.CHANGED)
        if hint is Hint.CHANGED:
            self.dispatcher.add(record.name, Band.FRESH, Trigger.STREAM, (record.sequence_number,))
        elif hint is Hint.ECHO and image is not None and may_agree(image):
            # Whoever reports last acts on it at once; this is for reports by others, and for one who has died since.
            self.dispatcher.add_after(record.name, _AGREED_AFTER, Trigger.ALL_REPORTED)

    def _on_lease(self) -> None:
        for name in self.guard.newly_approved():
            self.dispatcher.add(name, Band.FRESH, Trigger.APPROVAL)

    def _on_gap(self, reason: str) -> None:
        self._metrics.gaps.inc()
        self.resync.request(reason)

    def _on_mode(self, mode: str, reason: str) -> None:
        if mode != self._mode:
            self._mode = mode
            self.resync.wake()
        self._metrics.mode_is(mode)
        if mode == "poll":
            _log.warning(
                "changes are found by polling until the stream can be read; where the table has none: "
                "gco-stream table enable-stream",
                reason=reason,
            )
        else:
            _log.info("changes arrive by the stream", reason=reason)

    def _on_step(self, step: Step) -> None:
        self._metrics.steps.labels(type(step).__name__, str(step.ref.kind)).inc()
        if (tell := tell_of(step)) is not None:
            self._metrics.told.labels(tell.reason).inc()

    def _resync_interval(self) -> float:
        if self._mode == "poll":
            return self._settings.reconcile_interval_seconds
        return self._settings.resync_interval_seconds

    def observe(self) -> None:
        """Brings the gauges up to date; called before a scrape."""
        metrics, now = self._metrics, self._clock()
        in_work = (now - since for since in self.dispatcher.in_work_since.values())
        metrics.queue.observe(self.dispatcher.queue.depth, in_work, self._settings.reconcile_workers)
        metrics.endpoints.set(len(self.desired))
        metrics.endpoints_are(self.desired.states)
        metrics.guard_is(self.guard.state)
        metrics.deletions_left.set(self.guard.deletions_left)
        metrics.deletions_held.set(len(self.guard.waiting))
        for limit in HeldBack:
            metrics.held_back.labels(limit).set(self._workers.held_back(limit))
        known = set(self.desired)
        metrics.unclaimed.set(sum(name not in known for name in self._cache.endpoint_names()))
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
