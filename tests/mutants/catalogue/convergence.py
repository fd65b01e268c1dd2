"""I1 (the desired state is reached), I2 (no change is lost), I3 (one worker per endpoint, the newest image wins)."""

from typing import Final

from tests.mutants.mutant import Mutant

CONVERGENCE: Final = (
    Mutant(
        name="failed-work-is-not-retried",
        invariant="I1",
        file="gco_stream/engine/reconcile/controller.py",
        old="self._queue.add_after(name, wait, Trigger.RETRY, work.records)",
        new="pass",
        breaks="an endpoint whose reconcile failed waits for the next event",
        tests=(
            "tests/engine/reconcile/test_controller.py::test_a_failure_of_one_endpoint_is_retried_and_blocks_no_other",
        ),
    ),
    Mutant(
        name="looking-again-is-forgotten",
        invariant="I1",
        file="gco_stream/engine/reconcile/controller.py",
        old="self._queue.add_after(name, requeue.after, Trigger.REQUEUE)",
        new="pass",
        breaks="a canary drain, a withdrawal or a count that is due later never happens",
        tests=("tests/engine/reconcile/test_controller.py::test_a_requeue_is_scheduled_for_its_due_time",),
    ),
    Mutant(
        name="a-withdrawal-is-not-planned-to-be-reported-first",
        invariant="I1",
        file="gco_stream/planning/planner.py",
        old="    return was_deleted or (withdraws and not watchdog.was_routed(context))\n",
        new="    return was_deleted\n",
        breaks="after a crash, an endpoint that lost its Ingress before it ever ran is reported as creating forever",
        tests=(
            "tests/planning/policies/test_watchdog.py::test_the_withdrawal_of_an_endpoint_that_never_ran_is_reported_first",
        ),
    ),
    Mutant(
        name="what-is-to-be-reported-first-is-reported-last",
        invariant="I1",
        file="gco_stream/engine/reconcile/reconciler.py",
        old="            if item is not None and plan.report_first:\n",
        new="            if False:\n",
        breaks="a crash after a withdrawal loses its reason, and an item is purged while its objects are recreated",
        tests=(
            "tests/engine/reconcile/test_reports.py::test_a_withdrawal_before_the_first_run_is_reported_before_the_ingress_is_deleted",
        ),
    ),
    Mutant(
        name="the-version-before-left-no-withdrawn-ingress",
        invariant="I1",
        file="gco_stream/model/reasons.py",
        old='    return reason or _MESSAGES_WITHOUT_REASON.get(error, "")\n',
        new="    return reason\n",
        breaks="after an upgrade, endpoints with a withdrawn Ingress are reported as creating, without their error",
        tests=("tests/model/test_reasons.py::test_a_withdrawn_ingress_that_the_version_before_reported_is_recognized",),
    ),
    Mutant(
        name="a-resync-leaves-alone-what-is-not-in-sync",
        invariant="I1",
        file="gco_stream/engine/reconcile/resync.py",
        old="if change is not ChangeKind.UNCHANGED or not self._tokens.is_in_sync(name):",
        new="if change is not ChangeKind.UNCHANGED:",
        breaks="an endpoint that is out of sync and whose item did not change is never planned by a resync",
        tests=("tests/engine/reconcile/test_resync_plans.py::test_a_resync_plans_only_what_is_not_in_sync",),
    ),
    Mutant(
        name="in-sync-whatever-the-objects-are",
        invariant="I1",
        file="gco_stream/engine/state/sync_tokens.py",
        old="return self.items.item_digest(name), self._cache.token(name)",
        new="return self.items.item_digest(name), ()",
        breaks="drift of an endpoint that was in sync is mistaken for an echo of our own write",
        tests=("tests/engine/reconcile/test_resync_plans.py::test_a_changed_object_or_item_is_no_longer_in_sync",),
    ),
    Mutant(
        name="in-sync-although-the-item-is-stale",
        invariant="I1",
        file="gco_stream/engine/state/sync_tokens.py",
        old="self.items.stale_mark(name) is None and ",
        new="",
        breaks="a change that is known only from an event is mistaken for an echo of our own write",
        tests=(
            "tests/engine/reconcile/test_controller.py::test_an_echo_of_our_own_write_is_skipped_and_a_changed_item_is_not",
        ),
    ),
    Mutant(
        name="a-due-look-is-lost-to-an-echo",
        invariant="I1",
        file="gco_stream/engine/reconcile/controller.py",
        old="if Trigger.CLUSTER in work.triggers and _ECHO.issuperset(work.triggers) and",
        new="if Trigger.CLUSTER in work.triggers and",
        breaks="a scheduled requeue that is merged with an echo of the watch is dropped",
        tests=("tests/engine/reconcile/test_controller.py::test_a_requeue_is_not_lost_to_an_echo_that_came_before_it",),
    ),
    Mutant(
        name="a-report-is-lost-to-an-echo",
        invariant="I1",
        file="gco_stream/engine/reconcile/controller.py",
        old=("            if Trigger.REPORT in work.triggers:\n                self._report_later(work)\n"),
        new="",
        breaks="an endpoint whose report waits for its turn is never reported if an echo of the watch comes first",
        tests=(
            "tests/engine/reconcile/test_controller.py::test_a_pending_report_is_neither_dropped_nor_hurried_by_a_watch_echo",
        ),
    ),
    Mutant(
        name="news-wait-with-the-report",
        invariant="I1",
        file="gco_stream/engine/reconcile/controller.py",
        old="_ECHO.issuperset(work.triggers) and self._tokens.is_in_sync(name)",
        new="_ECHO.issuperset(work.triggers)",
        breaks="changes by other clients wait until the backlog is processed, because a report waits",
        tests=(
            "tests/engine/reconcile/test_controller.py::test_a_cluster_change_is_reconciled_while_a_report_is_pending",
        ),
    ),
    Mutant(
        name="nobody-is-woken-when-it-is-over",
        invariant="I1",
        file="gco_stream/engine/workqueue/retries.py",
        old="                self.wake(key, max(0.0, failing.not_before - now))\n",
        new="",
        breaks="after a right is granted, hundreds of endpoints still wait for up to five minutes",
        tests=(
            "tests/engine/workqueue/test_retries.py::test_a_key_that_recovers_wakes_the_others_with_the_same_cause",
        ),
    ),
    Mutant(
        name="a-watch-that-is-too-old-is-not-listed-again",
        invariant="I1",
        file="gco_stream/cluster/cache/reflector.py",
        old=("            except (Expired, WatchStalled) as error:\n                self._version = None\n"),
        new="            except (Expired, WatchStalled) as error:\n",
        breaks="after a long disconnection the watch requests an expired version forever",
        tests=(
            "tests/cluster/cache/test_reflector.py::test_an_expired_version_causes_a_new_list_that_reports_only_differences",
        ),
    ),
    Mutant(
        name="a-label-edited-away-is-a-deletion",
        invariant="I1",
        file="gco_stream/cluster/cache/store.py",
        old='if compact.may_be_applied_by_us(stored) and "deletionTimestamp" not in metadata:',
        new="if False:",
        breaks="an object of ours that lost its labels is no longer seen, and its creation conflicts forever",
        tests=("tests/cluster/cache/test_store.py::test_a_deletion_is_verified_while_the_object_may_be_ours",),
    ),
    Mutant(
        name="old-news-replaces-new",
        invariant="I1",
        file="gco_stream/cluster/cache/store.py",
        old=(" or (\n            stored is not None and compact.version_of(stored) >= version\n        )"),
        new="",
        breaks="a late watch event restores the state from before our own write",
        tests=("tests/cluster/cache/test_store.py::test_an_older_response_does_not_replace_a_newer_event",),
    ),
    Mutant(
        name="scan-then-pin",
        invariant="I2",
        file="gco_stream/manager/leader.py",
        old=(
            "        await self.consumer.pin()\n"
            "        async with asyncio.TaskGroup() as sources:\n"
            '            listening = [sources.create_task(self.consumer.run(), name="stream")]\n'
            "            await self.resync.first_scan()\n"
        ),
        new=(
            "        await self.resync.first_scan()\n"
            "        await self.consumer.pin()\n"
            "        async with asyncio.TaskGroup() as sources:\n"
            '            listening = [sources.create_task(self.consumer.run(), name="stream")]\n'
        ),
        breaks="a change between the scan and the pin is missed by both",
        tests=("tests/manager/test_leader.py::test_a_write_during_the_first_scan_arrives_through_the_stream",),
    ),
    Mutant(
        name="a-gap-is-told-before-the-new-place-is-fixed",
        invariant="I2",
        file="gco_stream/stream/consumer.py",
        old="""        was_polling = self._mode == "poll"
        try:
""",
        new="""        was_polling = self._mode == "poll"
        self._processor.on_gap(why)
        try:
""",
        breaks="a change between the resync and the pin of the new stream is missed by both",
        tests=("tests/stream/test_shards.py::test_a_replaced_stream_is_pinned_before_the_gap_is_reported",),
    ),
    Mutant(
        name="a-page-counts-as-read-before-it-arrives",
        invariant="I2",
        file="gco_stream/stream/shard_reader.py",
        old="        page = await self._client.get_records(self._iterator)\n",
        new=(
            "        place, self._iterator = self._iterator, None\n"
            "        page = await self._client.get_records(place)\n"
        ),
        breaks="after a failed call, a shard without any record yet is read from its end",
        tests=("tests/stream/test_shards.py::test_an_outage_means_poll_mode_and_loses_nothing",),
    ),
    Mutant(
        name="a-child-is-read-from-its-end",
        invariant="I2",
        file="gco_stream/stream/lineage.py",
        old="starts.append(ShardStart(id_, ShardIteratorType.TRIM_HORIZON))",
        new="starts.append(ShardStart(id_, ShardIteratorType.LATEST))",
        breaks="changes written to a new shard before it is discovered are lost",
        tests=(
            "tests/stream/test_lineage.py::test_a_new_child_of_a_history_shard_is_read_whole",
            "tests/stream/test_shards.py::test_a_closed_shard_is_read_to_its_end_before_its_children",
        ),
    ),
    Mutant(
        name="a-child-does-not-wait-for-its-parent",
        invariant="I2",
        file="gco_stream/stream/lineage.py",
        old="if entry.state is ShardState.WAITING and entry.shard.parent not in unread:",
        new="if entry.state is ShardState.WAITING:",
        breaks="changes of one item are delivered in the wrong order",
        tests=(
            "tests/stream/test_lineage.py::test_both_children_of_a_split_start_when_their_parent_is_drained",
            "tests/stream/test_listed_late.py::test_guarantees_hold_if_a_shard_is_listed_while_its_parent_is_unreadable",
        ),
    ),
    Mutant(
        name="a-lost-shard-is-given-up",
        invariant="I2",
        file="gco_stream/stream/lineage.py",
        old="if entry.state is ShardState.LOST and (retry_lost or not has_ended):",
        new="if False:",
        breaks="a shard that DynamoDB did not find for a moment is never read again",
        tests=("tests/stream/test_lineage.py::test_a_lost_shard_that_has_ended_is_retried_once",),
    ),
    Mutant(
        name="an-idle-shards-expired-iterator-is-no-gap",
        invariant="I2",
        file="gco_stream/stream/shard_reader.py",
        old='self._gap = f"the iterator of shard {self.shard_id} expired before any record was read"',
        new="pass",
        breaks="changes written during a long outage to a previously idle shard are lost",
        tests=("tests/stream/test_shards.py::test_an_expired_iterator_of_an_idle_shard_reports_a_gap_once_pinned",),
    ),
    Mutant(
        name="trimmed-records-are-no-gap",
        invariant="I2",
        file="gco_stream/stream/shard_reader.py",
        old='self._restart(f"shard {self.shard_id} was trimmed before it was read")',
        new='self._begin_anew("")',
        breaks="trimmed changes are found only by the next resync, and are not counted",
        tests=("tests/stream/test_shards.py::test_a_trimmed_shard_is_read_from_its_remaining_records_with_one_gap",),
    ),
    Mutant(
        name="an-answer-without-records-is-an-empty-page",
        invariant="I2",
        file="gco_stream/stream/client.py",
        old="if response.get(required) is None:",
        new='if required != "Records" and response.get(required) is None:',
        breaks="after a truncated response the shard is skipped, or ends",
        tests=("tests/aws/test_botocore_errors.py::test_each_failure_is_a_counted_error_of_its_class",),
    ),
    Mutant(
        name="reading-clears-a-newer-mark",
        invariant="I2",
        file="gco_stream/engine/state/item_cache.py",
        old="if self._stale.get(name) == mark:",
        new="if name in self._stale:",
        breaks="a change that is announced while the item is being read is never read",
        tests=(
            "tests/engine/state/test_item_cache.py::test_a_newer_stale_mark_survives_a_read_that_started_before_it",
        ),
    ),
    Mutant(
        name="an-item-that-the-scan-lacks-is-not-read",
        invariant="I2",
        file="gco_stream/engine/reconcile/resync.py",
        old=(
            "                self._items.mark_stale(name)\n"
            "                self._queue.add(name, Priority.LOW, Trigger.NOT_IN_SCAN)\n"
        ),
        new="                pass\n",
        breaks="a removal that the stream did not deliver is never noticed",
        tests=("tests/engine/reconcile/test_resync_plans.py::test_an_item_that_is_missing_from_the_scan_is_read",),
    ),
    Mutant(
        name="a-name-added-during-its-work-is-dropped",
        invariant="I2",
        file="gco_stream/engine/workqueue/queue.py",
        old=("        if (dirty := self._dirty.pop(key, None)) is not None:\n            self._enqueue(key, dirty)\n"),
        new="        self._dirty.pop(key, None)\n",
        breaks="a change that arrives while its endpoint is processed waits for the next resync",
        tests=("tests/engine/workqueue/test_queue.py::test_a_key_in_flight_is_not_handed_out_again_until_it_is_done",),
    ),
    Mutant(
        name="a-name-is-worked-on-twice-at-once",
        invariant="I3",
        file="gco_stream/engine/workqueue/queue.py",
        old="        if key in self.processing_since:\n",
        new="        if key in self._dirty:\n",
        breaks="two workers write to the objects of one endpoint concurrently",
        tests=("tests/engine/workqueue/test_queue.py::test_a_key_in_flight_is_not_handed_out_again_until_it_is_done",),
    ),
    Mutant(
        name="a-records-image-is-taken-for-the-item",
        invariant="I3",
        file="gco_stream/engine/state/item_cache.py",
        old=("            self.mark_stale(name)\n            return ChangeKind.CHANGED\n"),
        new=(
            "            if image is not None:\n"
            "                self.put(image)\n"
            "            else:\n"
            "                self.mark_stale(name)\n"
            "            return ChangeKind.CHANGED\n"
        ),
        breaks="an old record with desired_state=deleted that is read late deletes pods",
        tests=(
            "tests/engine/state/test_item_cache.py::test_a_record_with_another_desired_state_only_marks_the_name_stale",
        ),
    ),
    Mutant(
        name="a-scanned-page-replaces-what-is-known",
        invariant="I3",
        file="gco_stream/engine/reconcile/resync.py",
        old="        if first and name not in self._items:\n",
        new="        if first_scan or name in self._items:\n",
        breaks="a page that is older than the response to a write reverts it",
        tests=("tests/engine/reconcile/test_resync_plans.py::test_a_page_that_is_older_than_the_cache_undoes_nothing",),
    ),
    Mutant(
        name="an-item-that-is-stale-is-not-read",
        invariant="I3",
        file="gco_stream/engine/reconcile/reconciler.py",
        old="            await self._writer.read_if_stale(name)\n            planned =",
        new="            planned =",
        breaks="plans are made from an outdated item",
        tests=(
            "tests/engine/deletion/test_removal.py::test_an_item_that_exists_keeps_its_objects_even_if_scans_missed_it",
        ),
    ),
    Mutant(
        name="an-item-is-read-from-a-lagging-replica",
        invariant="I3",
        file="gco_stream/table/endpoints.py",
        old='self._call("get_item", Key=_key(name), ConsistentRead=True)',
        new='self._call("get_item", Key=_key(name))',
        breaks="plans are made from an older image than the one announced",
        tests=("tests/engine/reconcile/test_consistent_reads.py::test_an_item_is_read_consistently",),
    ),
    Mutant(
        name="the-table-is-scanned-from-a-lagging-replica",
        invariant="I3",
        file="gco_stream/table/endpoints.py",
        old='{"Limit": self._page_items, "ConsistentRead": True}',
        new='{"Limit": self._page_items}',
        breaks="the first scan may lack changes from before the pin",
        tests=("tests/engine/reconcile/test_consistent_reads.py::test_the_table_is_scanned_consistently",),
    ),
    Mutant(
        name="quantities-are-compared-as-text",
        invariant="I1",
        file="gco_stream/model/resources.py",
        old="    return value_of(one) > value_of(other)\n",
        new="    return one > other\n",
        breaks="a default limit stays below a request that is higher, and the API server rejects the Deployment",
        tests=(
            "tests/model/item/test_lenient_reading.py::test_a_default_request_or_limit_follows_what_the_item_has",
            "tests/model/item/test_lenient_reading.py::test_requests_or_limits_alone_are_always_valid_and_kept",
        ),
    ),
    Mutant(
        name="a-second-endpoint-takes-the-path",
        invariant="I1",
        file="gco_stream/engine/reconcile/path_owner.py",
        old="            if self._serves(rival, path) or (is_older and self._may_serve(rival)):\n",
        new="            if is_older and self._may_serve(rival):\n",
        breaks="an older item takes the requests of an endpoint that serves an overlapping path",
        tests=(
            "tests/engine/reconcile/test_path_owner.py"
            "::test_an_endpoint_that_serves_keeps_its_path_against_an_older_item",
        ),
    ),
    Mutant(
        name="the-successor-on-a-path-is-forgotten",
        invariant="I1",
        file="gco_stream/engine/reconcile/controller.py",
        old="        for waiter in self._waiters_of(name):\n",
        new="        for waiter in ():\n",
        breaks="an endpoint that waits for an ingress path does not get it when the owner is gone",
        tests=(
            "tests/engine/reconcile/test_controller.py"
            "::test_endpoints_that_wait_for_an_ingress_path_are_reconciled_after_its_owner",
        ),
    ),
    Mutant(
        name="our-own-status-comes-from-the-stream",
        invariant="I3",
        file="gco_stream/engine/state/item_cache.py",
        old="    status.pop(region, None)\n    if own is not None:\n        status[region] = own\n",
        new="",
        breaks="a late echo of an older report of ours is mistaken for the current one",
        tests=(
            "tests/engine/state/test_item_cache.py::test_the_status_of_other_regions_is_copied_and_our_own_is_kept",
        ),
    ),
)
