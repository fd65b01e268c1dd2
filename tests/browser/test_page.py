"""Tests of the page in a real browser, with values that the tests provide."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gco_stream.local.ports import Ports
from gco_stream.local.toolchain.cache import default_cache
from gco_stream.server.page.sse import ChangeBroadcaster
from gco_stream.server.page.view_models import Row
from tests.support.status_page import NOW, Values, endpoint, fleet, rows
from tools.browser.chromium import axe
from tools.browser.devtools import Tab

pytestmark = pytest.mark.timeout(600)
LIVE = "document.getElementById('live').dataset.state === 'on'"
LISTED = "Array.from(document.querySelectorAll('#list tbody th a'), (one) => one.textContent)"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
VIOLATIONS = """
axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
  .then((result) => result.violations.flatMap((one) => one.nodes.map((node) => one.id + ': ' + node.html)))
"""
SICK = Row("e00003", "running", "error", 0, 1, (("us-east-1", "error"),), "IngressWithdrawn", "no ready replicas", NOW)


@pytest.fixture
def values() -> Values:
    return Values(all=fleet(rows(120)), endpoints={"chat": endpoint(text=" <b>bold</b>")})


async def ready(tab: Tab, url: str) -> None:
    await tab.go(url)
    await tab.until(LIVE, "the page is live")


async def test_the_page_loads_only_its_own_files_and_logs_no_errors(tab: Tab, values: Values) -> None:
    async with values.served() as url:
        for path in ("/", "/endpoints/chat", "/stream"):
            await ready(tab, url + path)
            loaded = await tab.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
            assert loaded
            assert all(one.startswith(url) for one in loaded)
        assert await tab.evaluate("document.querySelectorAll('main b').length") == 0
    assert tab.console == []


async def test_the_list_is_filtered_as_the_user_types(tab: Tab, values: Values) -> None:
    async with values.served() as url:
        await ready(tab, url)
        await tab.press("/")
        assert await tab.evaluate("document.activeElement.id") == "search"
        await tab.type("e0011")
        await tab.until(f"{LISTED}.length === 10", "the list is filtered")
        await tab.until("location.search === '?q=e0011'", "the URL has the search")
        assert await tab.evaluate("document.activeElement.value") == "e0011"
        await tab.press("Escape")
        await tab.until(f"{LISTED}.length === 50", "the list is complete again")


async def test_updates_are_shown_without_a_reload_and_announced(tab: Tab, values: Values) -> None:
    async with values.served() as url:
        await ready(tab, url)
        await tab.evaluate("window.untouched = true")
        values.now_has(SICK)
        await tab.until("document.getElementById('attention-count').textContent === '3'", "the count has changed")
        await tab.until("document.getElementById('announce').textContent", "the change is announced to screen readers")
        await tab.until(
            "document.getElementById('attention').textContent.includes('e00003')", "the endpoint needs attention"
        )
        assert await tab.evaluate("window.untouched")


async def test_the_focus_is_kept_while_parts_are_updated(tab: Tab, values: Values) -> None:
    async with values.served() as url:
        await ready(tab, url)
        link = "document.querySelectorAll('#list tbody th a')[9]"
        await tab.evaluate(f"{link}.focus(); window.before = {link}")
        values.now_has(SICK)
        await tab.until("!document.contains(window.before)", "the list has been updated")
        assert await tab.evaluate("document.activeElement.textContent") == "e00009"


@pytest.fixture
def port() -> Iterator[int]:
    """A port that stays reserved while its server is stopped."""
    ports = Ports(default_cache() / "ports")
    yield ports.reserve()
    ports.release()


async def test_a_page_reports_a_lost_connection_and_catches_up(tab: Tab, values: Values, port: int) -> None:
    async with values.served(port) as url:
        await ready(tab, url)
        await tab.evaluate("window.untouched = true")
    await tab.until(
        "document.getElementById('live-text').textContent === 'offline'", "the page shows that it is offline"
    )
    values.bell = ChangeBroadcaster()
    values.now_has(SICK)
    async with values.served(port):
        await tab.until(LIVE, "the page is live again")
        await tab.until("document.getElementById('attention-count').textContent === '3'", "the page has caught up")
        assert await tab.evaluate("window.untouched")


async def test_ten_thousand_endpoints_are_paginated(tab: Tab, values: Values) -> None:
    values.all = fleet(rows(10_000))
    async with values.served() as url:
        await ready(tab, url)
        assert await tab.evaluate(f"{LISTED}.length") == 50
        assert await tab.evaluate("document.querySelectorAll('*').length") < 1500
        assert "Page 1 of 200" in await tab.evaluate("document.querySelector('.pager').textContent")
        await tab.evaluate("document.querySelector('.pager [rel=next]').click()")
        await tab.until(f"{LISTED}[0] === 'e00050' && {LIVE}", "the next page is shown and its script runs")
        await tab.press("/")
        assert await tab.evaluate("document.activeElement.id") == "search"
        await tab.type("e09999")
        await tab.until(f"{LISTED}.join() === 'e09999'", "the endpoint is found")


async def test_rendering_does_not_block_the_event_loop(values: Values, tab: Tab) -> None:
    values.all = fleet(rows(10_000))
    async with values.served() as url:
        await ready(tab, url)
        longest, last = 0.0, time.thread_time()
        for _ in range(100):
            values.bell.notify()
            await asyncio.sleep(0.02)
            # CPU time of this thread, so that a busy machine does not count.
            now = time.thread_time()
            longest, last = max(longest, now - last), now
    # Rendering all rows would take seconds.
    assert longest < 1


async def test_the_page_follows_the_colour_scheme(tab: Tab, values: Values) -> None:
    async with values.served() as url:
        shades = {}
        for scheme in ("light", "dark"):
            await tab.media(prefers_color_scheme=scheme)
            await ready(tab, url)
            colour = await tab.evaluate(BACKGROUND)
            shades[scheme] = sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))
    assert shades["light"] > 700
    assert shades["dark"] < 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/endpoints/chat", "/endpoints/none", "/stream", "/?q=nothing"])
async def test_axe_finds_no_accessibility_violations(tab: Tab, values: Values, path: str, scheme: str) -> None:
    async with values.served() as url:
        await tab.media(prefers_color_scheme=scheme)
        await ready(tab, url + path)
        await tab.evaluate(await asyncio.to_thread(axe))
        found = await tab.evaluate(VIOLATIONS)
    assert found == []


async def test_the_page_can_be_used_with_the_keyboard_content_first(tab: Tab, values: Values) -> None:
    async with values.served() as url:
        await ready(tab, url)
        await tab.press("Tab")
        assert await tab.evaluate("document.activeElement.className") == "skip"
        await tab.press("Enter")
        await tab.until("document.activeElement.id === 'main'", "the content has the focus")
        await tab.press("Tab")
        assert await tab.evaluate("document.activeElement.textContent") == "e00007"
        assert await tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await tab.press("Enter")
        await tab.until("location.pathname === '/endpoints/e00007'", "the endpoint's page is open")


async def test_nothing_overflows_on_a_phone(tab: Tab, values: Values) -> None:
    await tab.size(360, 740)
    async with values.served() as url:
        for path in ("/", "/endpoints/chat", "/stream"):
            await ready(tab, url + path)
            assert await tab.evaluate("document.documentElement.scrollWidth") <= 360, path


async def test_the_page_of_a_standby_changes_when_it_becomes_the_leader(tab: Tab, values: Values) -> None:
    values.shown = replace(values.shown, leading=False, leader="pod-b_2", stream=None, is_working=False)
    async with values.served() as url:
        await ready(tab, url)
        assert "standby" in await tab.evaluate("document.getElementById('standby').textContent")
        values.now_is(leading=True, leader="pod-a_1", is_working=True)
        await tab.until("document.getElementById('standby').textContent === ''", "the standby banner is gone")
