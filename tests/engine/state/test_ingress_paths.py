"""The index of ingress paths: which items overlap, in which order, and who waits for whom."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gco_stream.engine.state.ingress_paths import IngressPaths
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import wire
from gco_stream.planning.policies.ingress_paths import overlap
from tests.support.items import REGION, item


def index(**paths: str) -> IngressPaths:
    found = IngressPaths()
    for name, path in paths.items():
        found.put(wire.encode(item(name, ingress_path=path)))
    return found


def test_equal_paths_and_prefixes_by_segments_overlap_in_both_directions() -> None:
    paths = index(a="/v1", b="/v1/chat", c="/v1/chat/", d="/v1/chatter", e="/v2", f="/v")
    assert paths.overlapping("a") == ["b", "c", "d"]
    assert paths.overlapping("b") == ["a", "c"]
    assert paths.overlapping("d") == ["a"]
    assert paths.overlapping("e") == paths.overlapping("f") == []


def test_paths_that_no_other_endpoint_can_use_and_invalid_paths_are_not_in_the_index() -> None:
    paths = index(chat="/inference/chat", b="/inference/b/v1", c="/", d="no slash", e="/a b", f="/" + "a/" * 200)
    paths.put(wire.encode(item("g", ingress_path=None)))
    paths.put(wire.encode(item("h", ingress_path=5)))
    assert len(paths) == 0
    assert paths.overlapping("chat") == paths.overlapping("unknown") == []


def test_items_are_ordered_by_time_then_by_name_and_those_without_a_time_come_last() -> None:
    paths = IngressPaths()
    times = {
        "a": None,
        "b": "not a time",
        "c": "2026-11-21T10:00:00+00:00",
        "d": "2026-11-21T10:30:00+01:00",
        "e": "2026-11-21T10:00:00",
        "x": "2027-01-01T00:00:00+00:00",
    }
    for name, time in times.items():
        paths.put(wire.encode(item(name, ingress_path="/v1", created_at=time)))
    assert paths.overlapping("x") == ["d", "c", "e", "a", "b"]
    assert paths.is_older("d", "c")
    assert not paths.is_older("b", "a")


def test_the_cache_of_items_keeps_the_index_current() -> None:
    items = ItemCache(REGION)
    for name in ("a", "b"):
        items.put(wire.encode(item(name, ingress_path="/v1")))
    assert items.paths.overlapping("a") == ["b"]
    items.put(wire.encode(item("b", ingress_path="/v2")))
    assert items.paths.overlapping("a") == []
    items.put(wire.encode(item("b", ingress_path="/v1/x")))
    assert items.paths.overlapping("a") == ["b"]
    items.remove("b")
    items.remove("b")
    assert items.paths.overlapping("a") == []


def test_an_endpoint_waits_for_one_owner_at_a_time() -> None:
    paths = IngressPaths()
    paths.set_owner("b", "a")
    paths.set_owner("c", "a")
    assert paths.waiters_of("a") == ("b", "c")
    paths.set_owner("b", "c")
    assert (paths.waiters_of("a"), paths.waiters_of("c")) == (("c",), ("b",))
    paths.set_owner("b", None)
    paths.set_owner("b", None)
    assert paths.waiters_of("c") == ()


_paths = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
_changes = st.lists(st.tuples(st.sampled_from("klmno"), st.none() | _paths | _paths.map(lambda path: path + "/")))


@given(_changes)
def test_after_any_changes_the_index_finds_exactly_the_overlapping_paths(changes: list[tuple[str, str | None]]) -> None:
    paths, known = IngressPaths(), dict[str, Any]()
    for name, path in changes:
        if path is None:
            paths.remove(name)
            known.pop(name, None)
        else:
            paths.put(wire.encode(item(name, ingress_path=path)))
            known[name] = path
    for name, path in known.items():
        expected = sorted(other for other in known if other != name and overlap(known[other], path))
        assert paths.overlapping(name) == expected
    for name in known:
        paths.remove(name)
    assert not any((paths._at, paths._below, paths._claims))
