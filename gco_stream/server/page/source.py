"""Data of the status page: items, plans and stream on the leader; only live objects on a standby.

This module changes nothing. It makes the plan of an endpoint for display, from the same inputs as a worker.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from gco_stream import __version__
from gco_stream.aio.clock import utc_now
from gco_stream.aio.ttl_cache import TTLCache
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.events.reader import ListedEvent, list_events
from gco_stream.cluster.leaderelection.elector import LeaderElector
from gco_stream.cluster.pods import pods_of
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.reconcile.endpoint_planner import ClusterView, EndpointPlanner
from gco_stream.engine.reconcile.resync import Resync
from gco_stream.engine.state.endpoint_history import EndpointHistory
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.history import ReconcileHistory
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.engine.workqueue.queue import WorkQueue
from gco_stream.model import names
from gco_stream.model.objects import Observed, PodHealth
from gco_stream.model.reasons import Reason
from gco_stream.planning.explain.explanation import Explanation, explain
from gco_stream.planning.explain.object_status import ObjectState, ObjectStatus
from gco_stream.planning.lifecycle.health import RegionHealth
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.policy import Policy
from gco_stream.server.page import view_models as values
from gco_stream.server.page.fleet_table import FleetTable, row_of_item, seconds_of
from gco_stream.settings import Settings
from gco_stream.stream.consumer import StreamConsumer

_CALL_SECONDS: Final = 3.0
_EVENTS_SHOWN: Final = 20


class Leader(Protocol):
    """The parts of a leading replica that the page reads."""

    items: ItemCache
    guard: Guard
    census: FleetCensus
    queue: WorkQueue
    resync: Resync
    consumer: StreamConsumer

    @property
    def is_working(self) -> bool:
        """Whether the workers have started."""


@dataclass(frozen=True, slots=True)
class ManagerState:
    """The program's components, each None until it is available. `problems`: why this replica is not ready."""

    client: KubeClient | None
    cache: ClusterCache | None
    elector: LeaderElector | None
    leader: Leader | None
    policy: Policy | None
    problems: tuple[str, ...]


