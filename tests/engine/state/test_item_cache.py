from typing import Any

from gco_stream.engine.state.item_cache import ChangeKind, ItemCache
from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint
from tests.support.items import REGION, item


def image(**changes: Any) -> wire.WireItem:
    return wire.encode(item(**changes))


def known(**changes: Any) -> ItemCache:
    items = ItemCache(REGION)
    items.put(image(**changes))
    return items


def test_an_item_is_returned_as_it_was_stored() -> None:
    items = known(spec={"env": {"A": "1"}})
    assert items.wire("chat") == image(spec={"env": {"A": "1"}})
    assert isinstance(items.get("chat"), Endpoint)


def test_binary_values_are_returned_as_they_were_stored_at_any_depth() -> None:
    state, kept = ItemCache(REGION), wire.encode(item())
    kept["seal"] = {"B": b"\x00\xff"}
    kept["seals"] = {"BS": [b"\x01", b""]}
    kept["B"] = {"S": "a name like a type"}
    kept["spec"]["M"]["notes"] = {"L": [{"M": {"deep": {"B": b"\x02"}, "hex": {"S": "00"}}}]}
    state.put(kept)
    assert state.wire("chat") == kept
    assert state.compare(kept) is ChangeKind.UNCHANGED
    assert isinstance(state.get("chat"), Endpoint)


def test_a_record_with_another_desired_state_only_marks_the_name_stale() -> None:
    items = known()
    assert items.observe_record("chat", image(spec={"replicas": 9})) is ChangeKind.CHANGED
    assert items.stale_mark("chat") is not None
    assert items.wire("chat") == image()


def test_records_without_an_image_or_of_unknown_names_mark_the_name_stale() -> None:
    items = known()
    assert items.observe_record("chat", None) is ChangeKind.CHANGED
    assert items.observe_record("new", image(name="new")) is ChangeKind.CHANGED
    assert items.stale_mark("new") is not None


def test_an_echo_of_our_own_write_is_nothing_new() -> None:
    status = {REGION: {"state": "running", "epoch": 3}}
    items = known(region_status=status)
    assert items.observe_record("chat", image(region_status=status)) is ChangeKind.UNCHANGED


def test_the_status_of_other_regions_is_copied_and_our_own_is_kept() -> None:
    items = known(region_status={REGION: {"state": "running"}})
    late = image(region_status={REGION: {"state": "creating"}, "eu-west-1": {"state": "running"}}, updated_at="x")
    assert items.observe_record("chat", late) is ChangeKind.STATUS_ONLY
    assert items.stale_mark("chat") is None
    found = items.get("chat")
    assert found is not None
    assert {region: str(entry.state) for region, entry in found.region_status.items()} == {
        REGION: "running",
        "eu-west-1": "running",
    }


def test_a_hold_and_a_completed_rollout_are_changes() -> None:
    assert known().observe_record("chat", image(hold="why")) is ChangeKind.CHANGED
    assert known().observe_record("chat", image(desired_state="running")) is ChangeKind.CHANGED


def test_while_a_name_is_stale_no_record_is_an_echo() -> None:
    items = known()
    items.mark_stale("chat")
    assert items.observe_record("chat", image()) is ChangeKind.CHANGED


def test_a_newer_stale_mark_survives_a_read_that_started_before_it() -> None:
    items = known()
    items.mark_stale("chat")
    mark = items.stale_mark("chat")
    assert mark is not None
    items.mark_stale("chat")
    items.clear_stale("chat", mark)
    assert items.stale_mark("chat") is not None


def test_a_scanned_item_is_only_compared() -> None:
    items = known()
    assert items.compare(image()) is ChangeKind.UNCHANGED
    assert items.compare(image(updated_at="x")) is ChangeKind.STATUS_ONLY
    assert items.compare(image(spec={"replicas": 2})) is ChangeKind.CHANGED
    assert items.compare(image(name="new")) is ChangeKind.CHANGED
    assert items.wire("chat") == image()
    assert "new" not in items


def test_a_removed_item_is_unknown() -> None:
    items = known()
    items.remove("chat")
    assert items.get("chat") is None
    assert items.observe_record("chat", image()) is ChangeKind.CHANGED
