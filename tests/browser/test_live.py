"""Tests that a browser shows changes to the table without a reload, with the real controller."""

import asyncio

import pytest

from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item
from tools.browser.devtools import Tab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SHOWN = "document.querySelector('#list tbody') ? document.querySelector('#list tbody').textContent : ''"


async def test_a_table_write_appears_on_the_open_page(tab: Tab, world: World, controller: Program) -> None:
    await tab.go(f"http://127.0.0.1:{controller.port}/")
    await tab.until("document.getElementById('live').dataset.state === 'on'", "the page is live")
    await tab.evaluate("window.untouched = true")
    await asyncio.to_thread(world.put, item(spec={"gpu_count": 0, "env": {"TOKEN": "hunter2-planted"}}))
    await tab.until(f"({SHOWN}).includes('chat')", "the endpoint is in the list")
    await tab.until(f"({SHOWN}).includes('1 of 1')", "the endpoint is ready")
    assert await tab.evaluate("window.untouched")
    await tab.evaluate("document.querySelector('#list tbody a').click()")
    await tab.until(
        "location.pathname === '/endpoints/chat' && document.querySelector('.timeline svg')",
        "the endpoint's page is open",
    )
    await tab.until("!document.querySelector('.timeline .stop.open')", "the timeline is complete")
    await asyncio.to_thread(lambda: world.user.scale(world.item_of("chat"), 3))
    await tab.until(
        "document.getElementById('observed').textContent.includes('3 of 3 ready')", "the page shows 3 ready replicas"
    )
    assert not await tab.evaluate("document.documentElement.outerHTML.includes('hunter2')")
    assert tab.console == []
