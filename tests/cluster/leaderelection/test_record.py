from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.leaderelection.record import LeaderElectionRecord, ObservedRecord, Timing
from gco_stream.model.times import MAX_EPOCH

TIMING = Timing(duration=15, renew_deadline=10, retry_period=2, legacy_interval=20)
OURS = "pod-a_0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "pod-b_7c9e6679-7425-40de-944b-e07fc1f90ae7"
NOW = 1_763_000_000_123_456

epochs = st.integers(0, MAX_EPOCH)


def held(holder: str = OTHER, renewed: int = NOW, uid: str = "u", duration: int | None = 15) -> LeaderElectionRecord:
    return LeaderElectionRecord(uid, holder, duration, acquired=NOW, renewed=renewed)


def wait(seen: ObservedRecord, now: float, sent_epoch: int | None = None) -> float:
    return lease.wait_before_acquiring(seen, now, OURS, sent_epoch)


def test_a_lease_that_never_existed_may_be_created_at_once() -> None:
    assert wait(lease.observe(None, None, 100, TIMING), 100) == 0


def test_the_wait_for_a_held_lease_starts_at_its_last_observed_change() -> None:
    seen = lease.observe(None, held(), 100, TIMING)
    seen = lease.observe(seen, held(), 110, TIMING)
    assert wait(seen, 110) == 5
    seen = lease.observe(seen, held(renewed=NOW + 1), 112, TIMING)
    assert wait(seen, 112) == 15


def test_a_released_lease_may_be_acquired_at_once() -> None:
    seen = lease.observe(None, held(), 100, TIMING)
    assert wait(lease.observe(seen, LeaderElectionRecord("u", acquired=NOW), 101, TIMING), 101) == 0
    assert wait(lease.observe(None, LeaderElectionRecord("u", acquired=NOW), 101, TIMING), 101) == 0


def test_a_manually_cleared_holder_may_still_act_and_is_waited_for() -> None:
    seen = lease.observe(None, held(), 100, TIMING)
    for emptied in (held(holder=""), LeaderElectionRecord("u")):
        assert wait(lease.observe(seen, emptied, 110, TIMING), 110) == 15
        assert wait(lease.observe(None, emptied, 110, TIMING), 110) == 15


def test_a_deleted_lease_is_recreated_one_duration_later() -> None:
    seen = lease.observe(lease.observe(None, held(), 100, TIMING), None, 103, TIMING)
    seen = lease.observe(seen, None, 110, TIMING)
    assert wait(seen, 110) == 8


def test_a_manually_recreated_lease_does_not_shorten_the_wait() -> None:
    seen = lease.observe(lease.observe(None, held(), 100, TIMING), None, 103, TIMING)
    assert wait(lease.observe(seen, LeaderElectionRecord("v", acquired=NOW), 105, TIMING), 105) == 13
    assert wait(lease.observe(seen, LeaderElectionRecord("v"), 105, TIMING), 105) == 15
    unseen = lease.observe(lease.observe(None, held(), 100, TIMING), LeaderElectionRecord("v"), 105, TIMING)
    assert wait(unseen, 105) == 15


def test_a_manually_edited_duration_can_only_lengthen_the_wait() -> None:
    assert wait(lease.observe(None, held(duration=1), 100, TIMING), 100) == 15
    assert wait(lease.observe(None, held(duration=60), 100, TIMING), 100) == 60
    assert wait(lease.observe(None, held(duration=None), 100, TIMING), 100) == 15


@pytest.mark.parametrize("holder", ["inference-monitor-5d9c7b-x2x4z", "monitor_1", "host_0f8fad5b", f"{OURS}x"])
def test_a_gco_monitor_is_given_three_of_its_cycles(holder: str) -> None:
    assert wait(lease.observe(None, held(holder), 100, TIMING), 100) == 60
    assert wait(lease.observe(None, held(holder, duration=90), 100, TIMING), 100) == 90


def test_our_own_write_needs_no_wait() -> None:
    seen = lease.observe(None, held(OURS), 100, TIMING)
    assert wait(seen, 100, sent_epoch=NOW) == 0
    assert wait(seen, 100, sent_epoch=NOW - 1) == 15
    assert wait(seen, 100) == 15
    assert wait(lease.observe(None, held(OTHER), 100, TIMING), 100, sent_epoch=NOW) == 15


def test_a_lease_is_held_only_while_its_uid_and_holder_match() -> None:
    def is_held(record: LeaderElectionRecord | None) -> bool:
        return lease.is_held(lease.observe(None, record, 100, TIMING), "u", OURS)

    assert is_held(held(OURS))
    assert not is_held(held(OTHER))
    assert not is_held(held(""))
    assert not is_held(held(OURS, uid="v"))
    assert not is_held(None)


