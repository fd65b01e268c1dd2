"""What Prometheus may have scraped: a fleet that is well, and for each alert what makes it fire and what does not yet.

Series and values are in promtool's notation (`0x9`: ten times 0; `0+1x9`: 0 to 9), a minute apart.
"""

from dataclasses import dataclass

Series = dict[str, str]

_FLEET = 'namespace="gco",job="gco-stream"'


def one(metric: str, pod: str = "a", **labels: str) -> str:
    """A series of one pod."""
    more = "".join(f',{name}="{value}"' for name, value in labels.items())
    return f'{metric}{{{_FLEET},pod="{pod}"{more}}}'


def leads(pod: str) -> str:
    return one("leader_election_master_status", pod, name="inference-monitor-leader")


def waited(le: str) -> str:
    return one("workqueue_queue_duration_seconds_bucket", name="endpoints", le=le)


def applied(le: str) -> str:
    return one("gco_stream_record_to_applied_seconds_bucket", le=le)


def asked_aws(result: str) -> str:
    return one("gco_stream_aws_requests_total", service="dynamodb", operation="scan", result=result)


def asked_api(code: str) -> str:
    return one("rest_client_requests_total", code=code, method="PATCH", host="api")


WELL: Series = {
    **{one("gco_stream_build_info", pod, version="1.0.0", python_version="3.13.1"): "1x180" for pod in "ab"},
    **{one("gco_stream_ready", pod): "1x180" for pod in "ab"},
    **{one("process_open_fds", pod): "60x180" for pod in "ab"},
    **{one("process_max_fds", pod): "1024x180" for pod in "ab"},
    **{one("gco_stream_event_loop_stall_seconds_sum", pod): "0+0.1x180" for pod in "ab"},
    leads("a"): "1x180",
    leads("b"): "0x180",
    one("gco_stream_mode", mode="poll"): "0x180",
    one("gco_stream_mode", mode="stream"): "1x180",
    one("gco_stream_lag_seconds"): "0.2x180",
    one("gco_stream_iterator_age_seconds"): "0.2x180",
    one("gco_stream_missed_changes_total"): "3x180",
    one("gco_stream_resync_failures_total"): "2x180",
    one("gco_stream_resync_seconds_count"): "0+1x180",
    one("gco_stream_records_total", event="MODIFY"): "0+5x180",
    one("gco_stream_steps_total", step="Apply", kind="Deployment"): "0+5x180",
    applied("0.5"): "0+5x180",
    applied("10"): "0+5x180",
    applied("+Inf"): "0+5x180",
    one("gco_stream_reconcile_total", result="broken"): "0x180",
    one("controller_runtime_reconcile_errors_total", controller="endpoints"): "0+1x180",
    one("controller_runtime_reconcile_total", controller="endpoints", result="success"): "0+9x180",
    one("controller_runtime_reconcile_total", controller="endpoints", result="error"): "0+1x180",
    waited("0.5"): "0+10x180",
    waited("60"): "0+10x180",
    waited("+Inf"): "0+10x180",
    one("workqueue_longest_running_processor_seconds", name="endpoints"): "0x180",
    asked_aws("ok"): "0+60x180",
    asked_aws("Throttled"): "0+1x180",
    asked_aws("Unreachable"): "0+1x180",
    asked_api("200"): "0+60x180",
    asked_api("503"): "0+1x180",
    asked_api("403"): "0x180",
    one("gco_stream_endpoints_by_state", state="error"): "0x180",
    one("gco_stream_endpoints_by_state", state="running"): "9x180",
    one("gco_stream_deletions_held"): "0x180",
    one("gco_stream_held_back_endpoints", limit="withdrawal"): "0x180",
    one("gco_stream_held_back_endpoints", limit="removal"): "0x180",
    one("gco_stream_unclaimed_objects_endpoints"): "0x180",
    one("gco_stream_watches", state="unsynced"): "0x180",
}


@dataclass(frozen=True)
class Scenario:
    """What differs from WELL, or comes beside it, so that an alert fires `minutes` after the start, and does not."""

    fires: Series
    silent: Series
    minutes: int = 60


