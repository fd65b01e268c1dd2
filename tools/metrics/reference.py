"""Generates docs/metrics.md, which lists every metric and its labels, from the registry that /metrics serves."""

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

`python -m tools.metrics` generates this page from the code; a test checks that it is current.

Prometheus scrapes `/metrics` on `HTTP_PORT` (8080) of every replica. Only the leader does work, so the metrics of
endpoints, queue and stream are 0 on the other replicas: sum over the replicas, or take the maximum. No metric has an
endpoint's name as a label, so the number of series does not grow with the table. Series with the label values listed
here exist from the start, at 0; the others appear with the first event.

The alerts are in `helm/gco-stream/alerts/`, and [Operations](operations.md) has a runbook for each. The dashboard is
`helm/gco-stream/dashboards/gco-stream.json`; [screenshots](#the-dashboard) are below.
"""
_TAIL: Final = """
## The dashboard

The chart installs the dashboard if `metrics.dashboards.enabled` is set. These pictures are not drawn by Grafana: a
script (`make screenshots`) runs two replicas on a local control plane with a changing fleet. A real Prometheus scrapes
them and answers the dashboard's own queries, and a page draws the results of the last three minutes. Layout, units,
legends and thresholds come from the dashboard file; fonts and margins do not. The leader is replaced during the run.
"""
_PICTURES: Final = (
    ("dashboard", "The rows Fleet and Changes: states, held deletions, durations of changes, and plan steps"),
    ("dashboard-stream", "The rows Stream and Kubernetes: lag, records, scans, requests and latencies"),
    ("dashboard-process", "The rows Leadership and Process: the other replica becomes the leader"),
)

_SECTIONS: Final = (
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
    """Returns a registry with every metric of the program, before any event."""
    metrics = Metrics()
    collect_process(metrics.registry)
    metrics.leader.labels("inference-monitor-leader")
    return metrics.registry


def reference() -> str:
    """Returns the text of the page."""
    metrics = registry()
    labels = {
        metric.name: collector._labelnames
        for collector in metrics._collector_to_names
        if isinstance(collector, MetricWrapperBase)
        for metric in collector.collect()
    }
    sections: dict[str, list[str]] = {title: [] for title, _ in _SECTIONS}
    for metric in sorted(metrics.collect(), key=lambda metric: metric.name):
        sections[_section_of(metric.name)] += _row(metric, labels.get(metric.name) or _sampled_labels(metric))
    pictures = (_picture(name, text) for name, text in _PICTURES)
    return "".join((_HEAD, *(_section(title, rows) for title, rows in sections.items()), _TAIL, *pictures))


def _section(title: str, rows: list[str]) -> str:
    return "\n".join([f"\n## {title}\n", "| metric | type | labels | meaning |", "|---|---|---|---|", *rows, ""])


def _picture(name: str, text: str) -> str:
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="images/{name}-dark.png">'
    return f'\n<picture>\n  {dark}\n  <img src="images/{name}-light.png" alt="{text}">\n</picture>\n'


def _section_of(name: str) -> str:
    return next(title for title, prefixes in _SECTIONS if name.startswith(prefixes))


def _row(metric: Metric, names: tuple[str, ...]) -> Iterator[str]:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    listed = ", ".join(_label(metric, label) for label in names) or "-"
    text = metric.documentation.strip().replace("|", "\\|")
    yield f"| `{name}` | {metric.type} | {listed} | {text} |"


def _label(metric: Metric, label: str) -> str:
    values = dict.fromkeys(sample.labels[label] for sample in metric.samples if label in sample.labels)
    # These values differ between machines and releases, so they are not listed.
    if not values or label in {"version", "python_version"}:
        return f"`{label}`"
    return f"`{label}` ({', '.join(values)})"


def _sampled_labels(metric: Metric) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for sample in metric.samples for name in sample.labels if name != "le"))
