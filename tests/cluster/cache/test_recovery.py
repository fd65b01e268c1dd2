"""Clients recover from an outage at once, and a server that keeps ending watches is not overloaded."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from gco_stream.cluster.api.errors import TooManyRequests, Unreachable
from gco_stream.cluster.cache import reflector as watch
from tests.cluster.support.caches import DEPLOYMENTS, running, running_cache
from tests.support.fake_api_server import connected, json_answer, list_of, status_answer, stream, until

pytestmark = pytest.mark.slow

BOOKMARK = {"type": "BOOKMARK", "object": {"kind": "Deployment", "metadata": {"resourceVersion": "101"}}}


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every retry wait longer than any test here."""
    monkeypatch.setattr(watch, "_MIN_DELAY", 600.0)
    monkeypatch.setattr(watch, "_MAX_DELAY", 1200.0)


async def test_watches_resume_as_soon_as_any_call_succeeds(patient: None, tmp_path: Path) -> None:
    away = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if not away.is_set():
            return await reset(request)
        if "watch" in request.query:
            response = await stream(request, [])
            await asyncio.Event().wait()
            return response
        return list_of([], "100") if request.path != "/version" else json_answer({})

    async with (
        connected(answer, tmp_path, timeout=60) as (client, _),
        running_cache(client, ("gco-inference",), asyncio.Queue()) as cache,
        asyncio.timeout(120),
    ):
        await cache.wait_settled()
        assert not cache.synced
        away.set()
        await client.request("GET", "/version")
        await cache.wait_synced()


async def test_a_watch_that_alone_fails_is_not_woken_by_every_other_response(patient: None, tmp_path: Path) -> None:
    tries = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal tries
        if request.path == DEPLOYMENTS:
            tries += 1
            # aiohttp itself retries an idempotent request once if its connection breaks.
            return await reset(request)
        if "watch" in request.query:
            response = await stream(request, [])
            await asyncio.Event().wait()
            return response
        return list_of([], "100") if request.path != "/version" else json_answer({})

    async with (
        connected(answer, tmp_path, timeout=60) as (client, _),
        running_cache(client, ("gco-inference",), asyncio.Queue()) as cache,
        asyncio.timeout(120),
    ):
        await cache.wait_settled()
        for _ in range(100):
            await client.request("GET", "/version")
        assert tries <= 4


async def test_retry_after_is_honored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_MIN_DELAY", 0.005)
    asked = others = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked, others
        if request.path == DEPLOYMENTS:
            asked += 1
            return status_answer(429, "TooManyRequests", retryAfterSeconds=600)
        others += 1
        return status_answer(503, "ServiceUnavailable")

    async with (
        connected(answer, tmp_path, timeout=60) as (client, _),
        running_cache(client, ("gco-inference",), asyncio.Queue()),
        asyncio.timeout(120),
    ):
        # The three other kinds, which got no Retry-After, have been retried many times.
        await until(lambda: others >= 20)
        assert asked == 1
        with pytest.raises(TooManyRequests):
            await client.request("GET", DEPLOYMENTS)


async def test_a_server_that_ends_every_watch_after_an_event_is_polled_once_a_second(tmp_path: Path) -> None:
    opened: list[float] = []

    async def script(request: web.Request) -> web.StreamResponse | None:
        if "watch" not in request.query or request.path != DEPLOYMENTS:
            return None
        opened.append(asyncio.get_running_loop().time())
        return await stream(request, [BOOKMARK])

    async with running(script, tmp_path), asyncio.timeout(120):
        await until(lambda: len(opened) >= 3)
    assert opened[2] - opened[0] > 1.5


async def test_a_watch_that_lasted_without_events_is_not_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MIN_DELAY", 0.01)
    opened = 0

    async def script(request: web.Request) -> web.StreamResponse | None:
        nonlocal opened
        if "watch" not in request.query or request.path != DEPLOYMENTS:
            return None
        opened += 1
        response = await stream(request, [])
        await asyncio.sleep(0.1)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with running(script, tmp_path), asyncio.timeout(120):
        # If each one counted as a consecutive failure, the 16th attempt would come after more than two minutes.
        await until(lambda: opened >= 16, 100)


async def test_a_list_with_endless_pages_is_aborted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_MIN_DELAY", 600.0)
    pages = 0

    async def script(request: web.Request) -> web.StreamResponse | None:
        nonlocal pages
        if request.path != DEPLOYMENTS:
            return None
        pages += 1
        return list_of([], "100", **{"continue": "here"})

    async with running(script, tmp_path) as (cache, _, _), asyncio.timeout(120):
        await until(lambda: cache.unsynced.get("gco-inference", "").endswith("the same continue token twice"))
    assert pages == 2


@pytest.mark.parametrize("object_", ["no", ["no"], None, {"code": "no"}])
async def test_an_error_event_without_a_status_is_tolerated(
    object_: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MIN_DELAY", 0.005)
    opened = 0

    async def script(request: web.Request) -> web.StreamResponse | None:
        nonlocal opened
        if "watch" not in request.query or request.path != DEPLOYMENTS:
            return None
        opened += 1
        if opened > 2:
            return None
        return await stream(request, [{"type": "ERROR", "object": object_}])

    async with running(script, tmp_path) as (cache, _, _), asyncio.timeout(120):
        await until(lambda: opened >= 3)
        await cache.wait_synced()


async def test_on_synced_is_called_with_each_namespace_that_becomes_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_MIN_DELAY", 0.005)
    allowed = asyncio.Event()
    synced: list[str] = []

    async def script(request: web.Request) -> web.StreamResponse | None:
        if "/secret/" in request.path and request.path.endswith("/services") and not allowed.is_set():
            return status_answer(403, "Forbidden")
        return None

    async with running(script, tmp_path, ("gco-inference", "secret")) as (cache, _, _), asyncio.timeout(120):
        cache.on_synced(synced.append)
        await cache.wait_settled()
        await until(lambda: synced == ["gco-inference"])
        allowed.set()
        await until(lambda: synced == ["gco-inference", "secret"])


async def test_the_message_of_a_timeout_does_not_depend_on_its_length(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    said = set()
    async with connected(answer, tmp_path) as (client, _):
        for timeout in (0.02, 0.05):
            with pytest.raises(Unreachable) as late:
                await client.request("GET", "/x", timeout=timeout)
            said.add(late.value.message)
    assert len(said) == 1
