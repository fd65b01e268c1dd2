"""Metrics: what Prometheus scrapes. Labels have few values each and never an endpoint's name."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# Pods that load a model take many minutes.
_SLOW = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)


class Metrics:
    """Every metric of this process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
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
        self.reconciles = Counter("gco_stream_reconcile_total", "Reconciles by result.", ["result"], registry=registry)
        self.reconcile_seconds = Histogram(
            "gco_stream_reconcile_seconds", "Time of one reconcile.", registry=registry, buckets=_FAST
        )
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
        self.queue_depth = Gauge("workqueue_depth", "Names that wait.", ["name"], registry=registry)
        self.queue_adds = Counter("workqueue_adds_total", "Names added.", ["name", "band"], registry=registry)
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
        self.unclaimed = Gauge(
            "gco_stream_unclaimed_objects_endpoints",
            "Endpoints whose objects stand here without an item in the table.",
            registry=registry,
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
        self.told = Counter(
            "gco_stream_steps_told_total",
            "Steps that people are told of by an Event, by its reason (IngressWithdrawn, CanaryUnready, ...).",
            ["reason"],
            registry=registry,
        )

    def render(self) -> bytes:
        """The metrics in Prometheus' text form."""
        return generate_latest(self.registry)