def test_the_highest_observed_epoch_outlives_the_lease() -> None:
    seen = lease.observe(None, held(), 100, TIMING)
    seen = lease.observe(seen, LeaderElectionRecord("u"), 101, TIMING)
    assert lease.observe(seen, None, 102, TIMING).epoch == NOW


@given(epochs, epochs)
def test_every_epoch_is_above_the_previous_one(previous: int, now: int) -> None:
    epoch = lease.next_epoch(previous, now)
    assert epoch > previous or epoch == MAX_EPOCH
    assert now <= epoch <= MAX_EPOCH


@given(epochs)
def test_times_have_six_digits_and_are_read_back_exactly(epoch: int) -> None:
    text = lease.micro_time(epoch)
    assert len(text) == len("2025-11-13T02:13:20.123456Z")
    raw = {**lease.new_lease("ns", "n"), "spec": {"acquireTime": text, "renewTime": text}}
    raw["metadata"]["uid"] = "u"
    assert (lease.parse(raw).acquired, lease.parse(raw).renewed) == (epoch, epoch)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-13T02:13:20Z", datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)),
        ("2025-11-13T04:13:20.5+02:00", datetime(2025, 11, 13, 2, 13, 20, 500000, tzinfo=UTC)),
        ("2025-11-13T02:13:20", datetime(2025, 11, 13, 2, 13, 20, tzinfo=UTC)),
    ],
)
def test_other_time_formats_are_parsed(text: str, expected: datetime) -> None:
    record = lease.parse({"metadata": {"uid": "u"}, "spec": {"renewTime": text}})
    assert record.renewed is not None
    assert lease.moment(record.renewed) == expected


@pytest.mark.parametrize("spec", [None, {}, {"renewTime": None, "acquireTime": "soon", "leaseDurationSeconds": None}])
def test_missing_or_invalid_fields_are_unset(spec: object) -> None:
    assert lease.parse({"metadata": {"uid": "u"}, "spec": spec}) == LeaderElectionRecord("u")


def test_acquiring_sets_our_fields_and_keeps_all_others() -> None:
    raw: dict[str, Any] = {
        "metadata": {"uid": "u", "resourceVersion": "7", "annotations": {"a": "1"}},
        "spec": {"holderIdentity": "old", "leaseDurationSeconds": 45, "leaseTransitions": 3, "strategy": "x"},
    }
    assert lease.acquired(raw, OURS, 15, NOW, NOW) == {
        "metadata": raw["metadata"],
        "spec": {
            "holderIdentity": OURS,
            "leaseDurationSeconds": 15,
            "acquireTime": lease.micro_time(NOW),
            "renewTime": lease.micro_time(NOW),
            "leaseTransitions": 4,
            "strategy": "x",
        },
    }
    assert raw["spec"]["holderIdentity"] == "old"


def test_transitions_count_holder_changes_up_to_the_servers_limit() -> None:
    def transitions(before: int | None, holder: str | None, uid: bool = True) -> int:
        raw = {"metadata": {"uid": "u"} if uid else {}, "spec": {"leaseTransitions": before, "holderIdentity": holder}}
        return int(lease.acquired(raw, OURS, 15, NOW, NOW)["spec"]["leaseTransitions"])

    assert transitions(None, None) == 1
    assert transitions(5, OTHER) == 6
    assert transitions(5, "") == 6
    assert transitions(5, OURS) == 5
    assert transitions(2**31 - 1, OTHER) == 2**31 - 1
    assert transitions(None, None, uid=False) == 0


def test_a_renewal_is_a_change_even_if_the_clock_stands_still() -> None:
    raw = lease.acquired({"metadata": {"uid": "u"}}, OURS, 15, NOW, NOW)
    again = lease.renewed(raw, 15, NOW, NOW)
    assert lease.parse(again) != lease.parse(raw)
    assert lease.parse(again).acquired == NOW


def test_a_renewal_sets_and_removes_annotations_and_keeps_the_others() -> None:
    raw = lease.acquired({"metadata": {"uid": "u", "annotations": {"a": "1", "b": "2"}}}, OURS, 15, NOW, NOW)
    again = lease.renewed(raw, 15, NOW, NOW + 5, {"b": None, "c": "3"})
    assert lease.annotations_of(again) == {"a": "1", "c": "3"}
    assert lease.annotations_of(raw) == {"a": "1", "b": "2"}
    assert lease.annotations_of(lease.renewed(raw, 15, NOW, NOW + 5)) == {"a": "1", "b": "2"}


def test_a_release_keeps_the_duration_and_the_epoch() -> None:
    raw = lease.acquired({"metadata": {"uid": "u"}}, OURS, 15, NOW, NOW)
    let_go = lease.released(raw, 15, NOW)
    assert let_go["spec"]["holderIdentity"] == ""
    assert lease.parse(let_go).released
    assert (lease.parse(let_go).duration, lease.parse(let_go).acquired) == (15, NOW)
