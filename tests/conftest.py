"""Settings for all tests."""

import asyncio
import inspect
import os
import random
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.blocking_calls import no_blocking

# Shared machines stall: neither a slow example nor slow generation says anything about the code. The same examples are
# tried each time, so that a change is judged by what it changes; GCO_STREAM_EXAMPLES=N looks for new ones.
settings.register_profile("gco-stream", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("search", parent=settings.get_profile("gco-stream"), derandomize=False)
settings.load_profile("search" if "GCO_STREAM_EXAMPLES" in os.environ else "gco-stream")


@pytest.fixture(scope="session", autouse=True)
def _main_threads_loop() -> Iterator[None]:
    # pytest-asyncio asks for the main thread's loop to put it back later; where there is none, asking makes one that
    # nobody closes.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """In an async test, code of gco_stream that blocks the loop fails."""
    if not inspect.iscoroutinefunction(request.function):
        # Watching costs something with each call that might block.
        yield
        return
    with no_blocking("gco_stream"):
        yield


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Of the test's name, so the same each time; shown where it fails. GCO_STREAM_SEED=random, or =N, tries others."""
    wanted = os.environ.get("GCO_STREAM_SEED", "")
    found = random.randrange(2**32) if wanted == "random" else int(wanted or zlib.crc32(request.node.name.encode()))
    print(f"GCO_STREAM_SEED={found}")
    return found


@pytest.fixture
def rng(seed: int) -> random.Random:
    return random.Random(seed)
