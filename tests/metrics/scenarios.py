"""Scraped series of a healthy fleet and, for each alert, series that make it fire and series that do not.

Values are in promtool's notation (`0x9`: ten times 0; `0+1x9`: 0 to 9), one per minute.
"""

from dataclasses import dataclass

Series = dict[str, str]

_FLEET = 'namespace="gco",job="gco-stream"'


def series_of(metric: str, pod: str = "a", **labels: str) -> str:
    """Returns a series of one pod in promtool's notation."""
    more = "".join(f',{name}="{value}"' for name, value in labels.items())
    return f'{metric}{{{_FLEET},pod="{pod}"{more}}}'


def leadership(pod: str) -> str:
    return series_of("leader_election_master_status", pod, name="inference-monitor-leader")


def queue_duration(le: str) -> str:
    return series_of("workqueue_queue_duration_seconds_bucket", name="endpoints", le=le)


def apply_duration(le: str) -> str:
    return series_of("gco_stream_record_to_applied_seconds_bucket", le=le)


def aws_requests(result: str) -> str:
    return series_of("gco_stream_aws_requests_total", service="dynamodb", operation="scan", result=result)


def api_requests(code: str) -> str:
    return series_of("rest_client_requests_total", code=code, method="PATCH", host="api")


HEALTHY: Series = {
    **{series_of("gco_stream_build_info", pod, version="1.0.0", python_version="3.13.1"): "1x180" for pod in "ab"},
    **{series_of("gco_stream_ready", pod): "1x180" for pod in "ab"},
    **{series_of("process_open_fds", pod): "60x180" for pod in "ab"},
    **{series_of("process_max_fds", pod): "1024x180" for pod in "ab"},
    **{series_of("gco_stream_event_loop_stall_seconds_sum", pod): "0+0.1x180" for pod in "ab"},
    leadership("a"): "1x180",
    leadership("b"): "0x180",
    series_of("gco_stream_mode", mode="poll"): "0x180",
    series_of("gco_stream_mode", mode="stream"): "1x180",
    series_of("gco_stream_lag_seconds"): "0.2x180",
    series_of("gco_stream_iterator_age_seconds"): "0.2x180",
    series_of("gco_stream_missed_changes_total"): "3x180",
    series_of("gco_stream_resync_failures_total"): "2x180",
    series_of("gco_stream_resync_seconds_count"): "0+1x180",
    series_of("gco_stream_records_total", event="MODIFY"): "0+5x180",
    series_of("gco_stream_steps_total", step="Apply", kind="Deployment"): "0+5x180",
    apply_duration("0.5"): "0+5x180",
    apply_duration("10"): "0+5x180",
    apply_duration("+Inf"): "0+5x180",
    series_of("gco_stream_reconcile_total", result="broken"): "0x180",
    series_of("controller_runtime_reconcile_errors_total", controller="endpoints"): "0+1x180",
    series_of("controller_runtime_reconcile_total", controller="endpoints", result="success"): "0+9x180",
    series_of("controller_runtime_reconcile_total", controller="endpoints", result="error"): "0+1x180",
    queue_duration("0.5"): "0+10x180",
    queue_duration("60"): "0+10x180",
    queue_duration("+Inf"): "0+10x180",
    series_of("workqueue_longest_running_processor_seconds", name="endpoints"): "0x180",
    aws_requests("ok"): "0+60x180",
    aws_requests("Throttled"): "0+1x180",
    aws_requests("Unreachable"): "0+1x180",
    api_requests("200"): "0+60x180",
    api_requests("503"): "0+1x180",
    api_requests("403"): "0x180",
    series_of("gco_stream_endpoints_by_state", state="error"): "0x180",
    series_of("gco_stream_endpoints_by_state", state="running"): "9x180",
    series_of("gco_stream_deletions_held"): "0x180",
    series_of("gco_stream_held_back_endpoints", limit="withdrawal"): "0x180",
    series_of("gco_stream_held_back_endpoints", limit="removal"): "0x180",
    series_of("gco_stream_unclaimed_objects_endpoints"): "0x180",
    series_of("gco_stream_watches", state="unsynced"): "0x180",
}


@dataclass(frozen=True)
class Scenario:
    """Series that replace or extend HEALTHY: with `fires` an alert fires after `minutes`, with `silent` it does not."""

    fires: Series
    silent: Series
    minutes: int = 60


