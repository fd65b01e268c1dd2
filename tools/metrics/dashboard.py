"""Generates the Grafana dashboard: rows of panels with their queries, rendered as Grafana's JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DASHBOARD: Final = Path(__file__).parent.parent.parent / "helm" / "gco-stream" / "dashboards" / "gco-stream.json"

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
# The selection made with the dashboard's variables; it replaces `{}` and `{,` in an expression.
_SELECTION: Final = 'namespace=~"$namespace",job=~"$job"'
_WIDTH: Final = 24
_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. `queries` maps legends to expressions, in which the selected fleet replaces `{}` and `{,`.

    `unit` is one of Grafana's: short, s, percentunit, bytes, reqps, ops. `alert_color` is the color of a stat of 1 or
    more; without it the color does not depend on the value.
    """

    title: str
    description: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    alert_color: str = ""


def quantiles(metric: str) -> dict[str, str]:
    """Returns queries for the median and the 99th percentile of a histogram."""
    rate = f"sum by (le) (rate({metric}_bucket{{}}[$__rate_interval]))"
    return {name: f"histogram_quantile({part}, {rate})" for name, part in (("p50", 0.5), ("p99", 0.99))}


def rate_by(metric: str, labels: str) -> str:
    """Returns a query for the rate by `labels`, without series that are still 0, which would fill the legend."""
    return f"sum by ({labels}) (rate({metric}{{}}[$__rate_interval])) and sum by ({labels}) ({metric}{{}}) > 0"


_ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Fleet": (
        Panel("Endpoints", "Items in the table.", {"": "max(gco_stream_endpoints{})"}, kind="stat", width=4),
        Panel(
            "In error",
            "Endpoints whose desired state cannot be reached in this region.",
            {"": 'sum(gco_stream_endpoints_by_state{,state="error"})'},
            kind="stat",
            width=4,
            alert_color="red",
        ),
        Panel(
            "Deletions held",
            "Endpoints whose deletion waits for `gco-stream approve-deletes` or for the next hour.",
            {"": "max(gco_stream_deletions_held{})"},
            kind="stat",
            width=4,
            alert_color="orange",
        ),
        Panel(
            "Endpoints by state",
            "Number of endpoints by the state that this region reports.",
            {"{{state}}": 'sum by (state) (gco_stream_endpoints_by_state{,state!="elsewhere"})'},
            width=12,
            stacked=True,
        ),
        Panel(
            "Held back by fleet limits",
            "Endpoints whose Ingress would be withdrawn, or whose objects removed, if there were no limit.",
            {"{{limit}}": "max by (limit) (gco_stream_held_back_endpoints{})"},
        ),
        Panel(
            "Deletion guard",
            "Deletions left in this hour without approval, deletions begun by what allowed them, and the guard state.",
            {
                "left": "max(gco_stream_deletions_left{})",
                "allowed by {{allowed_by}}": "sum by (allowed_by) (increase(gco_stream_removals_total{}[1h]))",
                "guard: {{state}}": "max by (state) (gco_stream_guard_state{}) > 0",
            },
        ),
        Panel(
            "Objects without an item",
            "Endpoints that have objects in the cluster but no item in the table.",
            {"endpoints": "max(gco_stream_unclaimed_objects_endpoints{})"},
        ),
    ),
    "Changes": (
        Panel(
            "From record to applied",
            "Time from reading the stream record to applying the last object.",
            quantiles("gco_stream_record_to_applied_seconds"),
            unit="s",
        ),
        Panel(
            "From change to applied",
            "Time from the write to the table to applying the last object.",
            quantiles("gco_stream_change_to_applied_seconds"),
            unit="s",
        ),
        Panel(
            "From applied to ready",
            "Time from applying the last object to the endpoint running in its desired state. It includes pulling "
            "images and loading models.",
            quantiles("gco_stream_applied_to_ready_seconds"),
            unit="s",
        ),
        Panel(
            "Queue wait", "Time that a key waits for a worker.", quantiles("workqueue_queue_duration_seconds"), unit="s"
        ),
        Panel(
            "Reconcile duration",
            "Time to reconcile one endpoint.",
            quantiles("controller_runtime_reconcile_time_seconds"),
            unit="s",
        ),
        Panel(
            "Reconciles",
            "Rate of reconciles by result.",
            {"{{result}}": "sum by (result) (rate(gco_stream_reconcile_total{}[$__rate_interval]))"},
            unit="ops",
            stacked=True,
        ),
        Panel(
            "Queue",
            "Keys that wait for a worker, keys being processed, and retries.",
            {
                "waiting": "sum(workqueue_depth{})",
                "processing": "sum(controller_runtime_active_workers{})",
                "workers": "max(controller_runtime_max_concurrent_reconciles{})",
                "retries/s": "sum(rate(workqueue_retries_total{}[$__rate_interval]))",
            },
        ),
        Panel(
            "Oldest work in progress",
            "Age of the oldest reconcile. The process is restarted after 600 s.",
            {
                "oldest": "max(workqueue_longest_running_processor_seconds{})",
                "total": "sum(workqueue_unfinished_work_seconds{})",
            },
            unit="s",
        ),
        Panel(
            "Plan steps",
            "Rate of plan steps executed, by step and kind of object.",
            {"{{step}} {{kind}}": rate_by("gco_stream_steps_total", "step, kind")},
            unit="ops",
            stacked=True,
        ),
        Panel(
            "Events",
            "Plan steps that are reported by an Event, by reason.",
            {"{{reason}}": "sum by (reason) (increase(gco_stream_steps_told_total{}[$__rate_interval]))"},
        ),
        Panel(
            "Writes to the table",
            "Status reports, promotions and purges. There are none while nothing changes.",
            {"{{kind}}": "sum by (kind) (rate(gco_stream_table_writes_total{}[$__rate_interval]))"},
            unit="ops",
        ),
    ),
    "Stream": (
        Panel(
            "Change source",
            "The stream, or polling if the stream cannot be read.",
            {"{{mode}}": "max by (mode) (gco_stream_mode{})"},
        ),
        Panel(
            "Lag",
            "Upper bound on stream lag, and age of the oldest shard iterator.",
            {"lag": "max(gco_stream_lag_seconds{})", "iterator": "max(gco_stream_iterator_age_seconds{})"},
            unit="s",
        ),
        Panel(
            "Shards",
            "Shards being read, or waiting for their parent shard to end.",
            {"{{state}}": "sum by (state) (gco_stream_shards{})"},
        ),
        Panel(
            "Records",
            "Rate of stream records, including the controller's own status reports.",
            {"{{event}}": "sum by (event) (rate(gco_stream_records_total{}[$__rate_interval]))"},
            unit="ops",
        ),
        Panel(
            "Missed changes, gaps and failed scans",
            "Each should be rare. A resync finds missed changes.",
            {
                "missed changes": "sum(increase(gco_stream_missed_changes_total{}[$__rate_interval]))",
                "gaps": "sum(increase(gco_stream_gaps_total{}[$__rate_interval]))",
                "failed scans": "sum(increase(gco_stream_resync_failures_total{}[$__rate_interval]))",
            },
        ),
        Panel("Table scan duration", "Time to scan the table once.", quantiles("gco_stream_resync_seconds"), unit="s"),
        Panel(
            "Requests to AWS",
            "Rate of requests by operation and result.",
            {"{{operation}} {{result}}": rate_by("gco_stream_aws_requests_total", "operation, result")},
            unit="reqps",
            width=12,
        ),
        Panel(
            "AWS latency (p99)",
            "99th percentile of request durations, by operation.",
            {
                "{{operation}}": "histogram_quantile(0.99, sum by (operation, le) "
                "(rate(gco_stream_aws_request_duration_seconds_bucket{}[$__rate_interval])))"
            },
            unit="s",
            width=12,
        ),
    ),
    "Kubernetes": (
        Panel(
            "Requests to the API server",
            "Rate of requests by method and status code. <error> means that there was no response.",
            {"{{method}} {{code}}": "sum by (method, code) (rate(rest_client_requests_total{}[$__rate_interval]))"},
            unit="reqps",
        ),
        Panel(
            "API server latency (p99)",
            "99th percentile of request durations, by method.",
            {
                "{{verb}}": "histogram_quantile(0.99, sum by (verb, le) "
                "(rate(rest_client_request_duration_seconds_bucket{}[$__rate_interval])))"
            },
            unit="s",
        ),
        Panel(
            "Watches",
            "Watches by state, and seconds since the quietest one received anything. Unsynced: the live objects are "
            "not known yet.",
            {
                "{{state}} {{pod}}": "sum by (state, pod) (gco_stream_watches{})",
                "{{pod}} silent (s)": "max by (pod) (gco_stream_watch_silence_seconds{})",
            },
        ),
    ),
    "Leadership": (
        Panel(
            "Leader",
            "1 for the replica that leads.",
            {"{{pod}}": 'max by (pod) (leader_election_master_status{,name="inference-monitor-leader"})'},
        ),
        Panel("Ready", "1 while /readyz returns ok.", {"{{pod}}": "min by (pod) (gco_stream_ready{})"}),
        Panel(
            "Versions",
            "Replicas by version. There are several during a rollout.",
            {"{{version}}": "count by (version) (gco_stream_build_info{})"},
        ),
    ),
    "Process": (
        Panel(
            "CPU",
            "CPU usage in cores.",
            {"{{pod}}": "sum by (pod) (rate(process_cpu_seconds_total{}[$__rate_interval]))"},
        ),
        Panel(
            "Memory",
            "Resident memory.",
            {"{{pod}}": "sum by (pod) (process_resident_memory_bytes{})"},
            unit="bytes",
        ),
        Panel(
            "Cached objects", "Objects in the watch caches.", {"{{pod}}": "sum by (pod) (gco_stream_cached_objects{})"}
        ),
        Panel(
            "Event loop stalls",
            "Fraction of time that the event loop is delayed.",
            {"{{pod}}": "sum by (pod) (rate(gco_stream_event_loop_stall_seconds_sum{}[$__rate_interval]))"},
            unit="percentunit",
        ),
        Panel(
            "File descriptors",
            "Fraction of the allowed file descriptors that are open.",
            {"{{pod}}": "sum by (pod) (process_open_fds{}) / sum by (pod) (process_max_fds{})"},
            unit="percentunit",
        ),
        Panel(
            "Uptime",
            "Time since the process started.",
            {"{{pod}}": "time() - max by (pod) (process_start_time_seconds{})"},
            unit="s",
        ),
    ),
}


