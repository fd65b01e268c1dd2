"""I8 (nobody delays another), I9 (at rest it is silent)."""

from typing import Final

from tests.mutants.mutant import Mutant

QUIET: Final = (
    Mutant(
        name="a-fault-of-ours-ends-all-work",
        invariant="I8",
        file="gco_stream/engine/reconcile/controller.py",
        old="        except Exception as error:  # noqa: BLE001 - it is logged\n",
        new="        except LookupError as error:  # noqa: BLE001 - it is logged\n",
        breaks="one endpoint that nobody thought of ends the work on all",
        tests=(
            "tests/engine/reconcile/test_controller.py::test_a_failure_of_one_endpoint_is_retried_and_holds_up_no_other",
        ),
    ),
    Mutant(
        name="changes-starve-the-resync",
        invariant="I8",
        file="gco_stream/engine/workqueue/queue.py",
        old="if high and not (low and self._streak >= self._high_in_a_row):",
        new="if high:",
        breaks="one endpoint that flaps keeps the resync from all others",
        tests=("tests/engine/workqueue/test_queue.py::test_a_stream_of_fresh_names_does_not_starve_the_resync",),
    ),
    Mutant(
        name="a-resync-delays-changes",
        invariant="I8",
        file="gco_stream/engine/workqueue/queue.py",
        old="if high and not (low and self._streak >= self._high_in_a_row):",
        new="if high and not low:",
        breaks="a change of one endpoint waits behind the resync of thousands",
        tests=("tests/engine/workqueue/test_queue.py::test_fresh_names_go_before_those_of_a_resync",),
    ),
    Mutant(
        name="those-that-hang-take-all-workers",
        invariant="I8",
        file="gco_stream/engine/workqueue/worker_pool.py",
        old="            if self._spawned < max_concurrency(self._count):\n",
        new="            if False:\n",
        breaks="endpoints whose calls hang leave no worker to the others",
        tests=("tests/engine/workqueue/test_worker_pool.py::test_who_waits_for_long_holds_up_nobody",),
    ),
    Mutant(
        name="a-canary-that-fails-holds-its-main-up",
        invariant="I8",
        file="gco_stream/engine/reconcile/executor.py",
        old="                stopped.add(step.part)\n",
        new="                stopped.update(Part)\n",
        breaks="what the API server refuses of one part keeps the others from being made",
        tests=("tests/engine/reconcile/test_executor.py::test_what_is_refused_of_one_part_holds_up_no_other",),
    ),
    Mutant(
        name="one-namespace-holds-all-up",
        invariant="I8",
        file="gco_stream/engine/reconcile/reconciler.py",
        old="return policy.namespaces if item.is_deleted else (item.namespace or policy.namespace,)",
        new="return policy.namespaces",
        breaks="a namespace that may not be read stops the work in all others",
        tests=("tests/engine/reconcile/test_executor.py::test_a_namespace_that_cannot_be_read_holds_up_no_other",),
    ),
    Mutant(
        name="a-namespace-that-is-not-seen-keeps-deletions-up",
        invariant="I8",
        file="gco_stream/engine/reconcile/reconciler.py",
        old="if unknown and not (isinstance(item, Endpoint) and item.is_deleted):",
        new="if unknown:",
        breaks="one wrong name in ALLOWED_NAMESPACES, and deleted endpoints keep their GPUs",
        tests=(
            "tests/engine/reconcile/test_unreadable_namespaces.py"
            "::test_a_namespace_that_cannot_be_seen_keeps_no_deletion_in_another_up_but_nothing_is_said_to_be_gone",
        ),
    ),
    Mutant(
        name="the-pin-waits-for-ever",
        invariant="I8",
        file="gco_stream/stream/consumer.py",
        old="async with asyncio.timeout(PIN_TIMEOUT):",
        new="async with asyncio.timeout(None):",
        breaks="a stream that cannot be read keeps the endpoints waiting",
        tests=("tests/stream/test_consumer.py::test_a_stream_that_cannot_be_reached_does_not_keep_the_engine_waiting",),
    ),
    Mutant(
        name="shards-wait-for-each-other",
        invariant="I8",
        file="gco_stream/stream/client.py",
        old="_MAX_CONCURRENT_CALLS: Final = 16",
        new="_MAX_CONCURRENT_CALLS: Final = 1",
        breaks="a shard whose calls hang delays all others",
        tests=("tests/stream/test_shards.py::test_one_shard_that_fails_does_not_delay_another",),
    ),
    Mutant(
        name="one-object-takes-all-events",
        invariant="I8",
        file="gco_stream/cluster/events/recorder.py",
        old="if len(self._queue) >= _QUEUE or not self._object(ref, now).try_take(now):",
        new="if len(self._queue) >= _QUEUE:",
        breaks="an endpoint that flaps leaves no Events to the others",
        tests=("tests/cluster/events/test_recorder.py::test_one_object_that_flaps_leaves_room_for_the_others",),
    ),
    Mutant(
        name="a-scan-keeps-the-loop",
        invariant="I8",
        file="gco_stream/engine/deletion/orphan_tracker.py",
        old="            if number % _SLICE == 0:\n                await asyncio.sleep(0)\n",
        new="",
        breaks="after a wiped table nothing else has a turn for seconds, the renewal of the lease neither",
        tests=(
            "tests/engine/deletion/test_orphan_tracker.py::test_a_wiped_table_of_thousands_leaves_the_loop_to_others",
        ),
    ),
    Mutant(
        name="pods-go-before-their-route",
        invariant="I8",
        file="gco_stream/planning/lifecycle/orphaned.py",
        old="_DELETION_ORDER = (Kind.INGRESS, Kind.HPA, Kind.SERVICE, Kind.DEPLOYMENT)",
        new="_DELETION_ORDER = (Kind.DEPLOYMENT, Kind.HPA, Kind.SERVICE, Kind.INGRESS)",
        breaks="a target group without pods makes the load balancer of all others unhealthy",
        tests=(
            "tests/planning/lifecycle/test_orphaned.py::test_all_that_we_made_goes_the_route_first_and_the_pods_last",
        ),
    ),
    Mutant(
        name="no-limit-to-what-is-withdrawn",
        invariant="I8",
        file="gco_stream/planning/policies/watchdog.py",
        old="    if census.withdrawn >= _max_withdrawn(census):\n",
        new="    if False:\n",
        breaks="in an ill cluster every Ingress goes, and Global Accelerator keeps the traffic there",
        tests=(
            "tests/planning/policies/test_watchdog.py"
            "::test_never_more_than_half_of_the_running_endpoints_are_withdrawn_and_always_one_may_be",
        ),
    ),
    Mutant(
        name="an-unchanged-report-is-written",
        invariant="I9",
        file="gco_stream/planning/lifecycle/region_status.py",
        old="    elif not heartbeat:\n        return False, None\n",
        new="",
        breaks="every look at an endpoint is a write of the table, whose echo is another look",
        tests=("tests/planning/lifecycle/test_region_status.py::test_an_unchanged_report_is_not_written_again",),
    ),
    Mutant(
        name="the-reason-is-not-written-to-the-item",
        invariant="I9",
        file="gco_stream/engine/reconcile/reconciler.py",
        old='            status["reason"] = str(report.reason)\n',
        new="",
        breaks="a report without its reason counts as another one: each look at an endpoint in error is a write",
        tests=(
            "tests/engine/reconcile/test_reports.py::test_an_error_is_written_once_with_its_reason",
            "tests/engine/reconcile/test_unreadable_namespaces.py"
            "::test_a_namespace_that_cannot_be_seen_keeps_no_deletion_in_another_up_but_nothing_is_said_to_be_gone",
        ),
    ),
    Mutant(
        name="a-reason-of-a-later-release-is-dropped",
        invariant="I9",
        file="gco_stream/model/reasons.py",
        old='    return reason or _MESSAGES_WITHOUT_REASON.get(error, "")\n',
        new="    known = reason in set(Reason)\n"
        '    return reason if known else _MESSAGES_WITHOUT_REASON.get(error, "")\n',
        breaks="after a rollback nobody sees what the later release reported",
        tests=("tests/model/test_reasons.py::test_a_reason_of_a_later_release_is_kept",),
    ),
    Mutant(
        name="counts-are-written-as-they-change",
        invariant="I9",
        file="gco_stream/planning/lifecycle/region_status.py",
        old='pause, why = interval, "replica counts have changed"',
        new='pause, why = 0.0, "replica counts have changed"',
        breaks="a roll-out of many pods is as many writes of the table",
        tests=(
            "tests/planning/lifecycle/test_region_status.py::test_counts_alone_are_reported_at_most_every_interval",
        ),
    ),
    Mutant(
        name="our-own-report-is-news",
        invariant="I9",
        file="gco_stream/engine/state/item_cache.py",
        old='_NOT_DESIRED_STATE = frozenset({"region_status", "updated_at"})',
        new='_NOT_DESIRED_STATE = frozenset({"updated_at"})',
        breaks="each report is read back and planned on, in every region",
        tests=("tests/engine/state/test_item_cache.py::test_another_regions_status_is_taken_over_and_our_own_is_not",),
    ),
    Mutant(
        name="an-echo-of-the-watch-is-planned",
        invariant="I9",
        file="gco_stream/engine/reconcile/controller.py",
        old="if Trigger.CLUSTER in work.triggers and _ECHO.issuperset(work.triggers) and self._tokens.is_in_sync(",
        new="if False and self._tokens.is_in_sync(",
        breaks="each write is planned on twice",
        tests=(
            "tests/engine/reconcile/test_controller.py::test_an_echo_of_our_own_write_plans_nothing_and_a_changed_item_does",
        ),
    ),
    Mutant(
        name="an-echo-hurries-a-report",
        invariant="I9",
        file="gco_stream/engine/reconcile/controller.py",
        old="_ECHO = frozenset({Trigger.CLUSTER, Trigger.REPORT})",
        new="_ECHO = frozenset({Trigger.CLUSTER})",
        breaks="at a start each write is planned on twice, and status writes go before objects that are missing",
        tests=(
            "tests/engine/reconcile/test_controller.py::test_a_report_that_waits_is_neither_lost_to_an_echo_of_the_watch_nor_hurried_by_it",
        ),
    ),
    Mutant(
        name="a-resync-plans-everything",
        invariant="I9",
        file="gco_stream/engine/reconcile/controller.py",
        old="if outcome.result in {Result.IN_SYNC, Result.CHANGED}:\n            self._tokens.settle(name)\n",
        new=("if outcome.result in {Result.IN_SYNC, Result.CHANGED}:\n            self._tokens.forget(key)\n"),
        breaks="ten thousand endpoints in sync are planned every five minutes",
        tests=(
            "tests/engine/reconcile/test_controller.py::test_an_echo_of_our_own_write_plans_nothing_and_a_changed_item_does",
        ),
    ),
    Mutant(
        name="every-event-of-the-watch-is-news",
        invariant="I9",
        file="gco_stream/cluster/cache/store.py",
        old="""        after = self._records[name]
        if before is None or not compact.same_but_version(before, after):
            self._report""",
        new="""        after = self._records[name]
        if before is None or before is not after:
            self._report""",
        breaks="whatever anybody writes into an object's status is planned on",
        tests=(
            "tests/cluster/cache/test_store.py"
            "::test_an_event_without_a_change_that_planning_reads_is_no_news_but_its_version_counts",
        ),
    ),
    Mutant(
        name="empty-is-not-absent",
        invariant="I9",
        file="gco_stream/planning/diff/drift.py",
        old="            if free_names or not _is_empty(desired_value):\n",
        new="            if True:\n",
        breaks="what the server drops because it is empty is applied for ever",
        tests=("tests/planning/diff/test_drift.py::test_an_empty_value_equals_an_absent_one",),
    ),
    Mutant(
        name="a-contest-never-ends",
        invariant="I9",
        file="gco_stream/planning/policies/contested.py",
        old="    if of_template:\n        return math.inf\n",
        new="    if of_template:\n        return 0.0\n",
        breaks="an image updater and this controller restart GPU pods against each other for ever",
        tests=(
            "tests/planning/policies/test_contested.py::test_a_contested_template_is_applied_three_times_and_never_again",
        ),
    ),
    Mutant(
        name="standbys-poll",
        invariant="I9",
        file="gco_stream/cluster/leaderelection/elector.py",
        old=("            if not self._lease.watching:\n                self._lease.stale = True\n"),
        new="            self._lease.stale = True\n",
        breaks="each standby reads the Lease every two seconds though its watch tells",
        tests=(
            "tests/cluster/leaderelection/test_lease_edits.py"
            "::test_standbys_that_can_watch_read_nothing_while_the_leader_renews",
        ),
    ),
    Mutant(
        name="an-ingress-is-created-without-a-ready-pod",
        invariant="I8",
        file="gco_stream/planning/policies/watchdog.py",
        old=("    if deployments.ready_replicas(deployment):\n        return created\n"),
        new="    if deployment is not None:\n        return created\n",
        breaks="the empty target group of each new endpoint makes the load balancer of all others unhealthy",
        tests=(
            "tests/planning/policies/test_watchdog.py::test_a_new_endpoint_is_creating_until_its_first_ready_pod_and_no_error",
        ),
    ),
    Mutant(
        name="a-withdrawn-ingress-is-created-for-a-pod-that-is-not-ready",
        invariant="I8",
        file="gco_stream/planning/policies/watchdog.py",
        old="    if any(pod.containers_ready for pod in pods):\n        return created\n",
        new="    if pods:\n        return created\n",
        breaks="the Ingress of an endpoint that crashes comes back at once and is withdrawn again, for ever",
        tests=(
            "tests/planning/policies/test_watchdog.py"
            "::test_a_withdrawn_ingress_stays_away_until_a_pod_is_ready_whatever_was_reported_since",
        ),
    ),
    Mutant(
        name="an-ingress-without-a-clock-is-withdrawn-at-once",
        invariant="I8",
        file="gco_stream/planning/policies/watchdog.py",
        old="    except ValueError:\n        return now, now.isoformat()\n",
        new="    except ValueError:\n        return datetime.fromtimestamp(0, now.tzinfo), now.isoformat()\n",
        breaks="an adopted endpoint that restarts its pods loses its Ingress at the first look",
        tests=(
            "tests/engine/reconcile/test_reports.py::test_an_ingress_without_a_clock_gets_one_and_the_whole_threshold",
        ),
    ),
    Mutant(
        name="a-clock-ahead-of-ours-is-believed",
        invariant="I8",
        file="gco_stream/planning/policies/watchdog.py",
        old="if since.tzinfo is None or since > now:",
        new="if since.tzinfo is None:",
        breaks="an Ingress whose clock was written by a machine that is ahead is not withdrawn for as long",
        tests=(
            "tests/planning/policies/test_watchdog.py::test_a_clock_ahead_of_ours_is_set_back_so_that_it_does_not_wait_for_ever",
        ),
    ),
    Mutant(
        name="each-scan-is-told",
        invariant="I9",
        file="gco_stream/engine/reconcile/resync.py",
        old="log = _log.info if first or self._changed else _log.debug",
        new="log = _log.info",
        breaks="a table without a stream fills the log, a line each few seconds",
        tests=(
            "tests/engine/reconcile/test_resync_plans.py::test_of_scans_that_find_nothing_new_only_the_first_is_told",
        ),
    ),
)
