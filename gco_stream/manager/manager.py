"""The controller process: connections, cluster cache, leader election, reconciliation and health checks."""

import asyncio
import gc
import uuid
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict
from functools import partial
from typing import Any

import structlog

from gco_stream import __version__
from gco_stream.aio.backoff import delay_after
from gco_stream.aio.clock import Clock
from gco_stream.aio.events import wait_for_event
from gco_stream.aws.errors import AWSError
from gco_stream.aws.session import new_session, streams_client, table_client
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.events.recorder import EventRecorder
from gco_stream.cluster.leaderelection.elector import LeaderElector, Leadership
from gco_stream.cluster.leaderelection.record import LeaseRef, Timing
from gco_stream.cluster.leaderelection.self_fence import self_fence
from gco_stream.engine.reconcile.event_publisher import EventPublisher
from gco_stream.engine.reconcile.observers import Observers
from gco_stream.engine.state.history import ReconcileHistory
from gco_stream.engine.workqueue.worker_pool import max_concurrency
from gco_stream.manager.leader import Connections, LeaderRunnables
from gco_stream.model.objects import Kind
from gco_stream.ops.metrics import Metrics
from gco_stream.ops.process import watch_loop
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings
from gco_stream.planning.types.policy import Policy, policy_of
from gco_stream.server.http import Health, serve
from gco_stream.server.page.routes import Page
from gco_stream.server.page.source import ManagerState, PageSource
from gco_stream.server.page.sse import ChangeBroadcaster
from gco_stream.settings import LEASE_NAME, Settings
from gco_stream.table.endpoints import EndpointTable

_log = structlog.get_logger(__name__)

_RETRY_AFTER = 1.0
_RETRY_CAP = 10.0
_STUCK_SECONDS = 600.0


