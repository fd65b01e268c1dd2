"""Settings and fixtures for all tests."""

import asyncio
import inspect
import os
import random
import signal
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.blocking_calls import no_blocking

pytest_plugins = ["gco_stream.local.pytest_plugin"]

# Shared machines stall, so neither a slow example nor slow generation indicates a fault. Every run tries the same
# examples, so that a failure is caused by the change under test; GCO_STREAM_EXAMPLES=N searches for new ones.
settings.register_profile("gco-stream", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("search", parent=settings.get_profile("gco-stream"), derandomize=False)
settings.load_profile("search" if "GCO_STREAM_EXAMPLES" in os.environ else "gco-stream")


@pytest.fixture(scope="session", autouse=True)
def _children_handle_signals() -> Iterator[None]:
    # A shell without job control starts `make test &` with SIGINT ignored. The processes that tests start would ignore
    # it too: they inherit ignored signals, but not handlers.
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _main_threads_loop() -> Iterator[None]:
    # pytest-asyncio saves the main thread's loop to restore it later. If there is none, getting it creates one that is
    # never closed.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails an async test in which gco_stream blocks the event loop."""
    if not inspect.iscoroutinefunction(request.function):
        # Detection slows down every call that might block.
        yield
        return
    with no_blocking("gco_stream"):
        yield


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Seed derived from the test's name; printed on failure. GCO_STREAM_SEED=random or =N overrides it."""
    wanted = os.environ.get("GCO_STREAM_SEED", "")
    found = random.randrange(2**32) if wanted == "random" else int(wanted or zlib.crc32(request.node.name.encode()))
    print(f"GCO_STREAM_SEED={found}")
    return found


@pytest.fixture
def rng(seed: int) -> random.Random:
    return random.Random(seed)
