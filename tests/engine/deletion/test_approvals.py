"""What an approval covers, and how the guard combines budget, evidence and approval."""

import json
from dataclasses import replace

import pytest

from gco_stream.cluster.api.errors import Unreachable
from gco_stream.engine.deletion.approvals import (
    APPROVED_ANNOTATION,
    MAX_APPROVED,
    VALID_SECONDS,
    Approvals,
    approval_of,
    digest_of,
    entry_of,
)
from gco_stream.engine.deletion.budget import short_digest
from gco_stream.engine.deletion.guard import unrequested_deletions
from gco_stream.model.reasons import Reason
from gco_stream.planning.types.decision import FleetLimit
from gco_stream.planning.types.plan import Plan
from tests.engine.support.guards import GuardFixture, approve
from tests.engine.support.leases import BEGAN, Clock, Lease
from tests.engine.support.orphans import scan


def test_an_entry_identifies_a_name_and_exactly_these_objects() -> None:
    entry = entry_of("a", {"1", "2"})
    assert entry == entry_of("a", ["2", "1"])
    others = [entry_of("b", {"1", "2"}), entry_of("a", {"1"}), entry_of("a", {"1", "2", "3"}), entry_of("a", {"12"})]
    assert entry not in others
    assert len(set(others)) == 4


def test_the_digest_of_a_list_depends_on_its_entries_but_not_on_their_order() -> None:
    assert digest_of(["x", "y"]) == digest_of(["y", "x"])
    assert len({digest_of([]), digest_of(["x"]), digest_of(["x", "y"]), digest_of(["xy"])}) == 4


def test_an_approval_covers_exactly_the_approved_objects() -> None:
    lease = Lease()
    approve(lease, entry_of("a", {"1", "2"}))
    approvals = Approvals(lease, Clock())
    assert approvals.covers("a", {"1", "2"})
    for name, uids in (("a", {"1"}), ("a", {"1", "2", "3"}), ("a", {"1", "9"}), ("b", {"1", "2"}), ("a", set[str]())):
        assert not approvals.covers(name, uids), (name, uids)


def test_a_started_removal_stays_covered_but_new_objects_are_not() -> None:
    lease, clock = Lease(), Clock()
    approve(lease, entry_of("a", {"1", "2", "3"}))
    approvals = Approvals(lease, clock)
    assert approvals.start("a", {"1", "2", "3"})
    assert not approvals.start("a", {"2", "3"})
    assert approvals.covers("a", {"3"})
    assert not approvals.covers("a", {"3", "4"})
    assert not approvals.covers("b", {"3"})
    clock.now += VALID_SECONDS
    assert not approvals.covers("a", {"3"})


@pytest.mark.parametrize(
    ("after", "holds"), [(0, True), (VALID_SECONDS - 1, True), (VALID_SECONDS, False), (-300, True), (-301, False)]
)
async def test_an_approval_expires_after_an_hour_despite_clock_skew(after: float, holds: bool) -> None:
    lease = Lease()
    approve(lease, entry_of("a", {"1"}))
    approvals = Approvals(lease, Clock(BEGAN + after))
    assert approvals.covers("a", {"1"}) is holds
    assert approvals.any is holds
    await approvals.remove_spent()
    assert (APPROVED_ANNOTATION in lease.annotations) is holds


@pytest.mark.parametrize(
    "text",
    ["", "yes", "[]", "7", "{}", '{"until": 1}', '{"entries": ["x"]}', '{"until": "x", "entries": ["x"]}']
    + [json.dumps({"until": BEGAN + 60, "entries": wrong}) for wrong in ("x", [1], {"x": 1}, None)]
    + ['{"until": 1e999, "entries": ["x"]}', '{"until": null, "entries": ["x"]}'],
)
def test_a_malformed_approval_approves_nothing(text: str) -> None:
    lease = Lease()
    lease.annotations = {APPROVED_ANNOTATION: text}
    approvals = Approvals(lease, Clock())
    assert not approvals.covers("x", {"x"})
    assert not approvals.any


def test_a_new_approval_is_reported_once_even_after_it_was_used() -> None:
    lease = Lease()
    approvals = Approvals(lease, Clock())
    assert not approvals.is_new()
    approve(lease, entry_of("a", {"1"}))
    assert approvals.covers("a", {"1"})
    assert approvals.is_new()
    assert not approvals.is_new()
    approve(lease, entry_of("b", {"1"}))
    assert approvals.is_new()
    assert not approvals.covers("a", {"1"})
    lease.annotations = {}
    assert not approvals.is_new()


def test_a_full_approval_fits_into_the_lease() -> None:
    text = approval_of([short_digest(str(number)) for number in range(MAX_APPROVED)], BEGAN)
    assert len(text) <= 141_000


