"""What a leader can read and do during its term, and how its task ends."""

import asyncio
from itertools import pairwise

import pytest

from gco_stream.cluster.api import errors
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.cluster.leaderelection.elector import Leadership
from tests.cluster.leaderelection.contest import (
    DEADLINE,
    DURATION,
    RETRY,
    WALL,
    FakeFence,
    leader_of,
    now,
    replica,
    replicas,
    until,
    wall,
)
from tests.cluster.leaderelection.fake_lease_server import LeaseServer
from tests.cluster.leaderelection.replicas import TermLog

pytestmark = pytest.mark.looptime(noop_cycles=2)


async def test_a_lost_lease_that_nobody_took_is_reacquired_with_a_new_epoch() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        server.down = True
        await until(lambda: not terms.leading)
        server.down = False
        assert await until(lambda: only.leading) < DEADLINE / 2 + 2 * RETRY
        assert terms.epochs[1] > terms.epochs[0]
        assert server.spec["leaseTransitions"] == 0


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


async def test_the_lease_is_kept_until_slow_work_has_finished() -> None:
    server = LeaseServer()
    terms = TermLog()
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


@pytest.mark.parametrize("error_type", [ValueError, TimeoutError])
async def test_an_error_in_the_leaders_task_is_raised_after_the_lease_is_released(error_type: type[Exception]) -> None:
    server = LeaseServer()
    terms = TermLog()
    only = replica(server, terms, "pod")

    async def fail(_: Leadership) -> None:
        raise error_type("broken")

    only.work = fail
    error = await only.ended()
    assert isinstance(error, ExceptionGroup)
    assert error.subgroup(error_type) is not None
    assert server.holder == ""


async def test_a_task_that_ends_early_hands_the_lease_to_another_replica() -> None:
    server = LeaseServer()

    async def nothing(_: Leadership) -> None:
        return

    async with replicas(server, 2) as (terms, both):
        both[0].work = both[1].work = nothing
        await until(lambda: len(terms.epochs) > 4)
        assert server.spec["leaseTransitions"] >= 4
        assert now() > 1.5 * RETRY


async def test_the_epoch_is_the_acquire_time_and_rises_with_every_leader() -> None:
    server = LeaseServer()
    server.edit(acquireTime=lease.micro_time(WALL + 10**12))
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        await first.stop()
        await leader_of(terms)
        assert terms.epochs == [WALL + 10**12 + 1, WALL + 10**12 + 2]


async def test_a_raised_epoch_is_written_to_the_lease_before_it_is_used() -> None:
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


async def test_an_epoch_beyond_the_maximum_is_rejected() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        assert only.leadership is not None
        with pytest.raises(errors.Rejected):
            await only.leadership.raise_epoch(10**30)
        assert only.leading


async def test_concurrent_annotations_by_other_clients_are_kept() -> None:
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


async def test_a_term_that_has_ended_writes_nothing() -> None:
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


async def test_a_task_that_ignores_cancellation_cannot_write_or_block_others() -> None:
    server = LeaseServer()
    terms = TermLog()
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


async def test_the_snapshot_shows_who_leads_and_since_when() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, both):
        first = await leader_of(terms)
        await asyncio.sleep(5)
        [standby] = [one for one in both if one is not first]
        assert first.snapshot.leading
        assert not standby.snapshot.leading
        assert first.snapshot.holder == standby.snapshot.holder == first.identity
        assert standby.snapshot.since == lease.moment(terms.epochs[0])


async def test_the_fence_is_armed_for_the_lease_and_only_while_leading() -> None:
    server, fence = LeaseServer(), FakeFence()
    async with replicas(server, 1, fence=fence) as (terms, [only]):
        await leader_of(terms)
        taken, ends = now(), fence.ends
        await asyncio.sleep(10 * DURATION)
        # Armed on every renewal, to fire just before another replica may lead.
        assert len(ends) > 10 * DURATION / (1.3 * RETRY)
        assert all(after > before for before, after in pairwise(ends))
        assert DURATION - 0.5 < ends[0] - taken < DURATION
        server.down = True
        cut = now()
        await until(lambda: not only.leading)
        # The leader ended on its own, well before that.
        assert cut + DURATION - RETRY * 1.3 - 0.5 < ends[-2] < cut + DURATION
        assert ends[-2] - now() > DURATION - DEADLINE - 0.5
        assert ends[-1] == 0
        server.down = False
        await leader_of(terms)
        assert ends[-1] > now()
        await only.stop()
        assert ends[-1] == 0
