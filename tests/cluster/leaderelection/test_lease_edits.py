"""How the election reacts to manual edits of the Lease, to GCO's monitor, and to API server errors."""

import asyncio

import pytest

from gco_stream.cluster.api import errors
from gco_stream.cluster.leaderelection import record as lease
from tests.cluster.leaderelection.contest import (
    CYCLE,
    DEADLINE,
    DURATION,
    GCO,
    RETRY,
    leader_of,
    replica,
    replicas,
    until,
    wall,
)
from tests.cluster.leaderelection.fake_lease_server import LeaseServer

pytestmark = pytest.mark.looptime(noop_cycles=2)


async def test_standbys_that_can_watch_read_nothing_while_the_leader_renews() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.calls.clear()
        await asyncio.sleep(200)
        assert set(server.calls) == {"PUT"}
        assert 200 / RETRY * 0.8 < len(server.calls) < 200 / RETRY * 1.3


async def test_without_a_watch_a_release_is_noticed_within_a_retry_period() -> None:
    server = LeaseServer()
    server.watchable = False
    async with replicas(server, 2) as (terms, both):
        first = await leader_of(terms)
        await asyncio.sleep(20)
        assert all(one.snapshot.problem is None for one in both)
        await first.stop()
        assert await until(lambda: terms.leading) < 1.3 * RETRY


async def test_a_manually_deleted_lease_ends_the_term_and_returns_a_duration_later() -> None:
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


async def test_a_manually_recreated_lease_is_still_waited_for() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.delete()
        server.edit()
        assert await until(lambda: not terms.leading) < 0.1
        assert DURATION - 0.2 < await until(lambda: terms.leading) < DURATION + 1


@pytest.mark.parametrize("holder", ["", "somebody_0f8fad5b-d9cb-469f-a165-70867728950e"])
async def test_a_manually_edited_holder_ends_the_term_and_is_waited_for(holder: str) -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.edit(holderIdentity=holder)
        assert await until(lambda: not terms.leading) < 0.1
        assert DURATION - 0.2 < await until(lambda: terms.leading) < DURATION + 1


async def test_a_lease_manually_assigned_to_a_standby_is_waited_for() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, both):
        first = await leader_of(terms)
        await asyncio.sleep(10)
        [standby] = [one for one in both if one is not first]
        server.edit(holderIdentity=standby.identity)
        assert await until(lambda: not terms.leading) < 0.1
        assert DURATION - 0.2 < await until(lambda: terms.leading) < DURATION + 1


async def test_other_edits_are_kept_or_reverted_and_do_not_end_the_term() -> None:
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


async def test_a_dead_gco_monitor_is_given_three_cycles() -> None:
    server = LeaseServer()
    server.edit(holderIdentity=GCO, renewTime=lease.micro_time(wall()), leaseDurationSeconds=1)
    async with replicas(server, 2) as (terms, both):
        await asyncio.sleep(1)
        assert both[0].snapshot.holder == GCO
        waited = await until(lambda: terms.leading)
        assert 3 * CYCLE - 1.2 < waited < 3 * CYCLE
        assert server.spec["leaseDurationSeconds"] == DURATION


async def test_a_live_gco_monitor_keeps_the_lease() -> None:
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


async def test_a_watch_that_ends_is_reopened() -> None:
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


async def test_a_release_is_noticed_after_watching_becomes_forbidden() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        await asyncio.sleep(10)
        server.watchable = False
        server.break_watches()
        await asyncio.sleep(10)
        await first.stop()
        assert await until(lambda: terms.leading) < 1.3 * RETRY


async def test_a_deletion_missed_by_the_watch_is_found_when_it_reopens() -> None:
    server = LeaseServer()
    server.edit(holderIdentity="pod_0f8fad5b-d9cb-469f-a165-70867728950e", renewTime=lease.micro_time(wall()))
    async with replicas(server, 2) as (terms, _):
        await asyncio.sleep(1)
        server.break_watches()
        await asyncio.sleep(0.1)
        server.delete()
        assert await until(lambda: terms.leading) < DURATION + 2 * RETRY


async def test_a_lagging_watch_causes_no_conflicts() -> None:
    server = LeaseServer()
    server.event_delay = 3
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        await asyncio.sleep(100)
        assert terms.leading == [only]
        assert server.conflicts == 0


@pytest.mark.parametrize(
    "refusal",
    [
        errors.Forbidden(403, "Forbidden", "leases is forbidden"),
        errors.NotFound(404, "NotFound", 'namespaces "ns" not found'),
        errors.ServerError(500, "InternalError", "etcdserver: no leader"),
    ],
)
async def test_an_inaccessible_lease_is_reported_and_retried(refusal: errors.ClusterError) -> None:
    server = LeaseServer()
    server.refusal = refusal
    async with replicas(server, 1) as (terms, [only]):
        await asyncio.sleep(60)
        assert only.snapshot.problem == refusal.message
        assert 40 / RETRY < len(server.calls) < 160 / RETRY
        server.refusal = None
        await leader_of(terms, 2 * RETRY)
        assert only.snapshot.problem is None


async def test_a_leader_that_is_forbidden_to_renew_steps_down_and_reports_why() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        server.refusal = errors.Forbidden(403, "Forbidden", "leases is forbidden")
        await until(lambda: not terms.leading, DEADLINE + 1)
        assert only.snapshot.problem == "leases is forbidden"
        assert not only.snapshot.leading
