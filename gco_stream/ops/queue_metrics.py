"""Metrics of the work queue and of reconciles, under the standard names for Kubernetes controllers.

Names, labels and meanings are those of client-go (`workqueue_*`, k8s.io/component-base/metrics/prometheus/workqueue)
and controller-runtime (`controller_runtime_*`, pkg/internal/controller/metrics), so existing dashboards work. The
label `band` of `workqueue_adds_total` is specific to gco-stream. Its values are `fresh` for changes and `resync` for
keys that a scan of the table adds.
"""

from collections.abc import Iterable
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

QUEUE_NAME: Final = "endpoints"
PRIORITIES: Final = ("fresh", "resync")
_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

ResultLabel = Literal["success", "requeue", "requeue_after", "error"]
RESULT_LABELS: Final = ("success", "requeue", "requeue_after", "error")


class QueueMetrics:
    """Metrics of one queue and its workers. All series exist from the start, so rates include the first event."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, label: str = "name") -> Gauge:
            return Gauge(name, text, [label], registry=registry).labels(QUEUE_NAME)

        def counter(name: str, text: str, label: str = "controller") -> Counter:
            return Counter(name, text, [label], registry=registry).labels(QUEUE_NAME)

        def histogram(name: str, text: str, label: str = "name") -> Histogram:
            return Histogram(name, text, [label], registry=registry, buckets=_SECONDS).labels(QUEUE_NAME)

        self._depth = gauge("workqueue_depth", "Keys waiting in the queue.")
        adds = Counter("workqueue_adds_total", "Keys added to the queue.", ["name", "band"], registry=registry)
        self._adds = {priority: adds.labels(QUEUE_NAME, priority) for priority in PRIORITIES}
        self._waited = histogram(
            "workqueue_queue_duration_seconds", "Time in seconds that a key waits in the queue before a worker gets it."
        )
        self._worked = histogram("workqueue_work_duration_seconds", "Time in seconds that a worker spends on a key.")
        self._unfinished = gauge(
            "workqueue_unfinished_work_seconds",
            "Sum of the ages in seconds of all work in progress; it keeps growing while a worker is stuck.",
        )
        self._longest = gauge(
            "workqueue_longest_running_processor_seconds", "Age in seconds of the oldest work in progress."
        )
        self._retries = counter("workqueue_retries_total", "Keys requeued after a failure.", "name")

        results = Counter(
            "controller_runtime_reconcile_total",
            "Reconciles, by outcome.",
            ["controller", "result"],
            registry=registry,
        )
        self._results = {result: results.labels(QUEUE_NAME, result) for result in RESULT_LABELS}
        self._errors = counter("controller_runtime_reconcile_errors_total", "Reconciles that failed.")
        self._final = counter(
            "controller_runtime_terminal_reconcile_errors_total",
            "Reconciles that failed permanently: the API server rejects the objects until the item changes.",
        )
        self._broken = counter(
            "controller_runtime_reconcile_panics_total", "Reconciles aborted by a bug in gco-stream."
        )
        self._took = histogram(
            "controller_runtime_reconcile_time_seconds", "Duration in seconds of a reconcile.", "controller"
        )
        self._most = gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Maximum number of concurrent reconciles, without the extra workers that replace blocked ones.",
            "controller",
        )
        self._active = gauge("controller_runtime_active_workers", "Keys being processed.", "controller")

    def added(self, priority: str) -> None:
        """Records that a key was added with one of PRIORITIES."""
        self._adds[priority].inc()

    def got(self, waited: float) -> None:
        """Records that a worker got a key after it had waited `waited` seconds."""
        self._waited.observe(waited)

    def done(self, worked: float) -> None:
        """Records that a worker finished a key after `worked` seconds."""
        self._worked.observe(worked)

    def retried(self) -> None:
        """Records that a key was requeued after a failure."""
        self._retries.inc()

    def reconciled(self, result: ResultLabel, took: float, *, final: bool = False, broken: bool = False) -> None:
        """Records a reconcile that took `took` seconds.

        `final`: it failed permanently. `broken`: a bug in gco-stream aborted it.
        """
        self._results[result].inc()
        self._took.observe(took)
        if result == "error":
            self._errors.inc()
            self._final.inc(final)
            self._broken.inc(broken)

    def observe(self, depth: int, processing_seconds: Iterable[float], workers: int) -> None:
        """Sets the gauges before a scrape.

        `depth`: keys waiting. `processing_seconds`: ages in seconds of the keys being processed. `workers`: maximum
        concurrency.
        """
        ages = list(processing_seconds)
        self._depth.set(depth)
        self._unfinished.set(sum(ages))
        self._longest.set(max(ages, default=0))
        self._active.set(len(ages))
        self._most.set(workers)
