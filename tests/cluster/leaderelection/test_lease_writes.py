"""What the election sends to the API server: for which Lease, with which timeout, and after which delay."""

import asyncio
from itertools import pairwise

import pytest

from gco_stream.cluster.api import errors
from gco_stream.cluster.leaderelection.elector import Leadership
from tests.cluster.leaderelection.contest import (
    DEADLINE,
    DURATION,
    RETRY,
    FakeFence,
    leader_of,
    now,
    replica,
    replicas,
    until,
)
from tests.cluster.leaderelection.fake_lease_server import LeaseServer, SentRequest
from tests.cluster.leaderelection.replicas import TermLog

pytestmark = pytest.mark.looptime(noop_cycles=2)

SOMEBODY = "somebody_0f8fad5b-d9cb-469f-a165-70867728950e"


def asks_to_wait(seconds: int) -> errors.TooManyRequests:
    return errors.TooManyRequests(429, "TooManyRequests", "too many requests", {"retryAfterSeconds": seconds})


def since(server: LeaseServer, began: float) -> list[SentRequest]:
    return [sent for sent in server.sent if sent.at > began]


async def test_every_lease_write_names_its_uid_and_the_observed_version() -> None:
    server = LeaseServer()
    async with replicas(server, 2) as (terms, _):
        first = await leader_of(terms)
        assert first.leadership is not None
        await asyncio.sleep(10)
        await first.leadership.annotate({"budget": "3"})
        await first.stop()
        await leader_of(terms)
    changes = [sent for sent in server.sent if sent.method == "PUT"]
    assert {sent.metadata["uid"] for sent in changes} == {"uid-1"}
    versions = [int(sent.metadata["resourceVersion"]) for sent in changes]
    assert versions == list(range(versions[0], versions[0] + len(changes)))


async def test_a_renewal_does_not_recreate_a_deleted_lease() -> None:
    server = LeaseServer()
    server.event_delay = 3 * RETRY
    async with replicas(server, 1) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.delete()
        await until(lambda: not terms.leading, 1.3 * RETRY)
        assert server.conflicts == 1
        assert await until(lambda: server.lease) > DURATION - 0.2


async def test_a_lease_deleted_and_recreated_by_someone_else_is_not_overwritten() -> None:
    server = LeaseServer()
    server.event_delay = 3 * RETRY
    async with replicas(server, 1) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.delete()
        server.edit(holderIdentity=SOMEBODY)
        theirs = server.lease
        await until(lambda: not terms.leading, 1.3 * RETRY)
        await asyncio.sleep(DURATION / 2)
        assert server.lease is theirs
        assert server.conflicts == 1


@pytest.mark.parametrize("deadline", [DEADLINE, DURATION - 0.5])
async def test_no_renewal_can_be_applied_after_the_lease_expires(deadline: float) -> None:
    server = LeaseServer()
    async with replicas(server, 1, deadline=deadline) as (terms, [only]):
        await leader_of(terms)
        await asyncio.sleep(31)
        proven = [sent for sent in server.sent if sent.method == "PUT"][-1].at
        server.lose_answers = True
        await until(lambda: not only.leading)
        tries = [sent for sent in since(server, proven) if sent.method == "PUT"]
        assert len(tries) >= 3
        assert all(0 < sent.timeout <= proven + DURATION - 1 - sent.at for sent in tries)
        server.lose_answers = False


@pytest.mark.parametrize("waits", [1, 3, 4])
async def test_a_renewal_honors_retry_after(waits: int) -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.refusal = asks_to_wait(waits)
        await until(lambda: server.refused)
        # A change by someone else, reported by the watch, does not cause an earlier retry.
        server.edit(annotations={"team": "ml"})
        await until(lambda: len(server.refused) > 1)
        first, second = server.refused
        assert second.at - first.at >= waits
        assert second.at - first.at < max(waits, 1.3 * RETRY) + 0.1
        server.refusal = None
        await asyncio.sleep(2 * DURATION)
        assert terms.leading == [only]
        assert len(terms.epochs) == 1
        assert (
            max(later.at - earlier.at for earlier, later in pairwise(since(server, second.at + DURATION))) < 1.3 * RETRY
        )


async def test_a_retry_after_beyond_the_lease_leaves_one_attempt_before_the_deadline() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, [only]):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.refusal = asks_to_wait(120)
        await until(lambda: server.refused)
        server.refusal = None
        await asyncio.sleep(2 * DURATION)
        [first] = server.refused
        second = next(sent for sent in server.sent if sent.at > first.at)
        assert second.at - first.at > DEADLINE / 3
        assert terms.leading == [only]
        assert len(terms.epochs) == 1


async def test_a_server_that_keeps_asking_to_wait_ends_the_term_at_the_deadline() -> None:
    server = LeaseServer()
    async with replicas(server, 1) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10)
        server.refusal = asks_to_wait(120)
        assert await until(lambda: not terms.leading) <= DEADLINE + 0.1
        assert 2 <= len(server.refused) <= 4
        server.refusal = None


async def test_every_renewal_rearms_the_fence_for_the_rest_of_the_lease() -> None:
    server = LeaseServer()
    server.latency = 0.4
    fence = FakeFence()
    async with replicas(server, 1, fence=fence) as (terms, _):
        await leader_of(terms)
        await asyncio.sleep(10 * DURATION)
        proofs = [sent.at for sent in server.sent if sent.method in {"POST", "PUT"}]
        # 0.25 s before another replica may lead, counted from before each renewal was sent.
        expected = [at + DURATION - 0.25 for at in proofs]
        lit = [round(end, 3) for end in fence.ends]
        assert lit == [round(at, 3) for at in expected[: len(lit)]]
        assert len(lit) >= len(expected) - 1


async def test_the_fence_stays_armed_until_the_leaders_task_has_ended() -> None:
    server, fence, terms = LeaseServer(), FakeFence(), TermLog()
    first = replica(server, terms, "pod", fence=fence)

    async def linger(_: Leadership) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(7)

    first.work = linger
    await until(lambda: first.leading)
    server.edit(holderIdentity=SOMEBODY)
    await asyncio.sleep(6)
    assert fence.ends[-1] > now()
    await asyncio.sleep(2)
    assert fence.ends[-1] == 0
    await first.kill()


async def test_the_fence_is_disarmed_before_the_lease_is_released() -> None:
    server, fence = LeaseServer(), FakeFence()
    async with replicas(server, 1, fence=fence) as (terms, [only]):
        await leader_of(terms)
        server.lose_answers = True
        stopping = asyncio.create_task(only.stop())
        await until(lambda: not server.holder)
        assert fence.ends[-1] == 0
        await stopping
        assert fence.ends[-1] == 0