class Manager:
    """One replica of the controller. It serves health checks and metrics whether or not it leads."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        clock: Clock = Clock(),  # noqa: B008 - a frozen value
        renderings: Renderings = RENDERINGS,
    ) -> None:
        self._settings = settings
        self._renderings = renderings
        self._metrics = metrics
        self._clock = clock
        self._client: KubeClient | None = None
        self._cache: ClusterCache | None = None
        self._elector: LeaderElector | None = None
        self._leader: LeaderRunnables | None = None
        self._policy: Policy | None = None
        self._table_problem = ""
        metrics.leader.labels(LEASE_NAME).set(0)
        self._broadcaster = ChangeBroadcaster()
        self._history = ReconcileHistory(
            on_applied=metrics.change_to_applied_seconds.observe,
            on_ready=metrics.applied_to_ready_seconds.observe,
            on_update=self._broadcaster.notify,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set and in-flight reconciles are finished.

        Raises Misconfigured or AWSError if a client cannot be created, and OSError if the HTTP port cannot be opened.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            connections = await self._connect(stack)
            # Lease renewals must not wait for a connection behind the workers' requests.
            election_client = await stack.enter_async_context(self._kube_client(connections=4))
            port = await stack.enter_async_context(self._serve())
            # The objects allocated so far live until exit. A full collection would spend 20 ms or more on them.
            gc.freeze()
            _log.info("started", http_port=port, namespaces=settings.namespaces, home_region=settings.home_region)
            self._cache = cache = ClusterCache(connections.kube, settings.namespaces, self._on_cluster_change)
            self._elector = elector = self._new_elector(election_client)
            recorder = EventRecorder(connections.kube, instance=settings.hostname)

            async def lead(leadership: Leadership) -> None:
                observers = Observers(self._metrics, self._history, EventPublisher(recorder.emit, cache))
                await self._lead(leadership, stop, connections, cache, observers)

            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(cache.run(), name="cache"),
                    group.create_task(recorder.run(), name="events"),
                    group.create_task(watch_loop(self._metrics.process.observe_delay), name="loop watch"),
                ]
                await elector.run(lead, stop)
                for task in background:
                    task.cancel()
            _log.info("stopped")

    def _kube_client(self, *, connections: int) -> AbstractAsyncContextManager[KubeClient]:
        on_call = self._metrics.api_calls.kubernetes
        return KubeClient.connect(timeout=self._settings.k8s_api_timeout, connections=connections, on_call=on_call)

    async def _connect(self, stack: AsyncExitStack) -> Connections:
        settings = self._settings
        workers = max_concurrency(settings.reconcile_workers)
        watches = len(Kind) * len(settings.namespaces)
        kube = await stack.enter_async_context(self._kube_client(connections=workers + watches + 8))
        self._client = kube
        # All clients share one session, because each session loads about 8 MiB of endpoint data and service models.
        aws, timeout = new_session(), settings.dynamodb_timeout_seconds
        home, stream_region = settings.home_region, settings.streams_region
        dynamodb = await stack.enter_async_context(
            table_client(home, timeout=timeout, connections=workers + 4, session=aws)
        )
        streams = await stack.enter_async_context(
            streams_client(stream_region, timeout=timeout, connections=workers + 4, session=aws)
        )
        # Each replica of a global table has its own stream, and only DescribeTable in the same region returns its ARN.
        replica = dynamodb
        if stream_region != home:
            replica = await stack.enter_async_context(
                table_client(stream_region, timeout=timeout, connections=2, session=aws)
            )
        name, on_call = settings.inference_endpoints_table_name, partial(self._metrics.api_calls.aws, "dynamodb")
        return Connections(
            kube,
            table=EndpointTable(dynamodb, name, timeout=timeout, on_call=on_call),
            replica_table=EndpointTable(replica, name, timeout=timeout, on_call=on_call),
            streams=streams,
        )

    def _serve(self) -> AbstractAsyncContextManager[int]:
        source = PageSource(self._settings, self._history, self._manager_state, lambda: self._broadcaster.version)
        return serve(
            self._settings.http_host,
            self._settings.http_port,
            live=self._live,
            ready=self._ready,
            metrics=self._render_metrics,
            status=self._status,
            page=Page(source, self._broadcaster),
        )

    def _new_elector(self, client: KubeClient) -> LeaderElector:
        settings = self._settings
        return LeaderElector(
            client,
            LeaseRef(settings.inference_namespace, LEASE_NAME),
            Timing(
                duration=settings.lease_duration_seconds,
                renew_deadline=settings.lease_renew_deadline_seconds,
                retry_period=settings.lease_retry_period_seconds,
                legacy_interval=settings.reconcile_interval_seconds,
            ),
            identity=f"{settings.hostname}_{uuid.uuid4()}",
            fence=self_fence(),
        )

    async def _lead(
        self,
        leadership: Leadership,
        stop: asyncio.Event,
        connections: Connections,
        cache: ClusterCache,
        observers: Observers,
    ) -> None:
        leader = self._metrics.leader.labels(LEASE_NAME)
        leader.set(1)
        try:
            arn = await self._table_arn(connections.table, stop)
            if arn is None:
                return
            self._policy = policy_of(self._settings, arn, self._renderings)
            self._leader = LeaderRunnables(
                self._settings, self._policy, connections, cache, leadership, observers, self._clock
            )
            await self._leader.run(stop)
        finally:
            self._leader = None
            self._table_problem = ""
            leader.set(0)
            self._metrics.not_leading()

    async def _table_arn(self, table: EndpointTable, stop: asyncio.Event) -> str | None:
        """Calls DescribeTable until it succeeds and returns the table's ARN, or None if `stop` is set first."""
        failures = 0
        while not stop.is_set():
            try:
                info = await table.describe()
            except AWSError as error:
                failures += 1
                wait = delay_after(failures, base=_RETRY_AFTER, cap=_RETRY_CAP)
                self._table_problem = str(error)
                _log.error("table is unavailable; reconciliation is blocked", error=str(error), retry_s=wait)
                await wait_for_event(stop, wait)
            else:
                self._table_problem = ""
                return info.arn
        return None

    def _on_cluster_change(self, keys: frozenset[str]) -> None:
        if self._leader is not None:
            self._leader.on_cluster_change(keys)
        for name in keys:
            self._broadcaster.notify(name)

    def _live(self) -> Health:
        problems = []
        if self._leader is not None:
            now = self._clock.monotonic()
            problems += [
                f"the reconcile of {name} has been running for {now - since:.0f} s"
                for name, since in self._leader.queue.processing_since.items()
                if now - since > _STUCK_SECONDS
            ]
            if idle := self._leader.resync.stalled_seconds:
                problems.append(f"no table scan has been attempted for {idle:.0f} s")
        return Health(tuple(problems))

    def _manager_state(self) -> ManagerState:
        return ManagerState(
            self._client, self._cache, self._elector, self._leader, self._policy, self._ready().problems
        )

    def _ready(self) -> Health:
        if self._cache is None or self._elector is None:
            return Health(("starting",))
        problems = [f"namespace {name}: {why}" for name, why in self._cache.unsynced.items()]
        if problem := self._elector.snapshot().problem:
            problems.append(f"lease: {problem}")
        table_problem = self._table_problem or (self._leader.resync.problem if self._leader is not None else "")
        if table_problem:
            problems.append(f"table: {table_problem}")
        return Health(tuple(problems))

    def _status(self) -> dict[str, Any]:
        """Returns the body of the response to /status. It has no item contents."""
        leader = self._leader
        return {
            "version": __version__,
            "region": self._settings.region,
            "cluster": self._settings.cluster_name,
            "leader": asdict(self._elector.snapshot()) if self._elector is not None else None,
            "working": leader is not None and leader.is_working,
            "stream": asdict(leader.consumer.snapshot()) if leader is not None else None,
            "endpoints": len(leader.items) if leader is not None else None,
            "queue": leader.queue.depth if leader is not None else None,
            "in_work": sorted(leader.queue.processing_since) if leader is not None else [],
            "cache": asdict(self._cache.snapshot()) if self._cache is not None else None,
        }

    async def _render_metrics(self) -> bytes:
        metrics = self._metrics
        metrics.ready.set(self._ready().ok)
        if self._cache is not None:
            cache = self._cache.snapshot()
            metrics.cached_objects.set(cache.objects)
            metrics.watch_silence.set(max((watch.age for watch in cache.watches if watch.age is not None), default=0))
            synced = sum(watch.synced for watch in cache.watches)
            metrics.watches.labels("synced").set(synced)
            metrics.watches.labels("unsynced").set(len(cache.watches) - synced)
        if self._leader is not None:
            self._leader.observe()
        return await asyncio.to_thread(metrics.render)
