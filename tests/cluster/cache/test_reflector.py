import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gco_stream.cluster.cache import reflector as watch
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.model.objects import Kind
from tests.cluster.support.caches import DEPLOYMENTS, held_open, running
from tests.support.fake_api_server import json_answer, list_of, status_answer, stream, until
from tests.support.raw_objects import raw


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry failed lists and watches soon: these tests check the requests, not the delays."""
    monkeypatch.setattr(watch, "_MIN_DELAY", 0.005)
    monkeypatch.setattr(watch, "_MIN_WATCH_SECONDS", 0.005)


def deployment(cache: ClusterCache, name: str = "llm") -> Any:
    return cache.observed(name).get(Kind.DEPLOYMENT, "gco-inference", name)


async def test_lists_are_read_page_by_page_and_then_watched_from_their_version(tmp_path: Path) -> None:
    watched = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse | None:
        if request.path != DEPLOYMENTS:
            return None
        if "watch" in request.query:
            watched.set()
            return await held_open(request)
        if "continue" not in request.query:
            return list_of([raw("a", uid="1")], "7", **{"continue": "more"})
        return list_of([raw("b", uid="2")], "7")

    async with running(script, tmp_path) as (cache, seen, _), asyncio.timeout(5):
        await cache.wait_synced()
        assert deployment(cache, "a").uid == "1"
        assert deployment(cache, "b").uid == "2"
        await watched.wait()
    ours = [request.query for request in seen.requests if request.path == DEPLOYMENTS]
    assert [query.get("continue") for query in ours] == [None, "more", None]
    assert all(query["labelSelector"] == "project=gco,gco.io/type=inference" for query in ours)
    assert [query.get("limit") for query in ours] == ["100", "100", None]
    assert ours[2]["resourceVersion"] == "7"
    assert "resourceVersion" not in ours[0]


async def test_an_ended_watch_resumes_from_the_last_version_without_a_new_list(tmp_path: Path) -> None:
    versions: list[str] = []
    enough = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse | None:
        if request.path != DEPLOYMENTS or "watch" not in request.query:
            return None
        versions.append(request.query["resourceVersion"])
        if len(versions) == 1:
            return await stream(request, [{"type": "ADDED", "object": raw(version=105)}])
        if len(versions) == 2:
            return await stream(request, [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "110"}}}])
        enough.set()
        return await held_open(request)

    async with running(script, tmp_path) as (_, seen, changes), asyncio.timeout(5):
        await enough.wait()
        assert changes.get_nowait() == {"llm"}
    assert versions == ["100", "105", "110"]
    assert sum(request.path == DEPLOYMENTS and "watch" not in request.query for request in seen.requests) == 1


async def test_a_broken_watch_resumes_from_the_last_version_without_a_new_list(tmp_path: Path) -> None:
    versions: list[str] = []
    enough = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse | None:
        if request.path != DEPLOYMENTS or "watch" not in request.query:
            return None
        versions.append(request.query["resourceVersion"])
        if len(versions) > 1:
            enough.set()
            return await held_open(request)
        response = await stream(request, [{"type": "ADDED", "object": raw(version=105)}])
        assert request.transport is not None
        request.transport.close()
        return response

    async with running(script, tmp_path) as (_, seen, _), asyncio.timeout(5):
        await enough.wait()
    assert versions == ["100", "105"]
    assert sum(request.path == DEPLOYMENTS and "watch" not in request.query for request in seen.requests) == 1


async def test_an_expired_version_causes_a_new_list_that_reports_only_differences(tmp_path: Path) -> None:
    lists = 0

    async def script(request: web.Request) -> web.StreamResponse | None:
        nonlocal lists
        if request.path != DEPLOYMENTS:
            return None
        if "watch" in request.query:
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}
            return await (stream(request, [gone]) if lists == 1 else held_open(request))
        lists += 1
        extra = [raw("new", uid="n", endpoint="new", version=200)] if lists == 2 else []
        return list_of([raw(), *extra], str(lists * 100))

    async with running(script, tmp_path) as (cache, _, changes), asyncio.timeout(5):
        assert await changes.get() == {"llm"}
        assert await changes.get() == {"new"}
        assert changes.empty()
        assert cache.synced


async def test_a_silent_watch_causes_a_new_list(tmp_path: Path) -> None:
    lists = asyncio.Semaphore(0)

    async def script(request: web.Request) -> web.StreamResponse | None:
        if request.path == DEPLOYMENTS and "watch" not in request.query:
            lists.release()
        return None

    async with running(script, tmp_path, inactivity=0.05) as (cache, _, _), asyncio.timeout(5):
        await lists.acquire()
        await lists.acquire()
        assert cache.synced


async def test_a_watch_that_ends_without_events_causes_a_new_list(tmp_path: Path) -> None:
    lists = asyncio.Semaphore(0)

    async def script(request: web.Request) -> web.StreamResponse | None:
        if request.path != DEPLOYMENTS:
            return None
        if "watch" in request.query:
            return await stream(request, [])
        lists.release()
        return None

    async with running(script, tmp_path), asyncio.timeout(5):
        await lists.acquire()
        await lists.acquire()


async def test_a_forbidden_namespace_is_reported_with_the_reason_and_others_work(tmp_path: Path) -> None:
    allowed = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse | None:
        if "/secret/" in request.path and not allowed.is_set():
            return status_answer(403, "Forbidden", "deployments is forbidden")
        if request.path == DEPLOYMENTS and "watch" not in request.query:
            return list_of([raw()], "100")
        return None

    async with running(script, tmp_path, ("gco-inference", "secret")) as (cache, _, _), asyncio.timeout(10):
        await cache.wait_settled()
        assert not cache.synced
        assert cache.snapshot().unsynced == {"secret": "deployments is forbidden"}
        assert deployment(cache) is not None
        allowed.set()
        await cache.wait_synced()
        assert cache.snapshot().unsynced == {}


@pytest.mark.parametrize("answer", [{"metadata": {}}, {"metadata": {"resourceVersion": "9"}}, {"items": []}])
async def test_a_200_that_is_not_a_list_never_empties_the_cache(answer: dict[str, Any], tmp_path: Path) -> None:
    tries = asyncio.Semaphore(0)

    async def script(request: web.Request) -> web.StreamResponse | None:
        if request.path != DEPLOYMENTS or "watch" in request.query:
            return None
        tries.release()
        return json_answer(answer)

    async with running(script, tmp_path) as (cache, _, _), asyncio.timeout(5):
        await tries.acquire()
        await tries.acquire()
        assert not cache.synced
        assert "the response " in cache.snapshot().unsynced["gco-inference"]


async def test_a_failing_server_is_reported_and_leaves_the_cache_intact(tmp_path: Path) -> None:
    broken = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse | None:
        if request.path != DEPLOYMENTS:
            return None
        if "watch" not in request.query:
            return list_of([raw()], "100")
        broken.set()
        return status_answer(503, "ServiceUnavailable", "etcd is busy")

    async with running(script, tmp_path) as (cache, _, _), asyncio.timeout(5):
        await cache.wait_synced()
        await broken.wait()
        await until(lambda: any(watch.problem for watch in cache.snapshot().watches))
        assert {watch.problem for watch in cache.snapshot().watches} == {None, "etcd is busy"}
        assert cache.synced
        assert deployment(cache) is not None


async def test_the_snapshot_shows_the_age_of_each_watchs_last_message(tmp_path: Path) -> None:
    async def script(_: web.Request) -> web.StreamResponse | None:
        return None

    async with running(script, tmp_path) as (cache, _, _), asyncio.timeout(5):
        assert cache.snapshot().watches[0].age is None
        await cache.wait_synced()
        ages = [watch.age for watch in cache.snapshot().watches]
    assert len(ages) == 4
    assert all(age is not None and 0 <= age < 5 for age in ages)
