"""What this replica knows, as the page's values: the leader's items, plans and stream, or a standby's cluster.

It looks and never acts: the plan that is shown is made for showing, of the same values as a worker would make it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from gco_stream import __version__
from gco_stream.aio.ttl_cache import Recent
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ClusterError
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.events.reader import SeenEvent, recent_events
from gco_stream.cluster.leaderelection.elector import LeaderElector
from gco_stream.cluster.pods import pods_of
from gco_stream.engine.deletion.guard import Guard
from gco_stream.engine.reconcile.reconciler import claimed
from gco_stream.engine.reconcile.resync import Resync
from gco_stream.engine.state.endpoint_history import Story
from gco_stream.engine.state.fleet_census import FleetCensus
from gco_stream.engine.state.history import Journal
from gco_stream.engine.state.item_cache import DesiredState
from gco_stream.engine.workqueue.queue import Dispatcher
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint as Item
from gco_stream.model.endpoint import Unreadable
from gco_stream.model.objects import Observed, PodHealth
from gco_stream.planning.explain.explanation import Explanation, RegionReport, explain
from gco_stream.planning.explain.object_status import ObjectVerdict, Verdict
from gco_stream.planning.planner import plan
from gco_stream.planning.types.plan import Need, Plan
from gco_stream.planning.types.policy import Fleet, Policy
from gco_stream.server.page import view_models as values
from gco_stream.server.page.fleet_table import Rows, row_of_item, seconds_of
from gco_stream.settings import Settings
from gco_stream.stream.consumer import StreamConsumer

_CALL_SECONDS: Final = 3.0
_EVENTS_SHOWN: Final = 20


class Leader(Protocol):
    """The parts of a leading replica that the page reads."""

    desired: DesiredState
    guard: Guard
    census: FleetCensus
    dispatcher: Dispatcher
    resync: Resync
    consumer: StreamConsumer

    @property
    def working(self) -> bool:
        """Whether the workers have started."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the program holds at this moment; None: not yet, or not at present. `problems`: why it is not ready."""

    client: KubeClient | None
    cache: ClusterCache | None
    elector: LeaderElector | None
    tenure: Leader | None
    policy: Policy | None
    problems: tuple[str, ...]