class PageSource:
    """The page's data source, which implements view_models.Source. `version`: as in `FleetTable`."""

    def __init__(
        self,
        settings: Settings,
        history: ReconcileHistory,
        manager_state: Callable[[], ManagerState],
        version: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._history = history
        self._manager_state = manager_state
        self._fleet_table = FleetTable(settings.region, version)
        self._events = TTLCache[tuple[tuple[values.Event, ...], str]]()
        self._pods = TTLCache[tuple[PodHealth, ...] | None]()

    def site(self) -> values.Site:
        """Returns the current state of this replica."""
        settings, state = self._settings, self._manager_state()
        leader, elector = state.leader, state.elector
        site = values.Site(
            version=__version__,
            cluster=settings.cluster_name,
            region=settings.region,
            identity=settings.hostname,
            problems=state.problems,
            resync_interval=settings.resync_interval_seconds,
        )
        if elector is not None:
            election = elector.snapshot()
            since = election.since.timestamp() if election.since is not None else None
            site = replace(
                site, identity=election.identity, leader=election.holder, leading=election.leading, since=since
            )
        if leader is None:
            return site
        last = leader.resync.last_success
        return replace(
            site,
            is_working=leader.is_working,
            stream=self._stream(leader),
            queue=leader.queue.depth,
            processing=len(leader.queue.processing_since),
            last_scan=None if last is None else time.time() - (time.monotonic() - last),
        )

    def _stream(self, leader: Leader) -> values.Stream:
        snapshot = leader.consumer.snapshot()
        return values.Stream(
            snapshot.mode,
            snapshot.reason,
            snapshot.arn or "",
            tuple(
                values.Shard(one.shard_id, one.state, one.last_sequence_number, one.read_age, one.behind)
                for one in snapshot.shards
            ),
            snapshot.records,
            tuple(sorted(snapshot.errors.items())),
            self._settings.stream_poll_interval_seconds,
        )

    async def fleet(self) -> values.Fleet:
        """Returns all endpoints that this replica knows."""
        state = self._manager_state()
        leader, cache = state.leader, state.cache
        if leader is not None and leader.is_working:
            return await self._fleet_table.from_items(leader.items, self._history.out_of_sync_since, leader.guard.held)
        return values.Fleet() if cache is None else await self._fleet_table.from_cluster(cache)

    async def endpoint(self, name: str) -> values.Endpoint | None:
        """Returns an endpoint, with its plan on a leader; None if nothing is known about the name."""
        state = self._manager_state()
        leader, cache, policy = state.leader, state.cache, state.policy
        history = self._history.history(name) or EndpointHistory()
        observed = Observed({}) if cache is None else cache.observed(name)
        if leader is None or cache is None or policy is None or name not in leader.items:
            if not observed.objects and history == EndpointHistory():
                return None
            shown = _without_item(name, observed, history, leader)
        else:
            shown = await self._endpoint_of_item(name, cache, history, leader, policy)
        namespaces = {ref.namespace for ref in observed.objects} or {self._settings.inference_namespace}
        events, problem = await self._events_of(name, min(namespaces))
        return replace(shown, events=events, events_problem=problem)

    async def _endpoint_of_item(
        self, name: str, cache: ClusterCache, history: EndpointHistory, leader: Leader, policy: Policy
    ) -> values.Endpoint:
        view = ClusterView(cache, self._pods_of, leader.census)
        planner = EndpointPlanner(leader.items.get, leader.items.paths, view, policy, utc_now, leader.guard)
        planned = await planner.plan(name, explain_pods=True)
        if planned.inputs.item is None:
            return _without_item(name, planned.inputs.observed, history, leader)
        state = row_of_item(planned.inputs.item, policy.region).state
        shown = _endpoint(explain(planned.inputs, planned.plan), planned.plan, state, history)
        if not planned.unknown:
            return shown
        headline = f"the live objects are unknown: {planned.unknown}"
        reason = str(Reason.NAMESPACE_UNREADABLE)
        return replace(shown, headline=headline, reason=reason, in_desired_state=False, objects=())

    async def _pods_of(self, namespace: str, name: str) -> tuple[PodHealth, ...] | None:
        async def listed() -> tuple[PodHealth, ...] | None:
            if (client := self._manager_state().client) is None:
                return None
            try:
                return await pods_of(client, namespace, name, timeout=_CALL_SECONDS)
            except ClusterError:
                # Without the pods, the page still shows everything except why pods are not ready.
                return None

        return await self._pods.get_or_fetch(name, listed)

    async def _events_of(self, name: str, namespace: str) -> tuple[tuple[values.Event, ...], str]:
        async def listed() -> tuple[tuple[values.Event, ...], str]:
            if (client := self._manager_state().client) is None:
                return (), "not connected to the API server yet"
            about = (name, names.canary_name(name), names.ingress_name(name))
            try:
                found = await list_events(client, namespace, about, timeout=_CALL_SECONDS)
            except ClusterError as error:
                return (), error.message
            return tuple(map(_event, found[:_EVENTS_SHOWN])), ""

        return await self._events.get_or_fetch(name, listed)


def _endpoint(explanation: Explanation, plan: Plan, state: str, history: EndpointHistory) -> values.Endpoint:
    return values.Endpoint(
        name=explanation.endpoint,
        state=state,
        headline=explanation.summary,
        in_desired_state=explanation.in_desired_state,
        reason="" if explanation.cause is None else str(explanation.cause.reason),
        held=explanation.hold is not None,
        desired=tuple(explanation.desired.items()),
        reports=tuple(_report(one, explanation.region) for one in explanation.reports),
        objects=tuple(
            values.ObjectRow(
                str(one.ref.kind),
                one.ref.namespace,
                one.ref.name,
                str(one.state),
                one.state.text,
                one.message,
                _details(one),
            )
            for one in explanation.objects
        ),
        plan=tuple(map(str, plan.steps)),
        waits_for=tuple(f"{explanation.pending_change} waits for {one}" for one in explanation.waits_for),
        notes=(*(() if plan.requeue_after is None else (str(plan.requeue_after),)), *explanation.notes),
        warnings=tuple(map(str, plan.all_warnings)),
        history=history,
    )


def _details(one: ObjectStatus) -> tuple[str, ...]:
    return (*one.details, *(f"an upgrade would change {line}" for line in one.upgrade or ()))


def _report(report: RegionHealth, region: str) -> values.RegionRow:
    status = report.status
    return values.RegionRow(
        report.region,
        values.NOT_REPORTED if status is None else str(status.state),
        report.details,
        report.region == region,
        report.is_target,
        None if status is None else seconds_of(status.last_sync),
    )


def _without_item(name: str, observed: Observed, history: EndpointHistory, leader: Leader | None) -> values.Endpoint:
    """Returns the view of an endpoint whose item does not exist or is not known to this replica."""
    objects = tuple(
        values.ObjectRow(
            str(one.ref.kind),
            one.ref.namespace,
            one.ref.name,
            ObjectState.TERMINATING if one.deleting else values.UNKNOWN_OBJECT,
            ObjectState.TERMINATING.text if one.deleting else "exists",
        )
        for one in observed.objects.values()
    )
    state, in_desired_state = "unknown", False
    if leader is None:
        headline = "the desired state is unknown: this replica is a standby and does not read the table"
    elif not leader.is_working:
        headline = "the desired state is unknown: this replica is still reading the table"
    elif objects:
        headline = "the table has no such item, but its objects exist here"
    else:
        headline, state, in_desired_state = (
            "the table has no such item, and none of its objects exist here",
            "gone",
            True,
        )
    return values.Endpoint(name, state, headline, in_desired_state, known=False, objects=objects, history=history)


def _event(event: ListedEvent) -> values.Event:
    return values.Event(
        seconds_of(event.at),
        event.type == "Warning",
        event.reason,
        event.about,
        event.note,
        event.source,
        event.count,
    )
