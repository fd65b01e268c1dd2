"""Metrics: what Prometheus scrapes. Labels have few values each and never an endpoint's name.

What is counted is counted as it happens; what stands (gauges) is looked up when somebody scrapes, so at rest metrics
cost nothing. Series whose labels are known are there from the start, at 0: a rate cannot miss the first event.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gco_stream.model.endpoint import RegionState
from gco_stream.ops.api_metrics import ApiCallMetrics
from gco_stream.ops.process import ProcessMetrics
from gco_stream.ops.queue_metrics import QueueMetrics

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# Pods that load a model take many minutes.
_SLOW = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)

MODES: Final = ("stream", "poll")
GUARD_STATES: Final = ("idle", "holding", "table_empty")
RESULTS: Final = ("in_sync", "changed", "gone", "failed", "rejected", "broken")
UNREPORTED: Final = "unreported"
ELSEWHERE: Final = "elsewhere"
ENDPOINT_STATES: Final = (*map(str, RegionState), UNREPORTED, ELSEWHERE)


class Metrics:
    """Every metric of this process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.queue = QueueMetrics(registry)
        self.api_calls = ApiCallMetrics(registry)
        self.process = ProcessMetrics(registry)
        self.ready = Gauge("gco_stream_ready", "1 while /readyz answers ok.", registry=registry)
        self.mode = Gauge(
            "gco_stream_mode", "1 for how changes arrive now: stream or poll.", ["mode"], registry=registry
        )
        self.leader = Gauge("leader_election_master_status", "1 while this replica leads.", ["name"], registry=registry)
        self.records = Counter("gco_stream_records_total", "Stream records read.", ["event"], registry=registry)
        self.gaps = Counter(
            "gco_stream_gaps_total", "Times that stream records may have been missed.", registry=registry
        )
        self.missed = Counter(
            "gco_stream_missed_changes_total",
            "Changes that a resync found and the stream had not delivered.",
            registry=registry,
        )
        self.lag = Gauge(
            "gco_stream_lag_seconds",
            "At most so long ago something may have been written that the stream has not delivered here yet.",
            registry=registry,
        )
        self.iterator_age = Gauge(
            "gco_stream_iterator_age_seconds",
            "Since when the oldest shard iterator is held: AWS lets it expire after 900 s.",
            registry=registry,
        )
        self.shards = Gauge(
            "gco_stream_shards", "Shards that are read, or wait for their parent.", ["state"], registry=registry
        )
        self.reconciles = Counter("gco_stream_reconcile_total", "Reconciles by result.", ["result"], registry=registry)
        self.own_share_seconds = Histogram(
            "gco_stream_record_to_applied_seconds",
            "From a stream record read to the last object of its plan accepted.",
            registry=registry,
            buckets=_FAST,
        )
        self.change_to_applied_seconds = Histogram(
            "gco_stream_change_to_applied_seconds",
            "From a change, by its item's updated_at or else by the stream's whole seconds, to the last object of its "
            "plan accepted.",
            registry=registry,
            buckets=_FAST,
        )
        self.applied_to_ready_seconds = Histogram(
            "gco_stream_applied_to_ready_seconds",
            "From a change's objects accepted to the endpoint running as it asks.",
            registry=registry,
            buckets=_SLOW,
        )
        self.steps = Counter(
            "gco_stream_steps_total", "Steps carried out on objects.", ["step", "kind"], registry=registry
        )
        self.table_writes = Counter(
            "gco_stream_table_writes_total", "Writes to the table.", ["kind"], registry=registry
        )
        self.resync_failures = Counter(
            "gco_stream_resync_failures_total", "Scans of the table that failed or were cut.", registry=registry
        )
        self.resync_seconds = Histogram(
            "gco_stream_resync_seconds",
            "Time of one scan of the table and its comparison.",
            registry=registry,
            buckets=_FAST,
        )
        self.endpoints = Gauge("gco_stream_endpoints", "Items known.", registry=registry)
        self.endpoint_states = Gauge(
            "gco_stream_endpoints_by_state",
            "Items by the state that this region reports: unreported where it has yet to, elsewhere where it is no "
            "target and never was.",
            ["state"],
            registry=registry,
        )
        self.unclaimed = Gauge(
            "gco_stream_unclaimed_objects_endpoints",
            "Endpoints whose objects stand here without an item in the table.",
            registry=registry,
        )
        self.guard = Gauge(
            "gco_stream_guard_state",
            "1 for the state of the guard on removals that nobody asked for: idle, holding some back, or holding all "
            "back since the table has no item at all.",
            ["state"],
            registry=registry,
        )
        self.deletions_left = Gauge(
            "gco_stream_deletions_left", "Removals that may still begin unasked within this hour.", registry=registry
        )
        self.held_back = Gauge(
            "gco_stream_held_back_endpoints",
            "Endpoints whose plan a limit on the fleet holds back: withdrawal of Ingresses, removal of objects.",
            ["limit"],
            registry=registry,
        )
        self.deletions_held = Gauge(
            "gco_stream_deletions_held",
            "Endpoints that would be removed unasked and are not: too many in one hour, or the table is empty.",
            registry=registry,
        )
        self.removals = Counter(
            "gco_stream_removals_total",
            "Endpoints whose removal began unasked (they left the region, or have no item), by what let them go.",
            ["allowed_by"],
            registry=registry,
        )
        self.step_events = Counter(
            "gco_stream_steps_told_total",
            "Steps that people are told of by an Event, by its reason (IngressWithdrawn, CanaryUnready, ...).",
            ["reason"],
            registry=registry,
        )
        self.watches = Gauge(
            "gco_stream_watches",
            "Watches of the cluster: synced where what stands is known.",
            ["state"],
            registry=registry,
        )
        self.watch_silence = Gauge(
            "gco_stream_watch_silence_seconds",
            "Since when the most silent watch has heard nothing; after 100 s it begins anew.",
            registry=registry,
        )
        self.cached_objects = Gauge("gco_stream_cached_objects", "Objects known by watches.", registry=registry)
        self._begin()

    def _begin(self) -> None:
        """Every series whose labels are known is there from now on."""
        for counter, values in (
            (self.reconciles, RESULTS),
            (self.table_writes, ("status", "promotion", "purge")),
            (self.removals, ("budget", "approval")),
            (self.records, ("INSERT", "MODIFY", "REMOVE")),
            (self.step_events, ("IngressWithdrawn", "IngressRestored", "Contested", "CanaryUnready", "PodsLeftBehind")),
        ):
            for value in values:
                counter.labels(value)
        for gauge, values in ((self.held_back, ("withdrawal", "removal")), (self.watches, ("synced", "unsynced"))):
            for value in values:
                gauge.labels(value)
        self.not_leading()

    def not_leading(self) -> None:
        """What only a leader knows is 0 again, so that a former one does not go on telling of it."""
        for gauge in (self.lag, self.iterator_age, self.endpoints, self.unclaimed, self.deletions_held):
            gauge.set(0)
        self.deletions_left.set(0)
        self.set_mode("")
        self.set_guard_state("")
        self.set_endpoint_states({})
        for state in ("reading", "waiting"):
            self.shards.labels(state).set(0)
        for limit in ("withdrawal", "removal"):
            self.held_back.labels(limit).set(0)
        self.queue.observe(0, (), 0)

    def set_mode(self, mode: str) -> None:
        """Changes arrive by one of MODES now; any other word: by none."""
        for known in MODES:
            self.mode.labels(known).set(known == mode)

    def set_guard_state(self, state: str) -> None:
        """The guard on removals is in one of GUARD_STATES; any other word: there is none."""
        for known in GUARD_STATES:
            self.guard.labels(known).set(known == state)

    def set_endpoint_states(self, states: Mapping[str, int]) -> None:
        """How many items are in each of ENDPOINT_STATES; one that is not named has none."""
        for state in ENDPOINT_STATES:
            self.endpoint_states.labels(state).set(states.get(state, 0))

    def render(self) -> bytes:
        """The metrics in Prometheus' text form. It may read files (those of /proc), so call it beside the loop."""
        return generate_latest(self.registry)
