"""The history of an endpoint, and its limits."""

import sys
from datetime import UTC, datetime
from typing import Any

from gco_stream.engine.reconcile.reconciler import ReconcileResult, Result
from gco_stream.engine.state.endpoint_history import Change
from gco_stream.engine.state.history import MAX_RECONCILES, ReconcileHistory
from gco_stream.engine.workqueue.triggers import Trigger
from gco_stream.model import wire
from gco_stream.model.item.endpoint import RegionState
from gco_stream.model.objects import Kind, ObjectRef
from gco_stream.model.reasons import Cause, Reason
from gco_stream.planning.types.plan import Plan, Report
from gco_stream.planning.types.steps import Scale, Step
from gco_stream.stream.consumer import StreamRecord
from tests.support.items import item

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
CHAT = ObjectRef(Kind.DEPLOYMENT, "gco-inference", "chat")
SCALED: tuple[Step, ...] = (Scale(CHAT, "replicas is 1, should be 4", uid="uid", replicas=4),)


class HistoryFixture:
    """A journal with a settable clock, and its measurements."""

    def __init__(self, most: int = 100) -> None:
        self.now = NOON
        self.applied: list[float] = []
        self.ready: list[float] = []
        self.rung: list[str] = []
        self.journal = ReconcileHistory(
            now=lambda: self.now,
            on_applied=self.applied.append,
            on_ready=self.ready.append,
            on_update=self.rung.append,
            max_endpoints=most,
        )

    def reconciled(
        self, outcome: ReconcileResult, *triggers: Trigger, name: str = "chat", current: bool = True
    ) -> None:
        self.journal.record_reconcile(name, triggers or (Trigger.STREAM,), outcome, took=0.01, current=current)

    @property
    def change(self) -> Change:
        story = self.journal.history("chat")
        assert story is not None
        assert story.change is not None
        return story.change


def record(*, updated: str = "", created: float | None = None, event: Any = "MODIFY", **old: Any) -> StreamRecord:
    new = item(**({"updated_at": updated} if updated else {}))
    return StreamRecord(
        "chat",
        event,
        None if event == "REMOVE" else wire.encode(new),
        wire.encode({**new, "updated_at": "2020-01-01T00:00:00+00:00", **(old or {"desired_state": "stopped"})}),
        "100000000000000000212",
        "shard",
        None if created is None else datetime.fromtimestamp(created, UTC),
    )


def outcome(
    state: RegionState, steps: tuple[Step, ...] = (), result: Result = Result.CHANGED, **more: Any
) -> ReconcileResult:
    return ReconcileResult(result, steps, plan=Plan("chat", report=Report(state, 1, 4)), **more)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def test_a_change_is_followed_from_the_items_time_to_readiness_and_measured_once() -> None:
    kept = HistoryFixture()
    kept.journal.record_change(record(updated=iso(NOON - 0.25), created=NOON - 1))
    kept.now = NOON + 0.05
    kept.journal.record_applied("chat")
    kept.reconciled(outcome(RegionState.UPDATING, SCALED))
    kept.now = NOON + 30
    kept.reconciled(outcome(RegionState.RUNNING, result=Result.IN_SYNC), Trigger.CLUSTER)
    kept.reconciled(outcome(RegionState.RUNNING, result=Result.IN_SYNC), Trigger.CLUSTER)
    change = kept.change
    assert (change.changed, change.clock) == (NOON - 0.25, "item")
    assert (change.read, change.applied, change.ready) == (NOON, NOON + 0.05, NOON + 30)
    assert (change.ended, change.sequence_number) == ("running", "100000000000000000212")
    assert [round(one, 3) for one in kept.applied] == [0.3]
    assert [round(one, 3) for one in kept.ready] == [29.95]


def test_a_change_found_by_a_scan_is_followed_to_readiness_too() -> None:
    kept = HistoryFixture()
    asked = wire.encode(item(updated_at=iso(NOON - 12)))
    kept.journal.record_scan_change("chat", wire.encode(item(hold="wait")), asked)
    kept.now = NOON + 1
    kept.journal.record_applied("chat")
    kept.reconciled(outcome(RegionState.UPDATING, SCALED), Trigger.RESYNC)
    kept.now = NOON + 30
    kept.reconciled(outcome(RegionState.RUNNING, result=Result.IN_SYNC), Trigger.CLUSTER)
    change = kept.change
    assert (change.changed, change.read, change.applied, change.ready) == (NOON - 12, NOON, NOON + 1, NOON + 30)
    assert (change.clock, change.sequence_number, change.ended) == ("item", "", "running")
    assert (kept.applied, kept.ready) == ([13], [29])


def test_a_completed_rollout_found_by_a_scan_is_not_a_change() -> None:
    kept = HistoryFixture()
    promoted = wire.encode(item(desired_state="running"))
    kept.journal.record_scan_change("chat", {**promoted, "desired_state": {"S": "deploying"}}, promoted)
    assert kept.journal.history("chat") is None