async def test_an_orphan_is_removed_once_it_is_proven_and_recorded_in_the_lease() -> None:
    bench = GuardFixture("gone")
    assert bench.plan_orphan("gone").steps == ()
    await bench.proven()
    plan = bench.plan_orphan("gone")
    assert unrequested_deletions(plan) == bench.uids("gone")
    assert not bench.guard.permits(plan)
    await bench.guard.reserve(plan)
    assert bench.guard.permits(plan)
    assert bench.guard.held == set()


async def test_nothing_is_removed_if_the_lease_cannot_be_written() -> None:
    bench = await GuardFixture("gone").proven()
    plan = bench.plan_orphan("gone")
    bench.lease.fails = Unreachable(0, "Unreachable", "away")
    with pytest.raises(Unreachable):
        await bench.guard.reserve(plan)
    assert not bench.guard.permits(plan)


async def test_two_plans_for_the_last_place_do_not_both_get_it() -> None:
    bench = await GuardFixture("a", "b", limit=1).proven()
    first, second = bench.plan_orphan("a"), bench.plan_orphan("b")
    assert first.steps
    assert second.steps
    await bench.guard.reserve(first)
    await bench.guard.reserve(second)
    assert bench.guard.permits(first)
    assert not bench.guard.permits(second)
    held = bench.plan_orphan("b")
    assert (held.steps, held.limited_by) == ((), FleetLimit.REMOVAL)
    assert bench.guard.held == {"b"}
    bench.clock.now += 3600
    assert bench.plan_orphan("b").steps
    assert bench.guard.held == set()


async def test_an_approved_removal_needs_neither_budget_nor_scans_nor_a_lease_record() -> None:
    bench = GuardFixture("a", "b", limit=0)
    approve(bench.lease, entry_of("a", bench.uids("a")))
    plan = bench.plan_orphan("a")
    assert unrequested_deletions(plan) == bench.uids("a")
    assert bench.guard.permits(plan)
    assert bench.plan_orphan("b").steps == ()
    assert bench.lease.writes == 0


async def test_the_approval_of_one_endpoint_permits_no_other_removal() -> None:
    bench = await GuardFixture("a", "b").proven()
    approve(bench.lease, entry_of("a", bench.uids("a")))
    assert bench.guard.permits(bench.plan_orphan("a"))
    other = bench.plan_orphan("b")
    assert unrequested_deletions(other) == bench.uids("b")
    assert not bench.guard.permits(other)


async def test_an_approval_does_not_cover_objects_that_were_created_later() -> None:
    bench = await GuardFixture("a", limit=0).proven()
    approve(bench.lease, entry_of("a", bench.uids("a")))
    ref, obj = next(iter(bench.cluster.objects.items()))
    bench.cluster.objects[ref] = replace(obj, uid="anew")
    plan = bench.plan_orphan("a")
    assert (plan.steps, plan.limited_by) == ((), FleetLimit.REMOVAL)


async def test_a_wiped_table_is_reported_and_counted_and_removes_nothing() -> None:
    bench = GuardFixture("a", "b")
    await scan(bench.orphans)
    for name in ("a", "b"):
        plan = bench.plan_orphan(name)
        assert plan.steps == ()
        assert [warning.reason for warning in plan.warnings] == [Reason.TABLE_EMPTY]
    assert bench.guard.held == {"a", "b"}


async def test_a_plan_without_unrequested_removals_needs_no_permission() -> None:
    bench = GuardFixture()
    assert bench.guard.permits(Plan("a"))


async def test_an_expired_approval_is_removed_from_the_lease() -> None:
    bench = GuardFixture("a")
    approve(bench.lease, "x", now=BEGAN - VALID_SECONDS)
    await bench.guard.scan_ended({"another"})
    assert APPROVED_ANNOTATION not in bench.lease.annotations
    assert bench.lease.writes == 1
    await bench.guard.scan_ended({"another"})
    assert bench.lease.writes == 1


async def test_a_failed_update_of_the_lease_does_not_abort_the_scan() -> None:
    bench = GuardFixture("a")
    approve(bench.lease, "x", now=BEGAN - VALID_SECONDS)
    bench.lease.fails = Unreachable(0, "Unreachable", "away")
    await bench.guard.scan_ended({"another"})
    assert await bench.guard.scan_ended({"another"}) == {"a"}


async def test_only_names_that_may_be_removed_are_planned_after_a_scan() -> None:
    bench = GuardFixture("a", "b")
    assert await bench.guard.scan_ended({"another"}) == frozenset()
    bench.orphans.item_seen("b")
    assert await bench.guard.scan_ended({"another"}) == {"a"}
    approve(bench.lease, entry_of("b", bench.uids("b")))
    assert await bench.guard.scan_ended({"another"}) == {"a", "b"}
    assert bench.guard.newly_approved() == {"a", "b"}
    assert bench.guard.newly_approved() == frozenset()