def dashboard() -> str:
    """Returns the dashboard as Grafana's JSON."""
    content = {
        "uid": "gco-stream",
        "title": "gco-stream",
        "description": "Controller of AI inference endpoints. Generated by python -m tools.metrics.",
        "tags": ["gco-stream", "kubernetes", "inference"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}
    for name, scope in (("namespace", ""), ("job", '{namespace=~"$namespace"}')):
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": f"label_values(gco_stream_build_info{scope}, {name})", "refId": name},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for title, panels in _ROWS.items():
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, _WIDTH, 1)}
        number, top, left = number + 1, top + 1, 0
        for panel in panels:
            if left + panel.width > _WIDTH:
                top, left = top + _HEIGHT, 0
            yield {"id": number, "gridPos": _place(left, top, panel.width, _HEIGHT), **_panel(panel)}
            number, left = number + 1, left + panel.width
        top += _HEIGHT


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.stacked else "none"}
        defaults["custom"] = {"fillOpacity": 20 if panel.stacked else 5, "stacking": stacking, "showPoints": "never"}
    else:
        defaults["thresholds"] = {"mode": "absolute", "steps": list(_thresholds(panel))}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": _with_selection(expr),
                "legendFormat": legend,
            }
            for number, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


def _thresholds(panel: Panel) -> Iterator[dict[str, Any]]:
    """Yields the thresholds of a stat. Without any, Grafana's default would turn it red at 80."""
    yield {"color": "green" if panel.alert_color else "blue", "value": None}
    if panel.alert_color:
        yield {"color": panel.alert_color, "value": 1}


def _with_selection(expr: str) -> str:
    """Returns the expression with the selected fleet in each of its selectors."""
    return expr.replace("{}", f"{{{_SELECTION}}}").replace("{,", f"{{{_SELECTION},")