def test_the_streams_time_counts_if_the_items_time_is_implausible() -> None:
    for updated in ("yesterday", iso(NOON - 3600), iso(NOON + 60), "2020-01-01T00:00:00+00:00"):
        kept = HistoryFixture()
        kept.journal.record_change(record(updated=updated, created=NOON - 1))
        assert (kept.change.changed, kept.change.clock) == (NOON - 1, "stream"), updated


def test_nothing_is_measured_without_a_time() -> None:
    kept = HistoryFixture()
    kept.journal.record_change(record(updated="never"))
    kept.journal.record_applied("chat")
    kept.reconciled(outcome(RegionState.RUNNING, SCALED))
    assert kept.change.changed is None
    assert kept.applied == []


def test_reports_and_completed_rollouts_are_not_changes() -> None:
    kept = HistoryFixture()
    asked = wire.encode(item(desired_state="running"))
    reported = {**asked, "region_status": wire.encode_value({"us-east-1": {"state": "running"}})}
    before = {**asked, "desired_state": {"S": "deploying"}}
    for old, new in ((asked, reported), (before, asked)):
        kept.journal.record_change(StreamRecord("chat", "MODIFY", new, old, "1", "shard", None))
    assert kept.journal.history("chat") is None
    kept.journal.record_change(
        StreamRecord("chat", "MODIFY", {**before, "hold": {"S": "wait"}}, before, "1", "shard", None)
    )
    assert kept.journal.history("chat") is not None


def test_applies_of_an_older_item_do_not_count_for_a_newer_change() -> None:
    kept = HistoryFixture()
    kept.journal.record_change(record(updated=iso(NOON)))
    kept.reconciled(outcome(RegionState.RUNNING, SCALED), current=False)
    assert (kept.change.applied, kept.change.ended) == (None, "")


def test_a_change_that_needs_no_steps_ends_without_being_applied() -> None:
    kept = HistoryFixture()
    kept.journal.record_change(record(updated=iso(NOON)))
    kept.reconciled(outcome(RegionState.RUNNING, result=Result.IN_SYNC))
    kept.journal.record_applied("chat")
    assert (kept.change.ended, kept.change.applied, kept.change.ready) == ("running", None, None)


def test_the_purge_of_an_item_does_not_hide_the_history_of_its_deletion() -> None:
    kept = HistoryFixture()
    kept.journal.record_change(record(updated=iso(NOON)))
    kept.journal.record_applied("chat")
    kept.reconciled(outcome(RegionState.DELETED, SCALED))
    kept.journal.record_change(record(event="REMOVE"))
    kept.reconciled(ReconcileResult(Result.GONE))
    assert (kept.change.event, kept.change.ended) == ("MODIFY", "deleted")
    assert kept.ready == []


def test_a_change_known_before_its_record_keeps_what_was_done_for_it() -> None:
    kept = HistoryFixture()
    kept.now = NOON + 0.1
    kept.journal.record_applied("chat")
    kept.reconciled(outcome(RegionState.UPDATING, SCALED), Trigger.CLUSTER)
    kept.now = NOON + 0.2
    kept.journal.record_change(record(updated=iso(NOON)), known=True)
    assert (kept.change.read, kept.change.applied, kept.change.ended) == (NOON + 0.1, NOON + 0.1, "")
    kept.now = NOON + 3
    kept.reconciled(outcome(RegionState.RUNNING, result=Result.IN_SYNC), Trigger.CLUSTER)
    assert (kept.change.ready, kept.change.ended) == (NOON + 3, "running")
    assert ([round(one, 3) for one in kept.applied], [round(one, 3) for one in kept.ready]) == ([0.1], [2.9])


def test_a_change_that_ended_before_its_record_is_complete_at_once() -> None:
    kept = HistoryFixture()
    kept.journal.record_applied("chat")
    kept.reconciled(outcome(RegionState.RUNNING, SCALED), Trigger.CLUSTER)
    kept.now = NOON + 0.2
    kept.journal.record_change(record(updated=iso(NOON - 0.5)), known=True)
    assert (kept.change.applied, kept.change.ready, kept.change.ended) == (NOON, NOON, "running")
    assert (kept.applied, kept.ready) == ([0.5], [0.0])


def test_a_repeated_record_does_not_hide_a_newer_change() -> None:
    kept = HistoryFixture()
    for at, known in ((NOON - 9, False), (NOON - 1, False), (NOON - 9, True)):
        kept.journal.record_change(record(updated=iso(at)), known=known)
    assert kept.change.changed == NOON - 1


def test_work_before_a_change_does_not_count_for_the_change() -> None:
    kept = HistoryFixture()
    kept.journal.record_applied("chat")
    kept.reconciled(outcome(RegionState.RUNNING, SCALED), Trigger.CLUSTER)
    kept.now = NOON + 9
    kept.journal.record_change(record(updated=iso(NOON + 8)), known=True)
    assert (kept.change.read, kept.change.applied, kept.change.ended) == (NOON + 9, None, "")


