"""The work queue and the reconciles under the names that every Kubernetes controller has for them.

Names, labels and meanings are client-go's (`workqueue_*`, k8s.io/component-base/metrics/prometheus/workqueue) and
controller-runtime's (`controller_runtime_*`, pkg/internal/controller/metrics), so that dashboards made for other
controllers show this one. `priority` is ours: `fresh` for changes, `resync` for what scans find.
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
    """Of one queue and its workers; every series is there from the start, so that rates begin with the first event."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, label: str = "name") -> Gauge:
            return Gauge(name, text, [label], registry=registry).labels(QUEUE_NAME)

        def counter(name: str, text: str, label: str = "controller") -> Counter:
            return Counter(name, text, [label], registry=registry).labels(QUEUE_NAME)

        def histogram(name: str, text: str, label: str = "name") -> Histogram:
            return Histogram(name, text, [label], registry=registry, buckets=_SECONDS).labels(QUEUE_NAME)

        self._depth = gauge("workqueue_depth", "Names that wait.")
        adds = Counter("workqueue_adds_total", "Names added.", ["name", "band"], registry=registry)
        self._adds = {priority: adds.labels(QUEUE_NAME, priority) for priority in PRIORITIES}
        self._waited = histogram("workqueue_queue_duration_seconds", "Time that a name waited before it was taken.")
        self._worked = histogram("workqueue_work_duration_seconds", "Time of the work on one name.")
        self._unfinished = gauge(
            "workqueue_unfinished_work_seconds", "Age of all work in hand together: grows where work hangs."
        )
        self._longest = gauge("workqueue_longest_running_processor_seconds", "Age of the oldest work in hand.")
        self._retries = counter("workqueue_retries_total", "Names added again after a failure.", "name")

        results = Counter(
            "controller_runtime_reconcile_total",
            "Reconciles by how they ended.",
            ["controller", "result"],
            registry=registry,
        )
        self._results = {result: results.labels(QUEUE_NAME, result) for result in RESULT_LABELS}
        self._errors = counter("controller_runtime_reconcile_errors_total", "Reconciles that ended in an error.")
        self._final = counter(
            "controller_runtime_terminal_reconcile_errors_total",
            "Reconciles that the API server refused for good: nothing helps but another item.",
        )
        self._broken = counter(
            "controller_runtime_reconcile_panics_total", "Reconciles that a fault of this program broke off."
        )
        self._took = histogram("controller_runtime_reconcile_time_seconds", "Time of one reconcile.", "controller")
        self._most = gauge(
            "controller_runtime_max_concurrent_reconciles", "Workers, not counting stand-ins.", "controller"
        )
        self._active = gauge("controller_runtime_active_workers", "Names in work.", "controller")

    def added(self, priority: str) -> None:
        """A name was added in one of BANDS."""
        self._adds[priority].inc()

    def got(self, waited: float) -> None:
        """A name was taken after so many seconds."""
        self._waited.observe(waited)

    def done(self, worked: float) -> None:
        """The work on a name has ended after so many seconds."""
        self._worked.observe(worked)

    def retried(self) -> None:
        """A name will be tried again, since it failed."""
        self._retries.inc()

    def reconciled(self, result: ResultLabel, took: float, *, final: bool = False, broken: bool = False) -> None:
        """A reconcile has ended after `took` seconds. `final`: refused for good; `broken`: a fault of ours."""
        self._results[result].inc()
        self._took.observe(took)
        if result == "error":
            self._errors.inc()
            self._final.inc(final)
            self._broken.inc(broken)

    def observe(self, depth: int, processing_seconds: Iterable[float], workers: int) -> None:
        """Before a scrape: how many wait, the ages (seconds) of what is in work, and how many are to work at once."""
        ages = list(processing_seconds)
        self._depth.set(depth)
        self._unfinished.set(sum(ages))
        self._longest.set(max(ages, default=0))
        self._active.set(len(ages))
        self._most.set(workers)
