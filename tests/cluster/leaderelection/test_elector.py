"""Which replica leads, and when the next one does."""

import asyncio
from typing import Any

import pytest

from gco_stream.cluster.api import errors
from gco_stream.cluster.leaderelection import record as lease
from tests.cluster.leaderelection.contest import DEADLINE, DURATION, RETRY, leader_of, now, replica, replicas, until
from tests.cluster.leaderelection.fake_lease_server import LeaseServer
from tests.cluster.leaderelection.replicas import contending_replicas

pytestmark = pytest.mark.looptime(noop_cycles=2)


async def test_one_of_three_replicas_leads_and_renews() -> None:
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


async def test_a_leader_that_stops_releases_the_lease_and_the_next_leads_at_once() -> None:
    server = LeaseServer()
    async with replicas(server, 6) as (terms, _):
        # Repeated, because a standby may happen to be about to read the Lease anyway.
        for number in range(1, 6):
            first = await leader_of(terms)
            await asyncio.sleep(7)
            await first.stop()
            assert await until(lambda: terms.leading) < 0.2
            assert terms.leading != [first]
            assert server.spec["leaseTransitions"] >= number


async def test_the_last_leaders_release_keeps_the_duration_and_clears_the_holder() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        await only.stop()
        assert server.holder == ""
        assert server.spec["leaseDurationSeconds"] == DURATION
        assert server.spec["acquireTime"] == lease.micro_time(terms.epochs[0])


async def test_a_killed_leaders_lease_expires_before_the_next_leads() -> None:
    server = LeaseServer()
    async with replicas(server, 3) as (terms, _):
        first = await leader_of(terms)
        await asyncio.sleep(31)
        await first.kill()
        waited = await until(lambda: terms.leading)
        assert DURATION - 1.3 * RETRY < waited < DURATION + 1


async def test_a_leader_that_cannot_renew_is_cancelled_before_the_next_may_lead() -> None:
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


async def test_a_leader_that_never_renews_is_cancelled_at_its_first_deadline() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, _):
        await leader_of(terms)
        server.down = True
        assert await until(lambda: not terms.leading) == pytest.approx(DEADLINE, abs=0.1)
        server.down = False


async def test_a_leader_survives_an_outage_if_it_renews_before_the_deadline() -> None:
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


async def test_an_acquisition_whose_response_was_lost_is_detected() -> None:
    server = LeaseServer()
    server.lose_answers = True
    async with replicas(server, 2) as (terms, _):
        await until(lambda: server.holder)
        server.lose_answers = False
        await leader_of(terms, DEADLINE / 2 + 3 * RETRY)


class UnwatchedServer:
    """The server as seen by a replica whose writes are applied but never answered."""

    def __init__(self, server: LeaseServer) -> None:
        self._server = server
        self.watch = server.watch

    async def request(self, method: str, path: str, **options: Any) -> Any:
        answer = await self._server.request(method, path, **options)
        if method == "GET":
            return answer
        await asyncio.sleep(options["timeout"])
        raise errors.Unreachable(0, "Unreachable", f"{path}: no answer")


async def test_a_replica_that_gets_no_write_responses_does_not_block_the_others() -> None:
    server = LeaseServer()
    async with contending_replicas(lambda terms: [replica(UnwatchedServer(server), terms, "deaf")]) as (terms, [deaf]):
        await until(lambda: server.holder == deaf.identity)
        healthy = replica(server, terms, "healthy")
        await until(lambda: healthy.leading, 10 * DURATION)
        await asyncio.sleep(10 * DURATION)
        assert terms.leading == [healthy]
        assert len(terms.epochs) == 1
        await healthy.stop()
