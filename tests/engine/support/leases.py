"""A Lease in memory, and a clock that a test sets."""

import asyncio
from collections.abc import Mapping

from gco_stream.cluster.api.errors import ClusterError
from tests.support.simulated_cluster import START

BEGAN = START.timestamp()


class Lease:
    """A Lease's annotations. Writes wait for `gate`, then raise `fails` if it is set."""

    def __init__(self, **annotations: str) -> None:
        self.annotations: Mapping[str, str] = annotations
        self.fails: ClusterError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.writes = 0

    async def annotate(self, annotations: Mapping[str, str | None]) -> None:
        self.writes += 1
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        merged = {**self.annotations, **annotations}
        self.annotations = {key: value for key, value in merged.items() if value is not None}


class Clock:
    def __init__(self, now: float = BEGAN) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
