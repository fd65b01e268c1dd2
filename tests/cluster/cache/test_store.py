import asyncio
from typing import Any

import pytest

from gco_stream.cluster.api.errors import Unreachable
from gco_stream.cluster.cache.store import Store
from gco_stream.model.objects import JsonObject, Kind, ObjectRef
from tests.support.raw_objects import raw


class FakeCluster:
    """A collection, the server's state, and what the collection has reported."""

    def __init__(self) -> None:
        self.server: dict[str, JsonObject] = {}
        self.asked: list[str] = []
        self.reported: list[frozenset[str]] = []
        self.broken = False
        self.collection = Store(Kind.DEPLOYMENT, "gco-inference", self._fetch, self.reported.append)

    async def _fetch(self, ref: ObjectRef) -> JsonObject | None:
        self.asked.append(ref.name)
        if self.broken:
            raise Unreachable(0, "", "gone")
        return self.server.get(ref.name)

    async def list(self, *items: JsonObject, at: int | None = None) -> None:
        """Pass a list as of version `at`, or of its newest item."""
        newest = max((int(one["metadata"]["resourceVersion"]) for one in items), default=0)
        self.collection.begin_list()
        await self.collection.add_page(list(items))
        await self.collection.end_list(newest if at is None else at)

    def replicas(self, name: str = "llm") -> Any:
        observed = self.collection.get(name)
        return None if observed is None else observed.spec["replicas"]

    def take_reports(self) -> set[str]:
        names = set().union(*self.reported)
        self.reported.clear()
        return names


@pytest.fixture
def world() -> FakeCluster:
    return FakeCluster()


async def test_a_list_reports_only_new_changed_and_deleted_objects(world: FakeCluster) -> None:
    same, changed, gone = (raw(name, uid=name, endpoint=name, applied=False) for name in ("same", "changed", "gone"))
    await world.list(same, changed, gone)
    assert world.take_reports() == {"same", "changed", "gone"}
    newer = raw("changed", uid="changed", endpoint="changed", applied=False, version=11, spec={"replicas": 2})
    await world.list(raw("same", uid="same", endpoint="same", applied=False, version=12), newer)
    assert world.take_reports() == {"changed", "gone"}
    assert world.replicas("gone") is None
    assert world.replicas("changed") == 2


async def test_our_own_write_is_visible_at_once_and_its_event_is_not_reported(world: FakeCluster) -> None:
    written = raw(version=11, spec={"replicas": 2})
    await world.list(raw(version=10))
    world.reported.clear()
    world.collection.put(written)
    assert world.replicas() == 2
    await world.collection.handle_event("MODIFIED", raw(version=10))
    await world.collection.handle_event("MODIFIED", written)
    assert world.replicas() == 2
    assert world.reported == []


async def test_an_older_response_does_not_replace_a_newer_event(world: FakeCluster) -> None:
    await world.collection.handle_event("ADDED", raw(version=12, spec={"replicas": 3}))
    world.collection.put(raw(version=11, spec={"replicas": 2}))
    assert world.replicas() == 3