SCENARIOS: dict[str, Scenario] = {
    "GcoStreamAbsent": Scenario(
        {series: "1x50 stale" for series in HEALTHY if series.startswith("gco_stream_build_info")},
        {next(iter(HEALTHY)): "1x50 stale"},
    ),
    "GcoStreamNoLeader": Scenario({leadership("a"): "1x50 0x100"}, {leadership("a"): "1x50 0 1x100"}),
    "GcoStreamTwoLeaders": Scenario(
        {leadership("b"): "0x50 1x100"}, {leadership("a"): "1x58 0x100", leadership("b"): "0x58 1x100"}
    ),
    "GcoStreamLeaderChanges": Scenario(
        {leadership("a"): "1x40 0 1 0 1 0 1 0 1x100"},
        {leadership("a"): "1x40 0 1 1 1 0 1x100", leadership("b"): "0x40 1 0x100"},
    ),
    "GcoStreamNotReady": Scenario(
        {series_of("gco_stream_ready", "b"): "1x50 0x100"}, {series_of("gco_stream_ready", "b"): "1x57 0x100"}
    ),
    "GcoStreamVersionsDiffer": Scenario(
        {series_of("gco_stream_build_info", "c", version="1.1.0", python_version="3.13.1"): "1x180"},
        {series_of("gco_stream_build_info", "c", version="1.1.0", python_version="3.13.1"): "1x20 stale"},
        minutes=90,
    ),
    "GcoStreamTableNotScanned": Scenario(
        {series_of("gco_stream_resync_seconds_count"): "0+1x30 30x100"},
        # A new leader has not led for long enough to complete two scans.
        {
            series_of("gco_stream_resync_seconds_count"): "0+1x30 30x100",
            leadership("a"): "1x30 0x25 1x100",
            leadership("b"): "0x30 1x25 0x100",
        },
    ),
    "GcoStreamPolling": Scenario(
        {series_of("gco_stream_mode", mode="poll"): "0x40 1x100"},
        {series_of("gco_stream_mode", mode="poll"): "0x55 1x100"},
    ),
    "GcoStreamLagging": Scenario(
        {series_of("gco_stream_lag_seconds"): "0x50 90x100"}, {series_of("gco_stream_lag_seconds"): "0x40 90x10 5x100"}
    ),
    "GcoStreamIteratorOld": Scenario(
        {series_of("gco_stream_iterator_age_seconds"): "0x50 60+60x100"},
        {series_of("gco_stream_iterator_age_seconds"): "250x100"},
    ),
    "GcoStreamMissedChanges": Scenario(
        {series_of("gco_stream_missed_changes_total"): "3x50 4x100"},
        {series_of("gco_stream_missed_changes_total"): "3x100"},
    ),
    "GcoStreamSlowToApply": Scenario(
        {apply_duration("0.5"): "0x180"}, {apply_duration("0.5"): "0+4.99x180"}, minutes=60
    ),
    "GcoStreamAwsThrottled": Scenario({aws_requests("Throttled"): "0+30x180"}, {aws_requests("Throttled"): "0+5x180"}),
    "GcoStreamAwsFailing": Scenario(
        {aws_requests("Unreachable"): "0+6x180"}, {aws_requests("ConditionFailed"): "0+60x180"}
    ),
    "GcoStreamEndpointsInError": Scenario(
        {series_of("gco_stream_endpoints_by_state", state="error"): "0x30 2x100"},
        {series_of("gco_stream_endpoints_by_state", state="error"): "0x50 2x100"},
    ),
    "GcoStreamRemovalsHeld": Scenario(
        {series_of("gco_stream_deletions_held"): "0x50 7x100"},
        {series_of("gco_stream_deletions_held"): "0x50 7x3 0x100"},
    ),
    "GcoStreamWithdrawalsHeld": Scenario(
        {series_of("gco_stream_held_back_endpoints", limit="withdrawal"): "0x50 7x100"},
        {series_of("gco_stream_held_back_endpoints", limit="removal"): "0x50 7x100"},
    ),
    "GcoStreamUnclaimedObjects": Scenario(
        {series_of("gco_stream_unclaimed_objects_endpoints"): "1x180"},
        {series_of("gco_stream_unclaimed_objects_endpoints"): "0x60 1x100"},
        minutes=90,
    ),
    "GcoStreamFault": Scenario(
        {series_of("gco_stream_reconcile_total", result="broken"): "0x50 1x100"},
        {series_of("gco_stream_reconcile_total", result="broken"): "0x10 1x100"},
    ),
    "GcoStreamReconcilesFail": Scenario(
        {series_of("controller_runtime_reconcile_errors_total", controller="endpoints"): "0+8x180"},
        {series_of("controller_runtime_reconcile_errors_total", controller="endpoints"): "0+4x180"},
    ),
    "GcoStreamQueueSlow": Scenario({queue_duration("0.5"): "0+5x180"}, {queue_duration("0.5"): "0+9.5x180"}),
    "GcoStreamWorkHangs": Scenario(
        {series_of("workqueue_longest_running_processor_seconds", name="endpoints"): "0x50 60+60x100"},
        {series_of("workqueue_longest_running_processor_seconds", name="endpoints"): "170x100"},
    ),
    "GcoStreamWritesAtRest": Scenario(
        {series_of("gco_stream_records_total", event="MODIFY"): "9x180"},
        {
            series_of("gco_stream_records_total", event="MODIFY"): "9x180",
            series_of("gco_stream_steps_total", step="Apply", kind="Deployment"): "0x60 0+5x3 15x180",
        },
        minutes=120,
    ),
    "GcoStreamApiErrors": Scenario({api_requests("503"): "0+20x180"}, {api_requests("404"): "0+20x180"}),
    "GcoStreamNotAllowed": Scenario({api_requests("403"): "0+1x180"}, {api_requests("403"): "0x40 1x100"}, minutes=57),
    "GcoStreamBlind": Scenario(
        {series_of("gco_stream_watches", state="unsynced"): "0x40 6x100"},
        {series_of("gco_stream_watches", state="unsynced"): "0x40 6x5 0x100"},
    ),
    "GcoStreamLoopStalls": Scenario(
        {series_of("gco_stream_event_loop_stall_seconds_sum", "b"): "0+20x180"},
        {series_of("gco_stream_event_loop_stall_seconds_sum", "b"): "0x40 9x100"},
    ),
    "GcoStreamFilesRunOut": Scenario(
        {series_of("process_open_fds", "b"): "900x180"},
        # Another program.
        {
            'process_open_fds{namespace="x",job="x",pod="x"}': "900x180",
            'process_max_fds{namespace="x",job="x",pod="x"}': "1024x180",
        },
    ),
}
