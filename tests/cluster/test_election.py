"""The elector against an API server in memory, in the event loop's own (fast) time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gco_stream.cluster import errors, lease
from gco_stream.cluster.election import Leadership
from tests.cluster.lease_server import LeaseServer
from tests.cluster.replicas import Replica, Terms, contending

pytestmark = pytest.mark.looptime

WALL = 1_763_000_000_000_000
DURATION, DEADLINE, RETRY, CYCLE = 15, 10.0, 2.0, 15.0
GCO = "inference-monitor-5d9c7b-x2x4z"


def now() -> float:
    return asyncio.get_running_loop().time()


def wall() -> int:
    return WALL + int(now() * 1e6)


def replica(server: LeaseServer, terms: Terms, name: str) -> Replica:
    return Replica(
        server,
        terms,
        name,
        namespace="ns",
        duration=DURATION,
        renew_deadline=DEADLINE,
        retry_period=RETRY,
        legacy_interval=CYCLE,
        clock=asyncio.get_running_loop().time,
        wall=wall,
    )


@asynccontextmanager
async def replicas(server: LeaseServer, count: int) -> AsyncIterator[tuple[Terms, list[Replica]]]:
    def start(terms: Terms) -> list[Replica]:
        return [replica(server, terms, f"pod-{number}") for number in range(count)]

    async with contending(start) as (terms, all_of_them):
        yield terms, all_of_them


async def until(condition: Callable[[], object], within: float = 100) -> float:
    """The seconds until the condition held; fails if it does not."""
    started = now()
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.02)
    return now() - started


async def leader_of(terms: Terms, within: float = 100) -> Replica:
    await until(lambda: terms.leading, within)
    return terms.leading[0]


async def test_of_three_replicas_one_leads_and_renews() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        leader = await leader_of(terms, 1)
        renewed = server.spec["renewTime"]
        await asyncio.sleep(300)
        assert terms.leading == [leader]
        assert len(terms.epochs) == 1
        assert server.spec["renewTime"] > renewed
        assert server.spec["leaseDurationSeconds"] == DURATION
        assert server.spec["leaseTransitions"] == 0


async def test_standbys_that_can_watch_read_nothing_while_the_leader_renews() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.calls.clear()
        await asyncio.sleep(200)
        assert set(server.calls) == {"PUT"}
        assert 200 / RETRY * 0.8 < len(server.calls) < 200 / RETRY * 1.3


async def test_a_leader_that_stops_releases_and_the_next_leads_at_once() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        first = await leader_of(terms)
        await asyncio.sleep(7)
        await first.stop()
        assert await until(lambda: terms.leading) < 0.5
        assert terms.leading != [first]
        assert server.spec["leaseTransitions"] >= 1


async def test_the_last_leaders_release_keeps_the_duration_and_empties_the_holder() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        await only.stop()
        assert server.holder == ""
        assert server.spec["leaseDurationSeconds"] == DURATION
        assert server.spec["acquireTime"] == lease.micro_time(terms.epochs[0])


async def test_a_release_is_seen_within_a_retry_period_where_watching_is_not_allowed() -> None:
    server = LeaseServer()
    server.watchable = False
    async with replicas(server, 2) as (terms, both):
        first = await leader_of(terms)
        await asyncio.sleep(20)
        assert all(one.snapshot.problem is None for one in both)
        await first.stop()
        assert await until(lambda: terms.leading) < 1.3 * RETRY


async def test_a_killed_leaders_lease_runs_out_before_the_next_leads() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        first = await leader_of(terms)
        await asyncio.sleep(31)
        await first.kill()
        waited = await until(lambda: terms.leading)
        assert DURATION - 1.3 * RETRY < waited < DURATION + 1


async def test_a_leader_that_cannot_renew_is_cancelled_at_the_deadline_and_the_next_waits_longer() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [first]):
        await leader_of(terms)
        await asyncio.sleep(31)
        server.down = True
        started = now()
        assert first.leadership is not None
        least = await until(lambda: not terms.leading)
        assert DEADLINE - 1.3 * RETRY < least <= DEADLINE + 0.1
        assert first.remaining_at_the_end == [0.0]
        assert first.snapshot.problem is not None
        assert now() - started < DURATION - 1
        server.down = False
        second = replica(server, terms, "pod-late")
        await first.kill()
        await until(lambda: second.leading)
        await second.kill()


async def test_a_leader_that_hears_nothing_for_a_while_goes_on_if_it_can_renew_before_the_deadline() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        await asyncio.sleep(20)
        server.down = True
        await asyncio.sleep(5)
        server.down = False
        await asyncio.sleep(60)
        assert terms.leading == [first]
        assert len(terms.epochs) == 1
        assert first.snapshot.problem is None


async def test_a_lease_that_nobody_else_took_is_taken_again_with_a_new_epoch() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        server.down = True
        await until(lambda: not terms.leading)
        server.down = False
        assert await until(lambda: only.leading) < DEADLINE / 2 + 2 * RETRY
        assert terms.epochs[1] > terms.epochs[0]
        assert server.spec["leaseTransitions"] == 0


async def test_a_taking_whose_answer_was_lost_is_found_out() -> None:
    server = LeaseServer()
    server.lose_answers = True
    async with replicas(server, 2) as (terms, _):
        await until(lambda: server.holder)
        server.lose_answers = False
        await leader_of(terms, DEADLINE / 2 + 3 * RETRY)


async def test_remaining_counts_from_before_the_renewal_was_sent() -> None:
    server = LeaseServer()
    server.latency = 0.75
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        assert only.leadership is not None
        assert only.leadership.remaining() == pytest.approx(DURATION - 1 - 2 * server.latency, abs=0.02)
        samples = []
        for _ in range(100):
            samples.append(only.leadership.remaining())
            await asyncio.sleep(0.1)
        assert max(samples) <= DURATION - 1 - 2 * server.latency + 0.02
        assert min(samples) >= DURATION - 1 - 2 * server.latency - 1.3 * RETRY - 2 * server.latency


async def test_a_lease_deleted_by_hand_ends_the_term_and_comes_back_a_duration_later() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.delete()
        assert await until(lambda: not terms.leading) < 0.1
        waited = await until(lambda: terms.leading)
        assert DURATION - 0.2 < waited < DURATION + 1
        await asyncio.sleep(60)
        assert len(terms.epochs) == 2


async def test_a_lease_deleted_and_made_again_by_hand_is_waited_for_all_the_same() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.delete()
        server.edit()
        assert await until(lambda: not terms.leading) < 0.1
        assert DURATION - 0.2 < await until(lambda: terms.leading) < DURATION + 1


@pytest.mark.parametrize("holder", ["", "somebody_0f8fad5b-d9cb-469f-a165-70867728950e"])
async def test_a_holder_edited_by_hand_ends_the_term_and_is_waited_for(holder: str) -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.edit(holderIdentity=holder)
        assert await until(lambda: not terms.leading) < 0.1
        assert DURATION - 0.2 < await until(lambda: terms.leading) < DURATION + 1


async def test_a_lease_handed_to_a_standby_by_hand_is_waited_for() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, both):
        first = await leader_of(terms)
        await asyncio.sleep(10)
        [standby] = [one for one in both if one is not first]
        server.edit(holderIdentity=standby.identity)
        assert await until(lambda: not terms.leading) < 0.1
        assert DURATION - 0.2 < await until(lambda: terms.leading) < DURATION + 1


async def test_other_edits_are_kept_or_put_right_and_do_not_end_the_term() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        server.edit(annotations={"team": "ml"}, leaseDurationSeconds=1, strategy="x")
        await asyncio.sleep(30)
        assert terms.leading == [first]
        assert len(terms.epochs) == 1
        assert server.spec["leaseDurationSeconds"] == DURATION
        assert server.spec["strategy"] == "x"
        assert server.lease is not None
        assert server.lease["metadata"]["annotations"] == {"team": "ml"}


async def test_a_dead_holder_of_gcos_kind_is_given_three_cycles() -> None:
    server = LeaseServer()
    server.edit(holderIdentity=GCO, renewTime=lease.micro_time(wall()), leaseDurationSeconds=1)
    async with replicas(server, 2) as (terms, both):
        await asyncio.sleep(1)
        assert both[0].snapshot.holder == GCO
        waited = await until(lambda: terms.leading)
        assert 3 * CYCLE - 1.2 < waited < 3 * CYCLE
        assert server.spec["leaseDurationSeconds"] == DURATION


async def test_a_live_holder_of_gcos_kind_is_left_alone() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, both):
        for one in both:
            await one.stop()
        terms.epochs.clear()
        server.edit(holderIdentity=GCO, renewTime=lease.micro_time(wall()))
        late = replica(server, terms, "pod-late")
        for _ in range(20):
            await asyncio.sleep(CYCLE + 10)
            server.edit(renewTime=lease.micro_time(wall()))
        assert terms.epochs == []
        await late.kill()


async def test_a_watch_that_ends_is_opened_again() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        await asyncio.sleep(10)
        server.break_watches()
        await asyncio.sleep(2 * RETRY)
        server.edit(annotations={"seen": "yes"})
        await asyncio.sleep(0.1)
        assert first.leadership is not None
        assert first.leadership.annotations == {"seen": "yes"}
        await first.stop()
        assert await until(lambda: terms.leading) < 0.5


@pytest.mark.parametrize(
    "refusal",
    [
        errors.Forbidden(403, "Forbidden", "leases is forbidden"),
        errors.NotFound(404, "NotFound", 'namespaces "ns" not found'),
        errors.ServerError(500, "InternalError", "etcdserver: no leader"),
    ],
)
async def test_a_lease_that_cannot_be_used_is_a_problem_and_tried_again(refusal: errors.ClusterError) -> None:
    server = LeaseServer()
    server.refusal = refusal
    async with replicas(server, 1) as (terms, [only]):
        await asyncio.sleep(60)
        assert only.snapshot.problem == refusal.message
        assert 40 / RETRY < len(server.calls) < 160 / RETRY
        server.refusal = None
        await leader_of(terms, 2 * RETRY)
        assert only.snapshot.problem is None


async def test_a_leader_that_is_forbidden_to_renew_steps_down_at_the_deadline_and_says_why() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        server.refusal = errors.Forbidden(403, "Forbidden", "leases is forbidden")
        await until(lambda: not terms.leading, DEADLINE + 1)
        assert only.snapshot.problem == "leases is forbidden"
        assert not only.snapshot.leading


async def test_work_that_takes_long_to_finish_keeps_the_lease_until_then() -> None:
    server = LeaseServer()
    terms = Terms()
    first = replica(server, terms, "pod-first")

    async def drain(_: Leadership) -> None:
        await first.stopping.wait()
        await asyncio.sleep(20)

    first.work = drain
    await until(lambda: first.leading)
    second = replica(server, terms, "pod-second")
    await asyncio.sleep(1)
    started = now()
    await first.stop()
    assert now() - started == pytest.approx(20, abs=0.1)
    await until(lambda: second.leading, 0.5)
    await second.stop()
    assert terms.overlaps == []


async def test_a_standby_stops_at_once_and_leaves_the_lease_alone() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, both):
        first = await leader_of(terms)
        await asyncio.sleep(5)
        [standby] = [one for one in both if one is not first]
        started = now()
        await standby.stop()
        assert now() - started < 0.1
        assert server.holder == first.identity


async def test_an_error_of_the_work_is_raised_after_the_lease_is_released() -> None:
    server = LeaseServer()
    terms = Terms()
    only = replica(server, terms, "pod")

    async def fail(_: Leadership) -> None:
        raise ValueError("broken")

    only.work = fail
    error = await only.ended()
    assert isinstance(error, ExceptionGroup)
    assert error.subgroup(ValueError) is not None
    assert server.holder == ""


async def test_work_that_ends_early_gives_the_lease_to_another() -> None:
    server = LeaseServer()

    async def nothing(_: Leadership) -> None:
        return

    async with replicas(server, 2) as (terms, both):
        both[0].work = both[1].work = nothing
        await until(lambda: len(terms.epochs) > 4)
        assert server.spec["leaseTransitions"] >= 4
        assert now() > 1.5 * RETRY


async def test_the_epoch_is_the_time_of_taking_and_rises_with_each_leader() -> None:
    server = LeaseServer()
    server.edit(acquireTime=lease.micro_time(WALL + 10**12))
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        await first.stop()
        await leader_of(terms)
        assert terms.epochs == [WALL + 10**12 + 1, WALL + 10**12 + 2]


async def test_a_raised_epoch_is_in_the_lease_before_it_is_used() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        assert first.leadership is not None
        above = first.leadership.epoch + 10**15
        assert await first.leadership.raise_epoch(above) == above + 1
        assert first.leadership.epoch == above + 1
        assert server.spec["acquireTime"] == lease.micro_time(above + 1)
        await asyncio.sleep(30)
        assert server.spec["acquireTime"] == lease.micro_time(above + 1)
        assert first.snapshot.since is not None
        assert first.snapshot.since < lease.moment(wall())
        await first.stop()
        await leader_of(terms)
        assert terms.epochs[1] == above + 2


async def test_an_epoch_that_is_high_enough_is_not_raised_again() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        assert only.leadership is not None
        above = only.leadership.epoch + 5 * 10**6
        epochs = await asyncio.gather(*(only.leadership.raise_epoch(above) for _ in range(5)))
        assert set(epochs) == {above + 1}
        assert server.calls.count("PUT") <= 2


async def test_an_epoch_beyond_all_times_is_refused() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        assert only.leadership is not None
        with pytest.raises(errors.Rejected):
            await only.leadership.raise_epoch(10**30)
        assert only.leading


async def test_annotations_are_set_beside_those_of_others_even_at_the_same_time() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        assert first.leadership is not None
        writing = asyncio.create_task(first.leadership.annotate({"budget": "3"}))
        await asyncio.sleep(0)
        server.edit(annotations={"approved": "abc"})
        await writing
        assert first.leadership.annotations == {"budget": "3", "approved": "abc"}
        await first.leadership.annotate({"budget": None})
        assert first.leadership.annotations == {"approved": "abc"}
        await first.stop()
        second = await leader_of(terms)
        assert second.leadership is not None
        assert second.leadership.annotations == {"approved": "abc"}


async def test_a_term_that_is_over_writes_nothing_any_more() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        old = only.leadership
        assert old is not None
        server.edit(holderIdentity="somebody")
        await until(lambda: not terms.leading)
        assert old.remaining() == 0
        with pytest.raises(errors.NotLeading):
            await old.annotate({"a": "b"})
        with pytest.raises(errors.NotLeading):
            await old.raise_epoch(old.epoch + 1)
        await until(lambda: only.leading)
        assert old.remaining() == 0


async def test_work_that_ignores_its_cancellation_may_not_write_and_holds_up_nobody_else() -> None:
    server = LeaseServer()
    terms = Terms()
    first = replica(server, terms, "pod-first")
    remaining: list[float] = []

    async def linger(leadership: Leadership) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(100)
            remaining.append(leadership.remaining())

    first.work = linger
    await until(lambda: first.leading)
    server.edit(holderIdentity="somebody_0f8fad5b-d9cb-469f-a165-70867728950e")
    second = replica(server, terms, "pod-second")
    await until(lambda: second.leading, DURATION + 1)
    await until(lambda: remaining)
    assert remaining == [0.0]
    await first.kill()
    await second.kill()


async def test_the_snapshot_tells_who_leads_since_when() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, both):
        first = await leader_of(terms)
        await asyncio.sleep(5)
        [standby] = [one for one in both if one is not first]
        assert first.snapshot.leading
        assert not standby.snapshot.leading
        assert first.snapshot.holder == standby.snapshot.holder == first.identity
        assert standby.snapshot.since == lease.moment(terms.epochs[0])
