"""Replicas that compete for an in-memory Lease, in the event loop's accelerated time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gco_stream.cluster.leaderelection.record import Timing
from tests.cluster.leaderelection.fake_lease_server import LeaseServer
from tests.cluster.leaderelection.replicas import Replica, TermLog, contending_replicas

WALL = 1_763_000_000_000_000
DURATION, DEADLINE, RETRY, CYCLE = 15, 10.0, 2.0, 15.0
GCO = "inference-monitor-5d9c7b-x2x4z"


def now() -> float:
    return asyncio.get_running_loop().time()


def wall() -> int:
    return WALL + int(now() * 1e6)


class FakeFence:
    """Fake fence that records when it would fire; 0 if it was disarmed."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.ends.append(now() + seconds if seconds else 0)


def replica(
    server: LeaseServer, terms: TermLog, name: str, *, deadline: float = DEADLINE, fence: FakeFence | None = None
) -> Replica:
    return Replica(
        server,
        terms,
        name,
        namespace="ns",
        timing=Timing(DURATION, deadline, RETRY, CYCLE),
        fence=fence or FakeFence(),
        clock=now,
        wall=wall,
    )


@asynccontextmanager
async def replicas(
    server: LeaseServer, count: int, *, deadline: float = DEADLINE, fence: FakeFence | None = None
) -> AsyncIterator[tuple[TermLog, list[Replica]]]:
    def start(terms: TermLog) -> list[Replica]:
        return [replica(server, terms, f"pod-{number}", deadline=deadline, fence=fence) for number in range(count)]

    async with contending_replicas(start) as (terms, all_of_them):
        yield terms, all_of_them


async def until(condition: Callable[[], object], within: float = 100) -> float:
    """Wait for the condition and return the seconds that it took; fails if it does not become true."""
    started = now()
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.02)
    return now() - started


async def leader_of(terms: TermLog, within: float = 100) -> Replica:
    await until(lambda: terms.leading, within)
    return terms.leading[0]