async def test_an_event_that_planning_ignores_only_updates_the_version(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    world.reported.clear()
    await world.collection.handle_event("MODIFIED", raw(version=15))
    assert world.reported == []
    assert world.collection.version("llm") == 15


async def test_late_events_do_not_bring_a_deleted_uid_back(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    world.collection.forget("llm", "u1")
    world.reported.clear()
    await world.collection.handle_event("MODIFIED", raw(version=12))
    world.collection.put(raw(version=13))
    assert world.collection.get("llm") is None
    await world.collection.handle_event("DELETED", raw(version=14))
    assert world.reported == []
    await world.collection.handle_event("ADDED", raw(uid="u2", version=15))
    assert world.take_reports() == {"llm"}


async def test_a_response_that_arrives_after_the_deletion_changes_nothing(world: FakeCluster) -> None:
    await world.list(raw(version=10, applied=False))
    await world.collection.handle_event("DELETED", raw(version=12, applied=False))
    world.collection.put(raw(version=11))
    assert world.collection.get("llm") is None


async def test_the_deletion_of_a_predecessor_does_not_remove_the_successor(world: FakeCluster) -> None:
    world.collection.put(raw(uid="u2", version=20))
    await world.collection.handle_event("DELETED", raw(uid="u1", version=19))
    await world.collection.handle_event("MODIFIED", raw(uid="u1", version=18))
    world.collection.forget("llm", "u1")
    observed = world.collection.get("llm")
    assert observed is not None
    assert observed.uid == "u2"


async def test_a_deletion_is_verified_while_the_object_may_be_ours(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    world.reported.clear()
    world.server["llm"] = raw(version=11, labels={})
    await world.collection.handle_event("DELETED", raw(version=11))
    observed = world.collection.get("llm")
    assert observed is not None
    assert observed.labels == {}
    assert world.take_reports() == {"llm"}


async def test_an_object_whose_labels_are_restored_is_watched_again(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    world.server["llm"] = raw(version=11, labels={})
    await world.collection.handle_event("DELETED", raw(version=11))
    await world.collection.handle_event("ADDED", raw(version=12))
    world.asked.clear()
    await world.collection.handle_event("BOOKMARK", {"metadata": {"resourceVersion": "13"}})
    assert world.asked == []
    assert world.collection.version("llm") == 12


async def test_an_object_without_labels_is_read_on_every_bookmark(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    world.server["llm"] = raw(version=11, labels={})
    await world.collection.handle_event("DELETED", raw(version=11))
    world.reported.clear()
    bookmark = {"metadata": {"resourceVersion": "13"}}
    await world.collection.handle_event("BOOKMARK", bookmark)
    assert world.reported == []
    world.server["llm"] = raw(version=12, labels={}, spec={"replicas": 7})
    await world.collection.handle_event("BOOKMARK", bookmark)
    assert world.replicas() == 7
    assert world.take_reports() == {"llm"}
    world.server.clear()
    await world.collection.handle_event("BOOKMARK", bookmark)
    assert world.collection.get("llm") is None
    assert world.take_reports() == {"llm"}


async def test_an_object_that_lost_its_labels_and_endpoint_is_dropped(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    world.server["llm"] = raw(version=11, labels={}, endpoint=None)
    await world.collection.handle_event("DELETED", raw(version=11))
    assert world.collection.get("llm") is None
    await world.collection.handle_event("ADDED", raw(version=12))
    assert world.collection.version("llm") == 12


async def test_a_real_deletion_is_accepted_after_a_read(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    world.reported.clear()
    await world.collection.handle_event("DELETED", raw(version=11))
    assert world.asked == ["llm"]
    assert world.collection.get("llm") is None
    assert world.take_reports() == {"llm"}


async def test_the_deletion_of_a_terminating_object_needs_no_read(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    await world.collection.handle_event("DELETED", raw(version=11, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert world.asked == []
    assert world.collection.get("llm") is None


async def test_an_object_missing_from_a_new_list_is_read_if_it_may_be_ours(world: FakeCluster) -> None:
    await world.list(raw("llm"), raw("old", uid="u2", applied=False))
    world.server["llm"] = raw(version=11, labels={})
    await world.list()
    assert world.asked == ["llm"]
    assert world.collection.get("llm") is not None
    assert world.collection.get("old") is None


async def test_a_list_fails_and_keeps_a_missing_object_that_cannot_be_read(world: FakeCluster) -> None:
    await world.list(raw())
    world.broken = True
    with pytest.raises(Unreachable):
        await world.list()
    assert world.collection.get("llm") is not None


async def test_writes_made_while_a_list_is_read_survive_it(world: FakeCluster) -> None:
    await world.list(raw("deleted", uid="d"), raw("changed", uid="c"), raw("untouched", uid="u"))
    world.collection.begin_list()
    await world.collection.add_page(
        [raw("deleted", uid="d"), raw("changed", uid="c"), raw("untouched", uid="u", spec={"replicas": 5})]
    )
    world.collection.put(raw("created", uid="n", version=20))
    world.collection.put(raw("changed", uid="c", version=21, spec={"replicas": 9}))
    world.collection.forget("deleted", "d")
    await world.collection.end_list(20)
    assert [world.replicas(name) for name in ("created", "changed", "deleted", "untouched")] == [1, 9, None, 5]


async def test_a_successor_in_the_list_survives_the_deletion_of_its_predecessor(world: FakeCluster) -> None:
    await world.list(raw(uid="u1", version=10))
    world.collection.begin_list()
    await world.collection.add_page([raw(uid="u2", version=20)])
    world.collection.forget("llm", "u1")
    await world.collection.end_list(20)
    assert world.collection.version("llm") == 20


async def test_a_new_list_is_accepted_even_if_versions_went_back(world: FakeCluster) -> None:
    await world.list(raw(version=1000, spec={"replicas": 9}))
    await world.list(raw(version=10, spec={"replicas": 1}))
    assert world.replicas() == 1
    assert world.collection.version("llm") == 10


async def test_a_new_list_overrides_an_earlier_deletion(world: FakeCluster) -> None:
    world.collection.forget("llm", "u1")
    await world.list(raw(version=10))
    await world.collection.handle_event("MODIFIED", raw(version=11, spec={"replicas": 4}))
    assert world.replicas() == 4


async def test_an_object_reports_every_endpoint_it_may_belong_to(world: FakeCluster) -> None:
    await world.collection.handle_event("ADDED", raw("llm-canary", endpoint=None, applied=False))
    assert world.take_reports() == {"llm", "llm-canary"}
    await world.collection.handle_event("MODIFIED", raw("llm-canary", endpoint="other", version=11))
    assert world.take_reports() == {"llm", "llm-canary", "other"}


async def test_a_foreign_object_that_was_read_is_kept_until_it_is_deleted(world: FakeCluster) -> None:
    world.server["llm"] = raw(labels={}, applied=False, endpoint=None)
    assert await world.collection.refresh("llm") is not None
    assert world.collection.get("llm") is not None
    world.server.clear()
    await world.list()
    assert world.collection.get("llm") is None


async def test_a_read_that_finds_nothing_keeps_an_object_written_meanwhile(world: FakeCluster) -> None:
    await world.list(raw(version=10))
    answered = asyncio.Event()

    async def fetch(_: ObjectRef) -> JsonObject | None:
        await answered.wait()
        return None

    store = Store(Kind.DEPLOYMENT, "gco-inference", fetch, world.reported.append)
    store.put(raw(version=10))
    reading = asyncio.create_task(store.refresh("llm"))
    await asyncio.sleep(0)
    store.put(raw(uid="u2", version=20))
    answered.set()
    await reading
    assert store.version("llm") == 20


async def test_thousands_of_deletions_are_remembered(world: FakeCluster) -> None:
    for number in range(5000):
        world.collection.forget("llm", f"u{number}")
    await world.collection.handle_event("ADDED", raw(uid="u4999"))
    assert world.collection.get("llm") is None


async def test_endpoints_of_objects_are_listed_without_inflating_records(world: FakeCluster) -> None:
    await world.list(raw("a", uid="1", endpoint="a"), raw("b", uid="2", endpoint=None), raw("c", uid="3", endpoint="x"))
    assert dict(world.collection.endpoints()) == {"a": "a", "b": None, "c": "x"}


@pytest.mark.parametrize("was_known", [True, False])
async def test_a_response_older_than_a_new_list_does_not_bring_an_object_back(
    world: FakeCluster, was_known: bool
) -> None:
    await world.list(*([raw(version=4)] if was_known else []))
    # Applied at version 5 and deleted by someone else at 6; the response arrives only after a new list.
    await world.list(at=7)
    assert world.collection.put(raw(version=5)).resource_version == "5"
    assert world.collection.get("llm") is None
    world.collection.put(raw(uid="u2", version=8))
    assert world.collection.version("llm") == 8


async def test_only_the_most_recently_deleted_uids_are_remembered() -> None:
    store = FakeCluster().collection
    for number in range(5000):
        store.forget("llm", f"u{number}")
    await store.handle_event("ADDED", raw(uid="u4999"))
    assert store.get("llm") is None
    await store.handle_event("ADDED", raw(uid="u0"))
    assert store.get("llm") is not None
