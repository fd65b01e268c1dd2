"""docs/metrics.md: every metric of the program with its labels, read from the registry that /metrics is made of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from gco_stream.ops.metrics import Metrics
from gco_stream.ops.process import collect_process

REFERENCE: Final = Path(__file__).parent.parent.parent / "docs" / "metrics.md"

_HEAD: Final = """\
# Metrics

Made from the code by `python -m tools.metrics`; a test holds it true.

`/metrics` on `HTTP_PORT` (8080) is what Prometheus scrapes, of every replica. Only the leader works, so what tells of
endpoints, queue and stream is 0 on the others; sum over the replicas, or take the maximum. No metric bears an
endpoint's name: the number of series does not grow with the table. Values of labels that are listed are there from the
start, at 0; the others come with the first event.

The alerts made of them are in `helm/gco-stream/alerts/`, what to do about each in [Operations](operations.md). The
dashboard is `helm/gco-stream/dashboards/gco-stream.json`; [its pictures](#the-dashboard) are below.
"""
_TAIL: Final = """
## The dashboard

The chart brings it with `metrics.dashboards.enabled`. These pictures are not Grafana's: a script (`make screenshots`)
lets two replicas work on a fleet that changes, on a control plane of its own. A real Prometheus scrapes them and
answers the dashboard's own queries, and a page draws the answers of the last three minutes: places, units, legends and
thresholds are the file's, fonts and margins are not. On the way the leader is replaced.
"""
_PICTURES: Final = (
    ("dashboard", "The rows Fleet and Changes: states, what is held back, how long changes take, what was done"),
    ("dashboard-stream", "The rows Stream and Kubernetes: lag, records, scans, requests and how long they take"),
    ("dashboard-process", "The rows Leadership and Process: the lead goes over to the other replica"),
)

_ROOMS: Final = (
    ("Leadership and health", ("leader_", "gco_stream_ready", "gco_stream_build_info")),
    (
        "Endpoints",
        (
            *("gco_stream_endpoints", "gco_stream_unclaimed", "gco_stream_guard", "gco_stream_deletions"),
            *("gco_stream_held", "gco_stream_removals", "gco_stream_steps", "gco_stream_table_writes"),
        ),
    ),
    (
        "Changes",
        (
            *("gco_stream_change", "gco_stream_record_to", "gco_stream_applied", "gco_stream_reconcile"),
            *("gco_stream_missed", "gco_stream_resync", "controller_runtime_", "workqueue_"),
        ),
    ),
    ("Kubernetes", ("rest_client_", "gco_stream_watch", "gco_stream_cached")),
    ("Process", ("process_", "python_", "gco_stream_event_loop")),
    ("Stream and table", ("gco_stream_",)),
)


def registry() -> CollectorRegistry:
    """Every metric of the program, before anything has happened."""
    metrics = Metrics()
    collect_process(metrics.registry)
    metrics.leader.labels("inference-monitor-leader")
    return metrics.registry


def reference() -> str:
    """The page as it should be."""
    everything = registry()
    labels = {
        metric.name: collector._labelnames
        for collector in everything._collector_to_names
        if isinstance(collector, MetricWrapperBase)
        for metric in collector.collect()
    }
    rooms: dict[str, list[str]] = {title: [] for title, _ in _ROOMS}
    for metric in sorted(everything.collect(), key=lambda metric: metric.name):
        rooms[_room(metric.name)] += _row(metric, labels.get(metric.name) or _bound(metric))
    pictures = (_picture(name, told) for name, told in _PICTURES)
    return "".join((_HEAD, *(_section(title, rows) for title, rows in rooms.items()), _TAIL, *pictures))


def _section(title: str, rows: list[str]) -> str:
    return "\n".join([f"\n## {title}\n", "| metric | type | labels | what it tells |", "|---|---|---|---|", *rows, ""])


def _picture(name: str, told: str) -> str:
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="images/{name}-dark.png">'
    return f'\n<picture>\n  {dark}\n  <img src="images/{name}-light.png" alt="{told}">\n</picture>\n'


def _room(name: str) -> str:
    return next(title for title, beginnings in _ROOMS if name.startswith(beginnings))


def _row(metric: Metric, names: tuple[str, ...]) -> Iterator[str]:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    told = ", ".join(_label(metric, label) for label in names) or "-"
    unit = metric.documentation.strip().replace("|", "\\|")
    yield f"| `{name}` | {metric.type} | {told} | {unit} |"


def _label(metric: Metric, label: str) -> str:
    values = dict.fromkeys(sample.labels[label] for sample in metric.samples if label in sample.labels)
    # Of what differs from machine to machine, and from one release to the next, no value is told.
    if not values or label in {"version", "python_version"}:
        return f"`{label}`"
    return f"`{label}` ({', '.join(values)})"


def _bound(metric: Metric) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for sample in metric.samples for name in sample.labels if name != "le"))
