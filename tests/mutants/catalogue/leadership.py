"""I4 (at most one leader acts), I10 (on SIGTERM the lease is released and a standby leads at once)."""

from typing import Final

from tests.mutants.mutant import Mutant

LEADERSHIP: Final = (
    Mutant(
        name="writing-without-a-proven-lease",
        invariant="I4",
        file="gco_stream/cluster/writer.py",
        old="        if remaining <= 0:\n",
        new="        if remaining <= -1e9:\n",
        breaks="a leader that was frozen writes when it thaws, beside its successor",
        tests=("tests/cluster/test_writer.py::test_nothing_is_sent_when_the_lease_is_not_proven",),
    ),
    Mutant(
        name="a-write-outlasts-the-lease",
        invariant="I4",
        file="gco_stream/cluster/writer.py",
        old="return min(self._timeout, remaining)",
        new="return self._timeout",
        breaks="a write that hangs lands after another leads",
        tests=("tests/cluster/test_writer.py::test_a_write_is_given_up_when_the_lease_ends",),
    ),
    Mutant(
        name="waiting-for-a-connection-is-free",
        invariant="I4",
        file="gco_stream/cluster/api/client.py",
        old="async with asyncio.timeout(limit), await self._open(method, path, query, headers, body) as response:",
        new="async with await self._open(method, path, query, headers, body) as response, asyncio.timeout(limit):",
        breaks="a write that waited for a pooled connection is sent after its lease has ended",
        tests=(
            "tests/cluster/api/test_client.py::test_the_wait_for_a_free_connection_counts_and_nothing_is_sent_late",
        ),
    ),
    Mutant(
        name="the-lease-counts-from-the-answer",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="        term.expiry, term.deadline = sent + self._duration, sent + self._renew_deadline\n",
        new="        sent = self._clock()\n"
        "        term.expiry, term.deadline = sent + self._duration, sent + self._renew_deadline\n",
        breaks="a renewal whose answer was slow holds for longer here than for those who wait",
        tests=("tests/cluster/leaderelection/test_terms.py::test_remaining_counts_from_before_the_renewal_was_sent",),
    ),
    Mutant(
        name="the-deadline-does-not-end-the-term",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="term.expiry, term.deadline = sent + self._duration, sent + self._renew_deadline",
        new="term.expiry, term.deadline = sent + self._duration, sent + 1000 * self._duration",
        breaks="a leader that cannot renew goes on beside its successor",
        tests=(
            "tests/cluster/leaderelection/test_elector.py"
            "::test_a_leader_that_cannot_renew_is_cancelled_at_the_deadline_and_the_next_waits_longer",
        ),
    ),
    Mutant(
        name="a-term-that-is-over-may-still-write",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="return 0.0 if term.ended else term.expiry - self._clock() - _MARGIN",
        new="return term.expiry - self._clock() - _MARGIN",
        breaks="work that ignores its cancellation writes beside the next leader",
        tests=(
            "tests/cluster/leaderelection/test_terms.py"
            "::test_work_that_ignores_its_cancellation_may_not_write_and_holds_up_nobody_else",
        ),
    ),
    Mutant(
        name="the-fuse-is-never-lit",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="        self._fuse(term.expiry - _TRAVEL - self._clock())\n",
        new="        return\n",
        breaks="a leader that was frozen in the middle of a burst of writes sends them when it thaws",
        tests=(
            "tests/cluster/leaderelection/test_terms.py::test_the_fuse_burns_as_long_as_the_lease_and_only_while_it_leads",
        ),
    ),
    Mutant(
        name="another-holder-does-not-end-the-term",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/record.py",
        old="seen.record.uid == uid and seen.record.holder == identity",
        new="seen.record.uid == uid",
        breaks="a lease that somebody handed to another is held by two",
        tests=(
            "tests/cluster/leaderelection/test_record.py::test_the_lease_is_held_only_while_it_is_the_same_and_names_the_holder",
            "tests/cluster/leaderelection/test_lease_edits.py::test_a_holder_edited_by_hand_ends_the_term_and_is_waited_for",
        ),
    ),
    Mutant(
        name="a-vanished-lease-is-free-at-once",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/record.py",
        old="now + max(timing.patience(before.record), timing.patience(record))",
        new="now",
        breaks="whoever deletes the Lease has two leaders for a while",
        tests=("tests/cluster/leaderelection/test_record.py::test_a_lease_that_vanished_is_made_one_duration_later",),
    ),
    Mutant(
        name="the-former-systems-holder-is-given-no-time",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/record.py",
        old="return max(recorded, _LEGACY_CYCLES * self.legacy_interval)",
        new="return recorded",
        breaks="GCO's monitor, which renews once a cycle, leads beside us during a migration",
        tests=("tests/cluster/leaderelection/test_record.py::test_a_holder_of_gcos_kind_is_given_three_of_its_cycles",),
    ),
    Mutant(
        name="epochs-go-by-the-clock-alone",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/record.py",
        old="return min(max(now, previous + 1), MAX_EPOCH)",
        new="return min(now, MAX_EPOCH)",
        breaks="a leader whose clock is behind cannot report, or is taken for the one before",
        tests=("tests/cluster/leaderelection/test_record.py::test_each_epoch_is_above_the_one_before",),
    ),
    Mutant(
        name="the-table-takes-a-status-of-any-epoch",
        invariant="I4",
        file="gco_stream/table/endpoints.py",
        old='region_status.#r.epoch < :e"',
        new='region_status.#r.epoch <> :e"',
        breaks="a late report of the former leader replaces that of the present one",
        tests=("tests/integration/table/test_endpoints.py::test_a_status_of_a_higher_epoch_stays_and_is_told",),
    ),
    Mutant(
        name="a-higher-epoch-is-not-overtaken",
        invariant="I4",
        file="gco_stream/engine/reconcile/reconciler.py",
        old="await self._epoch.raise_epoch(superseded.stored_epoch)",
        new="pass",
        breaks="after a leader whose clock was ahead nobody can report any more",
        tests=(
            "tests/engine/reconcile/test_executor.py::test_a_leader_that_meets_a_higher_epoch_raises_its_own_and_reports",
        ),
    ),
    Mutant(
        name="a-frozen-leader-goes-on",
        invariant="I4",
        file="gco_stream/engine/reconcile/executor.py",
        old="            except NotLeading:\n                raise\n            except ClusterError as error:",
        new="            except ClusterError as error:",
        breaks="a process that may not write any more goes on with its plan, and says that the API server failed",
        tests=("tests/engine/reconcile/test_executor.py::test_whoever_may_not_write_any_more_stops_at_once",),
    ),
    Mutant(
        name="the-lease-is-not-released",
        invariant="I10",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="                await self._release(term)\n                # Another",
        new="                # Another",
        breaks="after a SIGTERM nobody leads until the lease has run out",
        tests=(
            "tests/cluster/leaderelection/test_elector.py::test_a_leader_that_stops_releases_and_the_next_leads_at_once",
        ),
    ),
    Mutant(
        name="a-release-looks-like-an-edit",
        invariant="I10",
        file="gco_stream/cluster/leaderelection/record.py",
        old="acquireTime=micro_time(epoch), renewTime=None\n",
        new="acquireTime=micro_time(epoch)\n",
        breaks="standbys take a release for a holder that was edited away, and wait",
        tests=(
            "tests/cluster/leaderelection/test_elector.py::test_a_leader_that_stops_releases_and_the_next_leads_at_once",
        ),
    ),
    Mutant(
        name="a-release-is-not-seen",
        invariant="I10",
        file="gco_stream/cluster/leaderelection/lease_lock.py",
        old="        else:\n            return\n        self._on_change()\n",
        new="        else:\n            return\n",
        breaks="standbys notice a release by their own looks alone",
        tests=(
            "tests/cluster/leaderelection/test_elector.py::test_a_leader_that_stops_releases_and_the_next_leads_at_once",
        ),
    ),
    Mutant(
        name="stopping-leaves-the-workers-at-it",
        invariant="I10",
        file="gco_stream/manager/leader.py",
        old="            self.dispatcher.close()\n",
        new="",
        breaks="after a SIGTERM names are still taken, and the lease is held for 20 s",
        tests=("tests/manager/test_leader.py::test_a_stop_finishes_the_work_in_hand_and_takes_no_more",),
    ),
    Mutant(
        name="stopping-breaks-the-work-off",
        invariant="I10",
        file="gco_stream/manager/leader.py",
        old="""            if self.working:
                await asyncio.wait({turning}, timeout=_DRAIN_SECONDS)
""",
        new="",
        breaks="after a SIGTERM the work in hand is left half done",
        tests=("tests/manager/test_leader.py::test_a_stop_finishes_the_work_in_hand_and_takes_no_more",),
    ),
    Mutant(
        name="stopping-waits-for-ever",
        invariant="I10",
        file="gco_stream/manager/leader.py",
        old="await asyncio.wait({turning}, timeout=_DRAIN_SECONDS)",
        new="await asyncio.wait({turning})",
        breaks="one call that hangs keeps the process until it is killed, and the lease is not released",
        tests=("tests/manager/test_leader.py::test_work_that_does_not_end_is_given_20_s",),
    ),
    Mutant(
        name="sigterm-is-not-heard",
        invariant="I10",
        file="gco_stream/cli/commands/run.py",
        old="signals = (signal.SIGTERM, signal.SIGINT)",
        new="signals = (signal.SIGINT,)",
        breaks="every roll-out kills the leader, and nobody leads until its lease has run out",
        tests=("tests/integration/operations/test_operations.py::test_sigterm_releases_the_lease_and_exits_cleanly",),
    ),
    Mutant(
        name="the-lease-is-written-without-its-uid",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/lease_lock.py",
        old="body=orjson.dumps(raw),",
        new='body=orjson.dumps({**raw, "metadata": {**raw["metadata"], "uid": None}}),',
        breaks="a renewal brings back a Lease that somebody deleted, at once",
        tests=(
            "tests/cluster/leaderelection/test_lease_writes.py::test_each_write_of_the_lease_names_its_uid_and_the_version_that_was_seen",
            "tests/cluster/leaderelection/test_lease_writes.py::test_a_renewal_does_not_bring_back_a_lease_that_somebody_deleted",
        ),
    ),
    Mutant(
        name="the-lease-is-written-without-its-version",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/lease_lock.py",
        old="body=orjson.dumps(raw),",
        new='body=orjson.dumps({**raw, "metadata": {**raw["metadata"], "resourceVersion": None}}),',
        breaks="a write may replace what others wrote since, and the API server takes none",
        tests=(
            "tests/cluster/leaderelection/test_lease_writes.py::test_each_write_of_the_lease_names_its_uid_and_the_version_that_was_seen",
            "tests/cluster/leaderelection/test_elector.py::test_of_three_replicas_one_leads_and_renews",
        ),
    ),
    Mutant(
        name="whoever-holds-the-lease-it-is-renewed",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="                if not self._holds(term) or (left := self.remaining(term)) <= 0:\n",
        new="                if (left := self.remaining(term)) <= -1e9:\n",
        breaks="a Lease that another has made anew is written over",
        tests=(
            "tests/cluster/leaderelection/test_lease_writes.py::test_a_lease_that_somebody_deleted_and_made_anew_is_not_overwritten",
        ),
    ),
    Mutant(
        name="a-renewal-outlasts-the-lease",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="self._lease.write(raw, within=left)",
        new="self._lease.write(raw)",
        breaks="a renewal that hung lands when the lease is out, and holds it for a leader that has ended",
        tests=("tests/cluster/leaderelection/test_lease_writes.py::test_no_renewal_may_land_when_the_lease_is_out",),
    ),
    Mutant(
        name="a-renewal-is-sent-when-the-lease-is-out",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old=" or (left := self.remaining(term)) <= 0:\n",
        new=" or (left := self.remaining(term)) <= -1e9:\n",
        breaks="a replica whose lease is out renews it, though it may not act any more",
        tests=("tests/cluster/leaderelection/test_lease_writes.py::test_no_renewal_may_land_when_the_lease_is_out",),
    ),
    Mutant(
        name="a-renewal-does-not-wait-as-it-is-asked-to",
        invariant="I11",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="asked = min(self._clock() + (error.retry_after or 0), term.deadline - self._try_seconds)",
        new="asked = -math.inf",
        breaks="an overloaded API server is asked every two seconds by each leader, whatever it says",
        tests=(
            "tests/cluster/leaderelection/test_lease_writes.py::test_a_renewal_is_tried_again_when_the_server_asked_for_it_and_not_before",
        ),
    ),
    Mutant(
        name="a-renewal-waits-for-as-long-as-it-is-asked-to",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="(error.retry_after or 0), term.deadline - self._try_seconds)",
        new="(error.retry_after or 0), math.inf)",
        breaks="a balancer that says `Retry-After: 120` ends the term without another try",
        tests=(
            "tests/cluster/leaderelection/test_lease_writes.py::test_a_server_that_asks_for_longer_than_the_lease_is_asked_once_more_before_the_deadline",
        ),
    ),
    Mutant(
        name="a-renewal-does-not-light-the-fuse-anew",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="""        self._light_fuse(term)
        self._problem = None
""",
        new="        self._problem = None\n",
        breaks="each leader is ended by its own fuse, one lease after it began",
        tests=(
            "tests/cluster/leaderelection/test_terms.py::test_the_fuse_burns_as_long_as_the_lease_and_only_while_it_leads",
            "tests/cluster/leaderelection/test_lease_writes.py::test_each_renewal_lights_the_fuse_anew_for_what_is_left_of_the_lease",
        ),
    ),
    Mutant(
        name="the-fuse-counts-from-the-answer",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="self._fuse(term.expiry - _TRAVEL - self._clock())",
        new="self._fuse(self._duration - _TRAVEL)",
        breaks="after a slow renewal a frozen leader outlives its lease",
        tests=(
            "tests/cluster/leaderelection/test_lease_writes.py::test_each_renewal_lights_the_fuse_anew_for_what_is_left_of_the_lease",
        ),
    ),
    Mutant(
        name="the-fuse-burns-on-after-the-term",
        invariant="I10",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="""            self._fuse(0)
            self._term = None
""",
        new="            self._term = None\n",
        breaks="a replica that let the lease go is ended a little later",
        tests=(
            "tests/cluster/leaderelection/test_terms.py::test_the_fuse_burns_as_long_as_the_lease_and_only_while_it_leads",
            "tests/cluster/leaderelection/test_lease_writes.py::test_the_fuse_burns_on_while_the_leaders_task_has_not_ended",
            "tests/cluster/leaderelection/test_lease_writes.py::test_the_fuse_is_out_before_the_lease_is_released",
        ),
    ),
    Mutant(
        name="the-fuse-goes-out-with-the-cancellation",
        invariant="I4",
        file="gco_stream/cluster/leaderelection/elector.py",
        old="            term.end()\n        return not term.ended",
        new="""            term.end()
            self._fuse(0)
        return not term.ended""",
        breaks="work that ignores its cancellation is ended by nobody",
        tests=(
            "tests/cluster/leaderelection/test_lease_writes.py::test_the_fuse_burns_on_while_the_leaders_task_has_not_ended",
        ),
    ),
)
