"""The deletion budget: what it allows, what it records, and how it treats a malformed annotation."""

import asyncio
import json

import pytest

from gco_stream.cluster.api.errors import Conflict
from gco_stream.engine.deletion.budget import MAX_REMOVALS, REMOVALS_ANNOTATION, DeletionBudget, short_digest
from tests.engine.support.leases import BEGAN, Clock, Lease

HOUR = 3600.0


def budget(limit: int | None, lease: Lease | None = None, clock: Clock | None = None) -> DeletionBudget:
    return DeletionBudget(limit, lease or Lease(), clock or Clock())


def with_removals(text: str) -> Lease:
    lease = Lease()
    lease.annotations = {REMOVALS_ANNOTATION: text}
    return lease


def test_the_budget_is_five_or_a_tenth_of_the_known_endpoints() -> None:
    assert budget(None).left("a", 10) == 5
    assert budget(None).left("a", 200) == 20
    assert budget(0).left("a", 200) == 0


def test_no_budget_is_larger_than_the_lease_can_record() -> None:
    assert budget(10_000).left("a", 10) == MAX_REMOVALS
    assert budget(None).left("a", 50_000) == MAX_REMOVALS


def test_a_reserved_removal_may_finish_but_no_other_may_start() -> None:
    one = budget(1)
    assert one.reserve("a", 10)
    assert one.left("a", 10) == 1
    assert one.left("b", 10) == 0
    assert not one.reserve("b", 10)
    assert one.reserve("a", 10)


def test_the_budget_is_restored_after_an_hour_and_announces_when() -> None:
    clock = Clock()
    one = budget(1, clock=clock)
    assert one.next_in(10) == 0
    one.reserve("a", 10)
    clock.now += 600
    assert one.next_in(10) == HOUR - 600
    clock.now = BEGAN + HOUR - 1
    assert one.left("b", 10) == 0
    clock.now = BEGAN + HOUR
    assert (one.left("b", 10), one.next_in(10)) == (1, 0)


def test_an_overspent_budget_allows_the_next_removal_once_enough_have_expired() -> None:
    clock = Clock()
    lease = with_removals(json.dumps({"a": int(BEGAN) - 300, "b": int(BEGAN) - 200, "c": int(BEGAN) - 100}))
    assert budget(2, lease, clock).next_in(10) == HOUR - 200
    assert budget(0, lease, clock).next_in(10) == HOUR


async def test_a_reserved_removal_may_start_only_once_the_lease_records_it() -> None:
    lease = Lease(others="stay")
    one = budget(2, lease)
    one.reserve("a", 10)
    assert not one.is_persisted_for("a")
    await one.store()
    assert one.is_persisted_for("a")
    assert not one.is_persisted_for("b")
    assert json.loads(lease.annotations[REMOVALS_ANNOTATION]) == {short_digest("a"): int(BEGAN)}
    assert lease.annotations["others"] == "stay"


async def test_no_removal_starts_until_the_lease_can_be_written() -> None:
    lease = Lease()
    one = budget(2, lease)
    one.reserve("a", 10)
    lease.fails = Conflict(409, "Conflict", "changed by others each time")
    with pytest.raises(Conflict):
        await one.store()
    assert not one.is_persisted_for("a")
    lease.fails = None
    await one.store()
    assert one.is_persisted_for("a")


async def test_concurrent_removals_share_few_writes() -> None:
    lease = Lease()
    one = budget(100, lease)
    lease.gate.clear()
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            one.reserve(str(number), 1000)
            group.create_task(one.store())
        await asyncio.sleep(0)
        lease.gate.set()
    assert lease.writes <= 2
    assert all(one.is_persisted_for(str(number)) for number in range(50))


async def test_a_removal_reserved_during_a_write_does_not_count_as_recorded() -> None:
    lease = Lease()
    one = budget(100, lease)
    one.reserve("a", 10)
    lease.gate.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(one.store())
        await asyncio.sleep(0)
        one.reserve("b", 10)
        lease.gate.set()
    assert one.is_persisted_for("a")
    assert not one.is_persisted_for("b")


async def test_a_new_leader_continues_with_the_budget_of_the_last_one() -> None:
    lease, clock = Lease(), Clock()
    old = budget(2, lease, clock)
    for name in ("a", "b"):
        old.reserve(name, 10)
    await old.store()
    clock.now += 10
    new = budget(2, lease, clock)
    assert new.left("c", 10) == 0
    assert new.left("a", 10) == 1
    assert new.is_persisted_for("a")
    assert new.next_in(10) == HOUR - 10
    assert new.is_persisted


async def test_expired_entries_are_dropped_with_the_next_write() -> None:
    lease, clock = with_removals(json.dumps({"old": int(BEGAN - HOUR)})), Clock()
    one = budget(2, lease, clock)
    assert one.left("a", 10) == 2
    one.reserve("a", 10)
    await one.store()
    assert set(json.loads(lease.annotations[REMOVALS_ANNOTATION])) == {short_digest("a")}


def test_a_time_in_the_future_counts_as_now_and_expires_after_an_hour() -> None:
    clock = Clock()
    one = budget(1, with_removals(json.dumps({"a": int(BEGAN) + 30 * 86_400})), clock)
    assert one.left("b", 10) == 0
    assert one.next_in(10) == HOUR
    clock.now += HOUR
    assert one.left("b", 10) == 1


def test_a_clock_that_is_set_back_frees_nothing_and_blocks_for_at_most_an_hour() -> None:
    clock = Clock()
    one = budget(1, clock=clock)
    one.reserve("a", 10)
    clock.now -= 86_400
    assert one.left("b", 10) == 0
    clock.now += HOUR
    assert one.left("b", 10) == 1


RUBBISH = ["", "yes", "[]", "3", "null", '{"a": "soon"}', '{"a": true}', '{"a": null}', '{"a": 1e400}', '{"a": {}}']


@pytest.mark.parametrize("text", RUBBISH)
async def test_a_malformed_budget_counts_as_spent_for_an_hour_across_leaders(text: str) -> None:
    lease, clock = with_removals(text), Clock()
    one = budget(5, lease, clock)
    assert one.left("a", 10) == 0
    assert not one.reserve("a", 10)
    assert not one.is_persisted
    await one.store()
    clock.now += 1800
    later = budget(5, lease, clock)
    assert (later.left("a", 10), later.next_in(10)) == (0, 1800)
    assert later.is_persisted
    clock.now += 1800
    assert one.left("a", 10) == 5
    assert later.left("a", 10) == 5


def test_a_full_budget_fits_into_the_lease_beside_a_full_approval() -> None:
    names = json.dumps({short_digest(str(number)): int(BEGAN) for number in range(MAX_REMOVALS)}, separators=(",", ":"))
    assert len(names) <= 56_000
