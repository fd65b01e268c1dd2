"""Tests of the served page: headers, rejected requests and live updates."""

import asyncio
import time

import aiohttp
import pytest

from gco_stream.server.page.query import Query
from gco_stream.server.page.render import Renderer
from gco_stream.server.page.sse import ChangeBroadcaster
from tests.support.status_page import NOW, SITE, Values, endpoint, fleet, rows

pytestmark = pytest.mark.slow
PATHS = ("/", "/stream", "/endpoints/chat", "/endpoints/none", "/static/page.css", "/metrics", "/status", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
async def test_every_response_has_the_security_headers(path: str) -> None:
    values = Values(endpoints={"chat": endpoint()})
    async with values.served() as url, aiohttp.ClientSession() as session, session.get(url + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert ("no-store" in answer.headers["Cache-Control"]) != path.startswith("/static/")
        assert answer.headers["Server"] == "gco-stream"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/endpoints/chat", "/live", "/metrics", "/nowhere"])
async def test_methods_other_than_get_and_head_are_rejected(method: str, path: str) -> None:
    async with (
        Values().served() as url,
        aiohttp.ClientSession() as session,
        session.request(method, url + path) as answer,
    ):
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize(
    "path", ["/static/..%2frender.py", "/static/../render.py", "/static/%2e%2e/render.py", "/endpoints/" + "x" * 999]
)
async def test_unknown_paths_return_404(path: str) -> None:
    async with Values().served() as url, aiohttp.ClientSession() as session, session.get(url + path) as answer:
        assert answer.status == 404


async def test_updates_are_sent_at_once_and_only_for_the_open_endpoint() -> None:
    values = Values()
    async with (
        values.served() as url,
        aiohttp.ClientSession() as session,
        session.get(url + "/live?endpoint=chat") as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert await answer.content.readuntil(b"\n\n") == b"retry: 1000\n\n"
        values.bell.notify("embed")
        values.bell.notify("chat")
        assert await answer.content.readuntil(b"\n\n") == b"event: news\ndata:\n\n"


async def test_the_number_of_listeners_is_limited_and_a_closed_one_frees_its_place() -> None:
    values = Values(bell=ChangeBroadcaster(max_subscribers=2))
    async with values.served() as url, aiohttp.ClientSession() as session:
        first = await session.get(url + "/live")
        async with session.get(url + "/live"), session.get(url + "/live") as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
        first.close()
        async with asyncio.timeout(60):
            while values.bell.is_full:
                values.bell.notify()
                await asyncio.sleep(0.02)
        async with session.get(url + "/live") as answer:
            assert answer.status == 200


async def test_open_pages_do_not_delay_shutdown() -> None:
    values = Values()
    async with aiohttp.ClientSession() as session:
        async with values.served() as url:
            answer = await session.get(url + "/live")
        # The server ended the stream properly; a timed-out shutdown would have cut the connection.
        assert await answer.content.read() == b"retry: 1000\n\n"


async def test_updates_in_quick_succession_are_sent_as_one() -> None:
    broadcaster = ChangeBroadcaster()
    with broadcaster.subscribe("") as listener:
        news = broadcaster.changes(listener, min_interval=0.2, keepalive=600)
        for _ in range(1000):
            broadcaster.notify("chat")
        assert await anext(news) is True
        waiting = asyncio.create_task(anext(news))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        broadcaster.notify()
        assert await waiting is True


async def test_an_idle_page_receives_keepalives() -> None:
    broadcaster = ChangeBroadcaster()
    with broadcaster.subscribe("") as listener:
        assert await anext(broadcaster.changes(listener, keepalive=0.01)) is False


def test_rendering_ten_thousand_rows_takes_little_longer_than_a_hundred() -> None:
    renderer, took = Renderer(), []
    for count in (100, 10_000):
        shown = fleet(rows(count))
        queries = (
            Query(),
            Query.of({"q": "99"}),
            Query.of({"sort": "-state", "page": "3"}),
            Query.of({"state": "error"}),
        )
        best = []
        for query in queries:
            runs = []
            for _ in range(3):
                began = time.thread_time()
                renderer.fleet(SITE, shown, query, NOW)
                runs.append(time.thread_time() - began)
            best.append(min(runs))
        took.append(sum(best))
    assert took[1] < 12 * took[0]
