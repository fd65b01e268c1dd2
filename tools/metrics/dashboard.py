"""The Grafana dashboard: rows of panels, written down as what they ask and made into Grafana's JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DASHBOARD: Final = Path(__file__).parent.parent.parent / "helm" / "gco-stream" / "dashboards" / "gco-stream.json"

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
# What is chosen above the panels; `{}` and `{,` in an expression stand for it.
_CHOSEN: Final = 'namespace=~"$namespace",job=~"$job"'
_WIDTH: Final = 24
_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: `asks` has a legend for each expression, `{}` or `{,` in these stands for the chosen fleet.

    `unit` is Grafana's: short, s, percentunit, bytes, reqps, ops. `alarming`: the colour of a stat from 1 on; without
    it, any number is as good as another.
    """

    title: str
    tells: str
    asks: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    alarming: str = ""


def quantiles(metric: str) -> dict[str, str]:
    """The median and the slowest in a hundred of a histogram."""
    rate = f"sum by (le) (rate({metric}_bucket{{}}[$__rate_interval]))"
    return {name: f"histogram_quantile({part}, {rate})" for name, part in (("p50", 0.5), ("p99", 0.99))}


def of_those_seen(metric: str, labels: str) -> str:
    """How often a second, by these labels, without what has never happened: that would fill the legend."""
    return f"sum by ({labels}) (rate({metric}{{}}[$__rate_interval])) and sum by ({labels}) ({metric}{{}}) > 0"


_ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "Fleet": (
        Panel("Endpoints", "Items of the table.", {"": "max(gco_stream_endpoints{})"}, kind="stat", width=4),
        Panel(
            "In error",
            "What these items ask for cannot be made here.",
            {"": 'sum(gco_stream_endpoints_by_state{,state="error"})'},
            kind="stat",
            width=4,
            alarming="red",
        ),
        Panel(
            "Removals held back",
            "They wait for `gco-stream approve-deletes`, or for the next hour.",
            {"": "max(gco_stream_deletions_held{})"},
            kind="stat",
            width=4,
            alarming="orange",
        ),
        Panel(
            "Endpoints by state",
            "As this region reports them.",
            {"{{state}}": 'sum by (state) (gco_stream_endpoints_by_state{,state!="elsewhere"})'},
            width=12,
            stacked=True,
        ),
        Panel(
            "Held back by limits",
            "Endpoints of which the Ingress would be withdrawn, or the objects removed, were there no limit.",
            {"{{limit}}": "max by (limit) (gco_stream_held_back_endpoints{})"},
        ),
        Panel(
            "Guard on removals",
            "Removals that may still begin unasked in this hour, and those that have begun, by what let them go.",
            {
                "left": "max(gco_stream_deletions_left{})",
                "begun by {{allowed_by}}": "sum by (allowed_by) (increase(gco_stream_removals_total{}[1h]))",
                "guard is {{state}}": "max by (state) (gco_stream_guard_state{}) > 0",
            },
        ),
        Panel(
            "Objects without an item",
            "Endpoints of which objects stand here that the table does not know.",
            {"endpoints": "max(gco_stream_unclaimed_objects_endpoints{})"},
        ),
    ),
    "Changes": (
        Panel(
            "From record to applied",
            "From the stream record read to the last object accepted.",
            quantiles("gco_stream_record_to_applied_seconds"),
            unit="s",
        ),
        Panel(
            "From change to applied",
            "From the write to the table to the last object accepted.",
            quantiles("gco_stream_change_to_applied_seconds"),
            unit="s",
        ),
        Panel(
            "From applied to ready",
            "From the last object accepted to the endpoint running as asked: pulling images, loading models.",
            quantiles("gco_stream_applied_to_ready_seconds"),
            unit="s",
        ),
        Panel("Waiting for a worker", "Time in the queue.", quantiles("workqueue_queue_duration_seconds"), unit="s"),
        Panel("Reconciles take", "One endpoint.", quantiles("controller_runtime_reconcile_time_seconds"), unit="s"),
        Panel(
            "Reconciles",
            "By result.",
            {"{{result}}": "sum by (result) (rate(gco_stream_reconcile_total{}[$__rate_interval]))"},
            unit="ops",
            stacked=True,
        ),
        Panel(
            "Queue",
            "Names that wait, names in work, and those that were tried again.",
            {
                "waiting": "sum(workqueue_depth{})",
                "in work": "sum(controller_runtime_active_workers{})",
                "workers": "max(controller_runtime_max_concurrent_reconciles{})",
                "retries/s": "sum(rate(workqueue_retries_total{}[$__rate_interval]))",
            },
        ),
        Panel(
            "Oldest work in hand",
            "After 600 s the process is restarted.",
            {
                "oldest": "max(workqueue_longest_running_processor_seconds{})",
                "all together": "sum(workqueue_unfinished_work_seconds{})",
            },
            unit="s",
        ),
        Panel(
            "Steps on objects",
            "What was done, by kind of object.",
            {"{{step}} {{kind}}": of_those_seen("gco_stream_steps_total", "step, kind")},
            unit="ops",
            stacked=True,
        ),
        Panel(
            "People were told of",
            "Events for what a person would look for.",
            {"{{reason}}": "sum by (reason) (increase(gco_stream_steps_told_total{}[$__rate_interval]))"},
        ),
        Panel(
            "Writes to the table",
            "Reports, promotions and purges; none at rest.",
            {"{{kind}}": "sum by (kind) (rate(gco_stream_table_writes_total{}[$__rate_interval]))"},
            unit="ops",
        ),
    ),
    "Stream": (
        Panel(
            "How changes arrive",
            "By the stream, or by polling where it cannot be read.",
            {"{{mode}}": "max by (mode) (gco_stream_mode{})"},
        ),
        Panel(
            "Lag",
            "At most so long ago something was written that is not delivered yet; how old the oldest iterator is.",
            {"lag": "max(gco_stream_lag_seconds{})", "iterator": "max(gco_stream_iterator_age_seconds{})"},
            unit="s",
        ),
        Panel("Shards", "Read, or waiting for their parent.", {"{{state}}": "sum by (state) (gco_stream_shards{})"}),
        Panel(
            "Records",
            "Own reports among them.",
            {"{{event}}": "sum by (event) (rate(gco_stream_records_total{}[$__rate_interval]))"},
            unit="ops",
        ),
        Panel(
            "Missed, gaps, failed scans",
            "Each of them should be rare; the resync finds what was missed.",
            {
                "missed changes": "sum(increase(gco_stream_missed_changes_total{}[$__rate_interval]))",
                "gaps": "sum(increase(gco_stream_gaps_total{}[$__rate_interval]))",
                "failed scans": "sum(increase(gco_stream_resync_failures_total{}[$__rate_interval]))",
            },
        ),
        Panel("Scan of the table", "Time of one.", quantiles("gco_stream_resync_seconds"), unit="s"),
        Panel(
            "Requests to AWS",
            "By operation and result.",
            {"{{operation}} {{result}}": of_those_seen("gco_stream_aws_requests_total", "operation, result")},
            unit="reqps",
            width=12,
        ),
        Panel(
            "AWS answers in",
            "The slowest in a hundred, by operation.",
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
            "Requests",
            "By method and status; <error>: no answer came.",
            {"{{method}} {{code}}": "sum by (method, code) (rate(rest_client_requests_total{}[$__rate_interval]))"},
            unit="reqps",
        ),
        Panel(
            "The API server answers in",
            "The slowest in a hundred, by method.",
            {
                "{{verb}}": "histogram_quantile(0.99, sum by (verb, le) "
                "(rate(rest_client_request_duration_seconds_bucket{}[$__rate_interval])))"
            },
            unit="s",
        ),
        Panel(
            "Watches",
            "Unsynced: what stands there is not known.",
            {
                "{{state}} {{pod}}": "sum by (state, pod) (gco_stream_watches{})",
                "silent for {{pod}} (s)": "max by (pod) (gco_stream_watch_silence_seconds{})",
            },
        ),
    ),
    "Leadership": (
        Panel(
            "Leader",
            "One of the replicas.",
            {"{{pod}}": 'max by (pod) (leader_election_master_status{,name="inference-monitor-leader"})'},
        ),
        Panel("Ready", "As /readyz says.", {"{{pod}}": "min by (pod) (gco_stream_ready{})"}),
        Panel(
            "Versions", "More than one: a roll-out.", {"{{version}}": "count by (version) (gco_stream_build_info{})"}
        ),
    ),
    "Process": (
        Panel("CPU", "Cores.", {"{{pod}}": "sum by (pod) (rate(process_cpu_seconds_total{}[$__rate_interval]))"}),
        Panel(
            "Memory",
            "Resident, and objects of the cluster that are known.",
            {"{{pod}}": "sum by (pod) (process_resident_memory_bytes{})"},
            unit="bytes",
        ),
        Panel("Objects known", "By watches.", {"{{pod}}": "sum by (pod) (gco_stream_cached_objects{})"}),
        Panel(
            "Event loop comes late",
            "Part of the time.",
            {"{{pod}}": "sum by (pod) (rate(gco_stream_event_loop_stall_seconds_sum{}[$__rate_interval]))"},
            unit="percentunit",
        ),
        Panel(
            "File descriptors",
            "Open, of those that may be.",
            {"{{pod}}": "sum by (pod) (process_open_fds{}) / sum by (pod) (process_max_fds{})"},
            unit="percentunit",
        ),
        Panel(
            "Up since",
            "Restarts are seen here.",
            {"{{pod}}": "time() - max by (pod) (process_start_time_seconds{})"},
            unit="s",
        ),
    ),
}


def dashboard() -> str:
    """Grafana's JSON."""
    made = {
        "uid": "gco-stream",
        "title": "gco-stream",
        "description": "The controller of inference endpoints: made by python -m tools.metrics.",
        "tags": ["gco-stream", "kubernetes", "inference"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


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
        "description": panel.tells,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": _chosen(expr), "legendFormat": legend}
            for number, (legend, expr) in enumerate(panel.asks.items())
        ],
    }


def _thresholds(panel: Panel) -> Iterator[dict[str, Any]]:
    """Where a number changes its colour. Grafana's own, which are used where none are named, turn red at 80."""
    yield {"color": "green" if panel.alarming else "blue", "value": None}
    if panel.alarming:
        yield {"color": panel.alarming, "value": 1}


def _chosen(expr: str) -> str:
    """The expression with the chosen fleet in each of its selectors."""
    return expr.replace("{}", f"{{{_CHOSEN}}}").replace("{,", f"{{{_CHOSEN},")