def test_reconciles_are_listed_newest_first_with_the_record_that_caused_them() -> None:
    kept = HistoryFixture()
    kept.journal.record_change(record(updated=iso(NOON)))
    kept.reconciled(outcome(RegionState.UPDATING, SCALED), Trigger.STREAM, Trigger.CLUSTER)
    kept.now += 5
    kept.reconciled(
        ReconcileResult(Result.FAILED, errors=(Cause(Reason.API_ERROR, "the API server is away"),)), Trigger.RETRY
    )
    story = kept.journal.history("chat")
    assert story is not None
    failed, changed = story.reconciles
    assert (changed.result, changed.triggers, changed.sequence_number) == (
        "changed",
        ("stream", Trigger.CLUSTER),
        "100000000000000000212",
    )
    assert changed.lines == (str(SCALED[0]), "reported: updating, 1 of 4 ready")
    assert (failed.at, failed.sequence_number, failed.lines) == (NOON + 5, "", ("the API server is away",))


def test_a_repeated_reconcile_is_only_counted() -> None:
    kept = HistoryFixture()
    for _ in range(500):
        kept.now += 20
        kept.reconciled(ReconcileResult(Result.FAILED, errors=(Cause(Reason.FORBIDDEN, "not allowed"),)), Trigger.RETRY)
    story = kept.journal.history("chat")
    assert story is not None
    (one,) = story.reconciles
    assert (one.times, one.at, one.lines) == (500, kept.now, ("not allowed",))
    assert story.out_of_sync_since == NOON + 20


def test_out_of_sync_since_is_kept_until_the_endpoint_is_in_sync() -> None:
    kept = HistoryFixture()
    kept.reconciled(outcome(RegionState.UPDATING, SCALED))
    kept.now += 60
    kept.reconciled(outcome(RegionState.ERROR))
    assert kept.journal.out_of_sync_since("chat") == NOON
    kept.reconciled(outcome(RegionState.RUNNING))
    assert kept.journal.out_of_sync_since("chat") is None


def test_a_new_report_is_listed_without_steps_and_a_repeated_one_is_not() -> None:
    kept = HistoryFixture()
    kept.reconciled(outcome(RegionState.UPDATING, SCALED))
    for _ in range(3):
        kept.reconciled(outcome(RegionState.RUNNING, result=Result.IN_SYNC), Trigger.CLUSTER)
    story = kept.journal.history("chat")
    assert story is not None
    assert story.reconciles[0].lines == ("reported: running, 1 of 4 ready",)
    assert [one.times for one in story.reconciles] == [1, 1]


def test_echoes_of_our_own_reports_are_not_part_of_the_history() -> None:
    kept = HistoryFixture()
    kept.journal.record_change(record(updated=iso(NOON)))
    kept.journal.record_applied("chat")
    kept.reconciled(outcome(RegionState.RUNNING, SCALED))
    for _ in range(2):
        kept.reconciled(outcome(RegionState.RUNNING, result=Result.IN_SYNC))
    story = kept.journal.history("chat")
    assert story is not None
    assert [(one.result, one.times) for one in story.reconciles] == [("changed", 1)]


def test_an_endpoint_that_was_always_in_sync_is_not_remembered() -> None:
    kept = HistoryFixture()
    kept.reconciled(outcome(RegionState.RUNNING, result=Result.IN_SYNC), Trigger.RESYNC)
    assert kept.journal.history("chat") is None
    assert kept.rung == []


def test_an_endpoint_takes_at_most_six_kilobytes() -> None:
    kept = HistoryFixture()
    for number in range(50):
        kept.journal.record_change(record(updated=iso(NOON)))
        steps = tuple(Scale(CHAT, f"{number}: " + "why " * 200, uid="uid", replicas=number) for _ in range(9))
        kept.reconciled(outcome(RegionState.UPDATING, steps), *(Trigger.RESYNC,) * 3)
        kept.reconciled(ReconcileResult(Result.FAILED, errors=(Cause(Reason.REJECTED, "é\x1b" * 4000),) * 9))
    story = kept.journal.history("chat")
    assert story is not None
    assert story.reconciles[0].lines[0].endswith("…")
    assert story.reconciles[0].lines[-1].endswith("more")
    assert len(story.reconciles) <= MAX_RECONCILES
    entry = kept.journal._entries["chat"]
    texts = [line for one in entry.records for line in one.lines]
    parts = [entry, entry.change, entry.records, *entry.records, *(one.lines for one in entry.records), *texts]
    assert sum(map(sys.getsizeof, parts)) < 6144


def test_the_number_of_endpoints_is_limited_and_the_least_recent_are_dropped() -> None:
    kept = HistoryFixture(most=3)
    for name in ("a", "b", "c"):
        kept.reconciled(outcome(RegionState.ERROR), name=name)
    kept.journal.record_change(StreamRecord("a", "MODIFY", None, None, "1", "shard", None))
    kept.reconciled(outcome(RegionState.ERROR), name="d")
    assert [name for name in "abcd" if kept.journal.history(name) is not None] == ["a", "c", "d"]
