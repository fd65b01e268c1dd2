"""Metrics that Prometheus scrapes. Labels have low cardinality and never contain an endpoint's name.

Counters are updated when events happen, and gauges when Prometheus scrapes, so an idle process spends no time on
metrics. Series with known label values exist from the start, at 0, so rates include the first event.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gco_stream.model.item.endpoint import RegionState
from gco_stream.ops.api_metrics import ApiCallMetrics
from gco_stream.ops.process import ProcessMetrics
from gco_stream.ops.queue_metrics import QueueMetrics

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# Pods can take many minutes to load a model.
_SLOW = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)

MODES: Final = ("stream", "poll")
GUARD_STATES: Final = ("idle", "holding", "table_empty", "table_recreated")
RESULTS: Final = ("in_sync", "changed", "gone", "failed", "rejected", "broken")
UNREPORTED: Final = "unreported"
ELSEWHERE: Final = "elsewhere"
ENDPOINT_STATES: Final = (*map(str, RegionState), UNREPORTED, ELSEWHERE)


class Metrics:
    """All metrics of this process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.queue = QueueMetrics(registry)
        self.api_calls = ApiCallMetrics(registry)
        self.process = ProcessMetrics(registry)
        self.ready = Gauge("gco_stream_ready", "1 while /readyz returns ok, otherwise 0.", registry=registry)
        self.mode = Gauge(
            "gco_stream_mode",
            "1 for the current way of receiving changes: stream or poll.",
            ["mode"],
            registry=registry,
        )
        self.leader = Gauge(
            "leader_election_master_status",
            "1 while this replica is the leader, otherwise 0.",
            ["name"],
            registry=registry,
        )
        self.records = Counter("gco_stream_records_total", "Stream records read.", ["event"], registry=registry)
        self.gaps = Counter(
            "gco_stream_gaps_total", "Gaps in the stream, in which records may have been missed.", registry=registry
        )
        self.missed = Counter(
            "gco_stream_missed_changes_total",
            "Changes that a resync found but the stream did not deliver.",
            registry=registry,
        )
        self.lag = Gauge(
            "gco_stream_lag_seconds",
            "Upper bound on stream lag, in seconds.",
            registry=registry,
        )
        self.iterator_age = Gauge(
            "gco_stream_iterator_age_seconds",
            "Age in seconds of the oldest shard iterator. Iterators expire after 900 s.",
            registry=registry,
        )
        self.shards = Gauge(
            "gco_stream_shards",
            "Shards being read, or waiting for their parent shard to end.",
            ["state"],
            registry=registry,
        )
        self.reconciles = Counter("gco_stream_reconcile_total", "Reconciles, by result.", ["result"], registry=registry)
        self.own_share_seconds = Histogram(
            "gco_stream_record_to_applied_seconds",
            "Time in seconds from reading a stream record to applying the last object of its plan.",
            registry=registry,
            buckets=_FAST,
        )
        self.change_to_applied_seconds = Histogram(
            "gco_stream_change_to_applied_seconds",
            "Time in seconds from a change to applying the last object of its plan. A change has the time of the "
            "item's updated_at, or else of the stream record, which has whole seconds.",
            registry=registry,
            buckets=_FAST,
        )
        self.applied_to_ready_seconds = Histogram(
            "gco_stream_applied_to_ready_seconds",
            "Time in seconds from applying a change to the endpoint running in its desired state.",
            registry=registry,
            buckets=_SLOW,
        )
        self.steps = Counter(
            "gco_stream_steps_total",
            "Plan steps executed, by step and kind of object.",
            ["step", "kind"],
            registry=registry,
        )
        self.table_writes = Counter(
            "gco_stream_table_writes_total", "Writes to the table, by kind.", ["kind"], registry=registry
        )
        self.resync_failures = Counter(
            "gco_stream_resync_failures_total", "Table scans that failed or were incomplete.", registry=registry
        )
        self.resync_seconds = Histogram(
            "gco_stream_resync_seconds",
            "Duration in seconds of a table scan and its comparison with the known items.",
            registry=registry,
            buckets=_FAST,
        )
        self.endpoints = Gauge("gco_stream_endpoints", "Items in the table.", registry=registry)
        self.endpoint_states = Gauge(
            "gco_stream_endpoints_by_state",
            "Items, by the state that this region reports: unreported if it has not reported yet, elsewhere if the "
            "region is not and never was a target.",
            ["state"],
            registry=registry,
        )
        self.unclaimed = Gauge(
            "gco_stream_unclaimed_objects_endpoints",
            "Endpoints that have objects in the cluster but no item in the table.",
            registry=registry,
        )
        self.guard = Gauge(
            "gco_stream_guard_state",
            "1 for the current state of the deletion guard: idle, holding (some deletions are held back), table_empty "
            "(all are held back because the table has no items), or table_recreated (all are held back because the "
            "table was deleted and recreated).",
            ["state"],
            registry=registry,
        )
        self.deletions_left = Gauge(
            "gco_stream_deletions_left",
            "Endpoints that can still be deleted this hour without approval.",
            registry=registry,
        )
        self.held_back = Gauge(
            "gco_stream_held_back_endpoints",
            "Endpoints whose plan a fleet-wide limit holds back: withdrawals of Ingresses, or removals of objects.",
            ["limit"],
            registry=registry,
        )
        self.deletions_held = Gauge(
            "gco_stream_deletions_held",
            "Endpoints whose deletion waits for approval: too many in one hour, or the table is empty.",
            registry=registry,
        )
        self.removals = Counter(
            "gco_stream_removals_total",
            "Removals of endpoints that left the region or have no item, by what allowed them: budget or approval.",
            ["allowed_by"],
            registry=registry,
        )
        self.step_events = Counter(
            "gco_stream_steps_told_total",
            "Plan steps reported by an Event, by the Event's reason (IngressWithdrawn, CanaryUnready, ...).",
            ["reason"],
            registry=registry,
        )
        self.watches = Gauge(
            "gco_stream_watches",
            "Watches of the cluster. unsynced: the live objects are not known yet.",
            ["state"],
            registry=registry,
        )
        self.watch_silence = Gauge(
            "gco_stream_watch_silence_seconds",
            "Seconds since the quietest watch received anything. A watch is restarted after 100 s.",
            registry=registry,
        )
        self.cached_objects = Gauge("gco_stream_cached_objects", "Objects in the watch caches.", registry=registry)
        self._create_series()

    def _create_series(self) -> None:
        """Creates all series with known label values."""
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
        """Resets all gauges that only the leader sets, so a former leader does not keep reporting old values."""
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
        """Sets the current mode, one of MODES; any other value means none."""
        for known in MODES:
            self.mode.labels(known).set(known == mode)

    def set_guard_state(self, state: str) -> None:
        """Sets the state of the deletion guard, one of GUARD_STATES; any other value means none."""
        for known in GUARD_STATES:
            self.guard.labels(known).set(known == state)

    def set_endpoint_states(self, states: Mapping[str, int]) -> None:
        """Sets the number of items in each of ENDPOINT_STATES; states missing from `states` are set to 0."""
        for state in ENDPOINT_STATES:
            self.endpoint_states.labels(state).set(states.get(state, 0))

    def render(self) -> bytes:
        """Returns the metrics in Prometheus' text format.

        This may read files in /proc, so do not call it on the event loop.
        """
        return generate_latest(self.registry)
