from typing import Any

from gco_stream.engine.state.item_cache import DesiredState, Hint
from gco_stream.model import wire
from gco_stream.model.endpoint import Endpoint
from tests.support.items import REGION, item


def image(**changes: Any) -> wire.WireItem:
    return wire.encode(item(**changes))


def known(**changes: Any) -> DesiredState:
    desired = DesiredState(REGION)
    desired.put(image(**changes))
    return desired


def test_an_item_is_given_back_as_it_was_put() -> None:
    desired = known(spec={"env": {"A": "1"}})
    assert desired.wire("chat") == image(spec={"env": {"A": "1"}})
    assert isinstance(desired.get("chat"), Endpoint)


def test_binary_values_are_given_back_as_they_were_put_wherever_they_stand() -> None:
    state, kept = DesiredState(REGION), wire.encode(item())
    kept["seal"] = {"B": b"\x00\xff"}
    kept["seals"] = {"BS": [b"\x01", b""]}
    kept["B"] = {"S": "a name like a type"}
    kept["spec"]["M"]["notes"] = {"L": [{"M": {"deep": {"B": b"\x02"}, "hex": {"S": "00"}}}]}
    state.put(kept)
    assert state.wire("chat") == kept
    assert state.compare(kept) is Hint.NOTHING_NEW
    assert isinstance(state.get("chat"), Endpoint)


def test_a_record_that_asks_for_something_else_makes_the_name_stale_and_changes_nothing() -> None:
    desired = known()
    assert desired.hear("chat", image(spec={"replicas": 9})) is Hint.CHANGED
    assert desired.stale_mark("chat") is not None
    assert desired.wire("chat") == image()


def test_a_record_without_an_image_and_one_of_an_unknown_name_make_the_name_stale() -> None:
    desired = known()
    assert desired.hear("chat", None) is Hint.CHANGED
    assert desired.hear("new", image(name="new")) is Hint.CHANGED
    assert desired.stale_mark("new") is not None


def test_an_echo_of_our_own_write_is_nothing_new() -> None:
    status = {REGION: {"state": "running", "epoch": 3}}
    desired = known(region_status=status)
    assert desired.hear("chat", image(region_status=status)) is Hint.NOTHING_NEW


def test_another_regions_status_is_taken_over_and_our_own_is_not() -> None:
    desired = known(region_status={REGION: {"state": "running"}})
    late = image(region_status={REGION: {"state": "creating"}, "eu-west-1": {"state": "running"}}, updated_at="x")
    assert desired.hear("chat", late) is Hint.ECHO
    assert desired.stale_mark("chat") is None
    found = desired.get("chat")
    assert found is not None
    assert {region: str(entry.state) for region, entry in found.region_status.items()} == {
        REGION: "running",
        "eu-west-1": "running",
    }


def test_a_hold_and_a_promotion_are_changes() -> None:
    assert known().hear("chat", image(hold="why")) is Hint.CHANGED
    assert known().hear("chat", image(desired_state="running")) is Hint.CHANGED


def test_while_a_name_is_stale_no_record_is_an_echo() -> None:
    desired = known()
    desired.mark_stale("chat")
    assert desired.hear("chat", image()) is Hint.CHANGED


def test_a_newer_mark_outlives_a_read_that_began_before_it() -> None:
    desired = known()
    desired.mark_stale("chat")
    mark = desired.stale_mark("chat")
    assert mark is not None
    desired.mark_stale("chat")
    desired.clear_stale("chat", mark)
    assert desired.stale_mark("chat") is not None


def test_a_scanned_item_is_only_compared() -> None:
    desired = known()
    assert desired.compare(image()) is Hint.NOTHING_NEW
    assert desired.compare(image(updated_at="x")) is Hint.ECHO
    assert desired.compare(image(spec={"replicas": 2})) is Hint.CHANGED
    assert desired.compare(image(name="new")) is Hint.CHANGED
    assert desired.wire("chat") == image()
    assert "new" not in desired


def test_a_removed_item_is_unknown() -> None:
    desired = known()
    desired.remove("chat")
    assert desired.get("chat") is None
    assert desired.hear("chat", image()) is Hint.CHANGED