SCENARIOS: dict[str, Scenario] = {
    "GcoStreamAbsent": Scenario(
        {series: "1x50 stale" for series in WELL if series.startswith("gco_stream_build_info")},
        {next(iter(WELL)): "1x50 stale"},
    ),
    "GcoStreamNoLeader": Scenario({leads("a"): "1x50 0x100"}, {leads("a"): "1x50 0 1x100"}),
    "GcoStreamTwoLeaders": Scenario({leads("b"): "0x50 1x100"}, {leads("a"): "1x58 0x100", leads("b"): "0x58 1x100"}),
    "GcoStreamLeaderChanges": Scenario(
        {leads("a"): "1x40 0 1 0 1 0 1 0 1x100"}, {leads("a"): "1x40 0 1 1 1 0 1x100", leads("b"): "0x40 1 0x100"}
    ),
    "GcoStreamNotReady": Scenario(
        {one("gco_stream_ready", "b"): "1x50 0x100"}, {one("gco_stream_ready", "b"): "1x57 0x100"}
    ),
    "GcoStreamVersionsDiffer": Scenario(
        {one("gco_stream_build_info", "c", version="1.1.0", python_version="3.13.1"): "1x180"},
        {one("gco_stream_build_info", "c", version="1.1.0", python_version="3.13.1"): "1x20 stale"},
        minutes=90,
    ),
    "GcoStreamTableNotScanned": Scenario(
        {one("gco_stream_resync_seconds_count"): "0+1x30 30x100"},
        # A new leader has not led for long enough to have scanned twice.
        {
            one("gco_stream_resync_seconds_count"): "0+1x30 30x100",
            leads("a"): "1x30 0x25 1x100",
            leads("b"): "0x30 1x25 0x100",
        },
    ),
    "GcoStreamPolling": Scenario(
        {one("gco_stream_mode", mode="poll"): "0x40 1x100"}, {one("gco_stream_mode", mode="poll"): "0x55 1x100"}
    ),
    "GcoStreamLagging": Scenario(
        {one("gco_stream_lag_seconds"): "0x50 90x100"}, {one("gco_stream_lag_seconds"): "0x40 90x10 5x100"}
    ),
    "GcoStreamIteratorOld": Scenario(
        {one("gco_stream_iterator_age_seconds"): "0x50 60+60x100"}, {one("gco_stream_iterator_age_seconds"): "250x100"}
    ),
    "GcoStreamMissedChanges": Scenario(
        {one("gco_stream_missed_changes_total"): "3x50 4x100"}, {one("gco_stream_missed_changes_total"): "3x100"}
    ),
    "GcoStreamSlowToApply": Scenario({applied("0.5"): "0x180"}, {applied("0.5"): "0+4.99x180"}, minutes=60),
    "GcoStreamAwsThrottled": Scenario({asked_aws("Throttled"): "0+30x180"}, {asked_aws("Throttled"): "0+5x180"}),
    "GcoStreamAwsFailing": Scenario({asked_aws("Unreachable"): "0+6x180"}, {asked_aws("ConditionFailed"): "0+60x180"}),
    "GcoStreamEndpointsInError": Scenario(
        {one("gco_stream_endpoints_by_state", state="error"): "0x30 2x100"},
        {one("gco_stream_endpoints_by_state", state="error"): "0x50 2x100"},
    ),
    "GcoStreamRemovalsHeld": Scenario(
        {one("gco_stream_deletions_held"): "0x50 7x100"}, {one("gco_stream_deletions_held"): "0x50 7x3 0x100"}
    ),
    "GcoStreamWithdrawalsHeld": Scenario(
        {one("gco_stream_held_back_endpoints", limit="withdrawal"): "0x50 7x100"},
        {one("gco_stream_held_back_endpoints", limit="removal"): "0x50 7x100"},
    ),
    "GcoStreamUnclaimedObjects": Scenario(
        {one("gco_stream_unclaimed_objects_endpoints"): "1x180"},
        {one("gco_stream_unclaimed_objects_endpoints"): "0x60 1x100"},
        minutes=90,
    ),
    "GcoStreamFault": Scenario(
        {one("gco_stream_reconcile_total", result="broken"): "0x50 1x100"},
        {one("gco_stream_reconcile_total", result="broken"): "0x10 1x100"},
    ),
    "GcoStreamReconcilesFail": Scenario(
        {one("controller_runtime_reconcile_errors_total", controller="endpoints"): "0+8x180"},
        {one("controller_runtime_reconcile_errors_total", controller="endpoints"): "0+4x180"},
    ),
    "GcoStreamQueueSlow": Scenario({waited("0.5"): "0+5x180"}, {waited("0.5"): "0+9.5x180"}),
    "GcoStreamWorkHangs": Scenario(
        {one("workqueue_longest_running_processor_seconds", name="endpoints"): "0x50 60+60x100"},
        {one("workqueue_longest_running_processor_seconds", name="endpoints"): "170x100"},
    ),
    "GcoStreamWritesAtRest": Scenario(
        {one("gco_stream_records_total", event="MODIFY"): "9x180"},
        {
            one("gco_stream_records_total", event="MODIFY"): "9x180",
            one("gco_stream_steps_total", step="Apply", kind="Deployment"): "0x60 0+5x3 15x180",
        },
        minutes=120,
    ),
    "GcoStreamApiErrors": Scenario({asked_api("503"): "0+20x180"}, {asked_api("404"): "0+20x180"}),
    "GcoStreamNotAllowed": Scenario({asked_api("403"): "0+1x180"}, {asked_api("403"): "0x40 1x100"}, minutes=57),
    "GcoStreamBlind": Scenario(
        {one("gco_stream_watches", state="unsynced"): "0x40 6x100"},
        {one("gco_stream_watches", state="unsynced"): "0x40 6x5 0x100"},
    ),
    "GcoStreamLoopStalls": Scenario(
        {one("gco_stream_event_loop_stall_seconds_sum", "b"): "0+20x180"},
        {one("gco_stream_event_loop_stall_seconds_sum", "b"): "0x40 9x100"},
    ),
    "GcoStreamFilesRunOut": Scenario(
        {one("process_open_fds", "b"): "900x180"},
        # Somebody else's program.
        {
            'process_open_fds{namespace="x",job="x",pod="x"}': "900x180",
            'process_max_fds{namespace="x",job="x",pod="x"}': "1024x180",
        },
    ),
}
