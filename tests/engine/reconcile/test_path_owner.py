"""Which endpoint an ingress path belongs to."""

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.engine.reconcile.path_owner import PathOwners
from gco_stream.engine.state.item_cache import ItemCache
from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.planning.policies.ingress_paths import overlap
from tests.support.items import REGION, item

DAY = "2026-11-{:02}T09:00:00+00:00"


class Fleet:
    """Items by name, the path of each live Ingress, and how many items have been read."""

    def __init__(self, *items: dict[str, Any], live: Mapping[str, str] | None = None) -> None:
        self.cache = ItemCache(REGION)
        for one in items:
            self.cache.put(wire.encode(one))
        self.live = dict(live or {})
        self.reads = 0

    def owner(self, name: str) -> str | None:
        return PathOwners(REGION, self._item_of, self.cache.paths, self._serves).owner_of(name)

    def _item_of(self, name: str) -> Endpoint | InvalidItem | None:
        self.reads += 1
        return self.cache.get(name)

    def _serves(self, name: str, path: str) -> bool:
        return name in self.live and overlap(self.live[name], path)


def at(name: str, path: str, day: int, **attributes: Any) -> dict[str, Any]:
    return item(name, ingress_path=path, created_at=DAY.format(day), **attributes)


@pytest.mark.parametrize(("first", "second"), [("/v1", "/v1"), ("/v1", "/v1/chat"), ("/v1/chat", "/v1")])
def test_the_older_of_two_items_owns_an_overlapping_path(first: str, second: str) -> None:
    fleet = Fleet(at("b", first, 1), at("a", second, 2))
    assert (fleet.owner("b"), fleet.owner("a")) == (None, "b")


def test_of_two_items_of_the_same_time_the_first_by_name_owns_the_path() -> None:
    fleet = Fleet(at("b", "/v1", 1), at("a", "/v1", 1))
    assert (fleet.owner("a"), fleet.owner("b")) == (None, "a")


def test_an_endpoint_that_serves_keeps_its_path_against_an_older_item() -> None:
    fleet = Fleet(at("old", "/v1", 1), at("new", "/v1/chat", 2), live={"new": "/v1/chat"})
    assert (fleet.owner("new"), fleet.owner("old")) == (None, "new")


def test_of_two_that_serve_the_younger_one_has_the_conflict() -> None:
    fleet = Fleet(at("old", "/v1", 1), at("new", "/v1", 2), live={"new": "/v1", "old": "/v1"})
    assert (fleet.owner("old"), fleet.owner("new")) == (None, "old")


@pytest.mark.parametrize(
    "changes",
    [
        {"desired_state": "stopped"},
        {"desired_state": "deleted"},
        {"target_regions": ["eu-west-1"]},
        {"target_regions": []},
        {"spec": {"replicas": 0}},
        {"spec": {"port": 0}},
        {"ingress_path": "/v2"},
        {"ingress_path": "/inference/old"},
    ],
)
def test_an_endpoint_that_needs_no_ingress_owns_no_path_once_its_ingress_is_gone(changes: dict[str, Any]) -> None:
    fleet = Fleet(at("old", "/v1", 1) | item("old", **{"ingress_path": "/v1", **changes}), at("new", "/v1", 2))
    assert fleet.owner("new") is None
    assert fleet.owner("old") is None
    fleet.live["old"] = "/v1"
    indexed = fleet.cache.paths.overlapping("new")
    assert fleet.owner("new") == ("old" if indexed else None)


def test_a_blocked_endpoint_blocks_no_other() -> None:
    fleet = Fleet(at("first", "/v1/a", 1), at("all", "/v1", 2), at("third", "/v1/b", 3))
    assert [fleet.owner(name) for name in ("first", "all", "third")] == [None, "first", None]


def test_an_endpoint_that_waits_owns_the_path_when_the_owner_is_gone() -> None:
    fleet = Fleet(at("first", "/v1", 1), at("second", "/v1", 2), at("third", "/v1", 3), live={"first": "/v1"})
    assert (fleet.owner("second"), fleet.owner("third")) == ("first", "first")
    del fleet.live["first"]
    fleet.cache.remove("first")
    assert (fleet.owner("second"), fleet.owner("third")) == (None, "second")


def test_ten_thousand_endpoints_with_paths_of_their_own_cost_nothing() -> None:
    count = 10_000
    fleet = Fleet(*(at(f"e{number}", f"/models/e{number}", 1) for number in range(count)), at("chat", "/v1", 2))
    assert fleet.owner("e5000") is fleet.owner("chat") is None
    assert fleet.reads == 0
    fleet.cache.put(wire.encode(at("e5000-b", "/models/e5000/b", 3)))
    assert fleet.owner("e5000-b") == "e5000"
    assert fleet.reads <= 3


def test_the_owner_of_a_path_of_thousands_is_found_without_reading_them_all() -> None:
    count = 2_000
    fleet = Fleet(*(at(f"e{number}", f"/v1/e{number}", 1) for number in range(count)), at("all", "/v1", 2))
    assert fleet.owner("all") == "e0"
    assert fleet.owner("e7") is None
    assert fleet.reads <= 10


_segments = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3)
_item = st.tuples(_segments.map(lambda parts: "/" + "/".join(parts)), st.integers(1, 2), st.booleans(), st.booleans())


@given(st.lists(_item, min_size=1, max_size=6))
def test_endpoints_without_an_owner_never_overlap_unless_both_serve(drawn: list[tuple[str, int, bool, bool]]) -> None:
    plain, live = [], {}
    for number, (path, day, is_stopped, is_live) in enumerate(drawn):
        name = f"e{number}"
        plain.append(at(name, path, day, desired_state="stopped" if is_stopped else "running"))
        if is_live:
            live[name] = path
    fleet = Fleet(*plain, live=live)
    owners = {one["endpoint_name"]: fleet.owner(one["endpoint_name"]) for one in plain}
    reversed_fleet = Fleet(*reversed(plain), live=live)
    assert {name: reversed_fleet.owner(name) for name in owners} == owners
    running = [one for one in plain if one["desired_state"] == "running"]
    for one, other in permutations(running, 2):
        name, rival = one["endpoint_name"], other["endpoint_name"]
        if owners[name] is None and owners[rival] is None:
            assert not overlap(one["ingress_path"], other["ingress_path"])
    for one in running:
        # Whoever has no Ingress waits for an endpoint that has one, or that will get one.
        owner = owners[one["endpoint_name"]]
        assert owner is None or owner in live or owners[owner] is None
