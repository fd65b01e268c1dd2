"""Fixtures: one Chromium for the whole run, and a tab for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.support.harness.fixtures import controller, controller_env, program, world
from tools.browser.chromium import chromium
from tools.browser.devtools import Tab, opened, running

__all__ = ["controller", "controller_env", "program", "world"]


@pytest.fixture(scope="session")
def browser() -> Iterator[int]:
    """The DevTools port. If the machine has no Chromium, one is downloaded first."""
    with running(chromium()) as port:
        yield port


@pytest.fixture
async def tab(browser: int) -> AsyncIterator[Tab]:
    """An empty tab."""
    async with asyncio.timeout(500), opened(browser) as one:
        yield one