class Showing:
    """The page's Source. `version` differs once something has changed."""

    def __init__(
        self, settings: Settings, journal: Journal, known: Callable[[], Known], version: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._known = known
        self._rows = Rows(settings.region, version)
        self._events = Recent[tuple[tuple[values.Event, ...], str]]()
        self._pods = Recent[tuple[PodHealth, ...] | None]()

    def site(self) -> values.Site:
        """This replica, now."""
        settings, known = self._settings, self._known()
        tenure, elector = known.tenure, known.elector
        site = values.Site(
            version=__version__,
            cluster=settings.cluster_name,
            region=settings.region,
            identity=settings.hostname,
            problems=known.problems,
            resync_interval=settings.resync_interval_seconds,
        )
        if elector is not None:
            seen = elector.snapshot()
            since = seen.since.timestamp() if seen.since is not None else None
            site = replace(site, identity=seen.identity, leader=seen.holder, leading=seen.leading, since=since)
        if tenure is None:
            return site
        last = tenure.resync.last_success
        return replace(
            site,
            working=tenure.working,
            stream=self._stream(tenure),
            queue=tenure.dispatcher.queue.depth,
            in_work=len(tenure.dispatcher.queue.in_work),
            last_scan=None if last is None else time.time() - (time.monotonic() - last),
        )

    def _stream(self, tenure: Leader) -> values.Stream:
        seen = tenure.consumer.snapshot()
        return values.Stream(
            seen.mode,
            seen.reason,
            seen.arn or "",
            tuple(
                values.Shard(one.shard_id, one.state, one.last_sequence_number, one.read_age, one.behind)
                for one in seen.shards
            ),
            seen.records,
            tuple(sorted(seen.errors.items())),
            self._settings.stream_poll_interval_seconds,
        )

    async def fleet(self) -> values.Fleet:
        """Every endpoint, as far as this replica knows them."""
        known = self._known()
        tenure, cache = known.tenure, known.cache
        if tenure is not None and tenure.working:
            return await self._rows.of_table(tenure.desired, self._journal.wrong_since, tenure.guard.waiting)
        return values.Fleet() if cache is None else await self._rows.of_cluster(cache)

    async def endpoint(self, name: str) -> values.Endpoint | None:
        """One endpoint, with its plan where this replica leads."""
        known = self._known()
        tenure, cache, policy = known.tenure, known.cache, known.policy
        story = self._journal.story(name) or Story()
        observed = Observed({}) if cache is None else cache.observed(name)
        item = tenure.desired.get(name) if tenure is not None else None
        if tenure is None or item is None or policy is None:
            if not observed.objects and story == Story():
                return None
            shown = _without_item(name, observed, story, tenure)
        else:
            shown = await self._explained(item, observed, story, tenure, policy)
        namespaces = {ref.namespace for ref in observed.objects} or {self._settings.inference_namespace}
        events, problem = await self._events_of(name, min(namespaces))
        return replace(shown, events=events, events_problem=problem)

    async def _explained(
        self, item: Item | Unreadable, observed: Observed, story: Story, tenure: Leader, policy: Policy
    ) -> values.Endpoint:
        name = item.name
        now = datetime.now(UTC)
        fleet = tenure.guard.limits(name, Fleet(claimed=claimed(name, tenure.desired.get)))
        made = plan(item, observed, fleet, now, policy)
        if Need.CENSUS in made.needs:
            await tenure.census.take()
            fleet = replace(fleet, census=tenure.census.current)
        lacks_pods = made.report is not None and made.report.ready < made.report.desired
        if isinstance(item, Item) and (Need.PODS in made.needs or lacks_pods):
            observed = await self._with_pods(observed, item.namespace or policy.namespace, name)
        made = plan(item, observed, fleet, now, policy)
        told = explain(item, observed, fleet, now, policy, made)
        raw = tenure.desired.wire(name)
        state = row_of_item(name, raw, policy.region).state if raw is not None else values.UNREADABLE
        return _endpoint(told, made, state, story)

    async def _with_pods(self, observed: Observed, namespace: str, name: str) -> Observed:
        async def listed() -> tuple[PodHealth, ...] | None:
            if (client := self._known().client) is None:
                return None
            try:
                return await pods_of(client, namespace, name, timeout=_CALL_SECONDS)
            except ClusterError:
                # Why its pods are not ready is not told then; the rest is.
                return None

        return replace(observed, pods=await self._pods.of(name, listed))

    async def _events_of(self, name: str, namespace: str) -> tuple[tuple[values.Event, ...], str]:
        async def listed() -> tuple[tuple[values.Event, ...], str]:
            if (client := self._known().client) is None:
                return (), "the API server has not been reached yet"
            about = (name, names.canary_name(name), names.ingress_name(name))
            try:
                found = await recent_events(client, namespace, about, timeout=_CALL_SECONDS)
            except ClusterError as error:
                return (), error.message
            return tuple(map(_event, found[:_EVENTS_SHOWN])), ""

        return await self._events.of(name, listed)


def _endpoint(told: Explanation, made: Plan, state: str, story: Story) -> values.Endpoint:
    return values.Endpoint(
        name=told.endpoint,
        state=state,
        headline=told.summary,
        as_asked=told.as_asked,
        held=told.hold is not None,
        asked=tuple(told.asked.items()),
        reports=tuple(map(_report, told.reports)),
        objects=tuple(
            values.ObjectVerdict(
                str(one.ref.kind),
                one.ref.namespace,
                one.ref.name,
                str(one.verdict),
                one.verdict.words,
                one.why,
                _details(one),
            )
            for one in told.objects
        ),
        plan=tuple(map(str, made.steps)),
        waits_for=tuple(f"{told.agreement} waits for {one}" for one in told.waits_for),
        notes=(*(() if made.look_again is None else (str(made.look_again),)), *told.notes),
        warnings=tuple(map(str, made.warnings)),
        story=story,
    )


def _details(one: ObjectVerdict) -> tuple[str, ...]:
    return (*one.details, *(f"an upgrade would change {line}" for line in one.upgrade or ()))


def _report(report: RegionReport) -> values.RegionReport:
    status = report.status
    return values.RegionReport(
        report.region,
        values.NOT_REPORTED if status is None else str(status.state),
        report.details,
        report.here,
        report.is_target,
        None if status is None else seconds_of(status.last_sync),
    )


def _without_item(name: str, observed: Observed, story: Story, tenure: Leader | None) -> values.Endpoint:
    """What is known of a name without its item: a standby knows no items, and for a leader there is none."""
    objects = tuple(
        values.ObjectVerdict(
            str(one.ref.kind),
            one.ref.namespace,
            one.ref.name,
            Verdict.TERMINATING if one.deleting else values.UNKNOWN_OBJECT,
            Verdict.TERMINATING.words if one.deleting else "exists",
        )
        for one in observed.objects.values()
    )
    state, as_asked = "unknown", False
    if tenure is None:
        headline = "this replica stands by and does not know what is asked"
    elif not tenure.working:
        headline = "the table is being read"
    elif objects:
        headline = "the table has no such item, but objects of it stand here"
    else:
        headline, state, as_asked = "the table has no such item, and nothing of it stands here", "gone", True
    return values.Endpoint(name, state, headline, as_asked, known=False, objects=objects, story=story)


def _event(event: SeenEvent) -> values.Event:
    return values.Event(
        seconds_of(event.at),
        event.type == "Warning",
        event.reason,
        event.about,
        event.note,
        event.source,
        event.count,
    )
