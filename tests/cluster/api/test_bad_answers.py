"""A response that is not from the API server never proves that an object is gone or a request invalid."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.objects import observe
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.cache.store import Store
from gco_stream.cluster.pods import pods_of
from gco_stream.cluster.writer import ObjectWriter
from gco_stream.model.objects import JsonObject, Kind, ObjectRef
from tests.support.fake_api_server import connected, json_answer, status_answer
from tests.support.raw_objects import raw

REF = ObjectRef(Kind.DEPLOYMENT, "gco-inference", "llm")
PAGE = b"<html><body>request 4711 at 12:30 failed</body></html>"


@pytest.mark.parametrize("code", [400, 404, 405, 409, 413, 422, 502])
@pytest.mark.parametrize("page", [PAGE, b"404 page not found\n", b'{"error": "no"}', b""])
def test_a_load_balancers_error_page_is_a_transient_error(code: int, page: bytes) -> None:
    error = errors.error_of(code, page)
    assert type(error) is errors.ServerError
    assert error.status == code
    assert str(code) in error.message
    assert "4711" not in error.message, "a message that differs each time would be reported each time"


@pytest.mark.parametrize(("code", "kind"), [(401, errors.Unauthorized), (403, errors.Forbidden), (410, errors.Expired)])
def test_harmless_statuses_are_accepted_from_any_sender(code: int, kind: type[errors.ClusterError]) -> None:
    assert type(errors.error_of(code, PAGE)) is kind


@pytest.mark.parametrize("asked", [121, 3600, 10**9])
def test_retry_after_is_capped(asked: int) -> None:
    assert errors.error_of(429, b"", str(asked)).retry_after == 120


def test_a_message_omits_the_source_port() -> None:
    said = 'failed calling webhook "x": Post "https://w/": read tcp 10.0.0.1:41234->10.0.0.2:443: connection reset'
    v6 = "dial tcp [fd00::1]:41234->[fd00::2]:443: i/o timeout"

    def message(text: str) -> str:
        return errors.error_of(500, orjson.dumps({"kind": "Status", "code": 500, "message": text})).message

    assert message(said) == said.replace("10.0.0.1:41234->", "")
    assert message(v6) == v6.replace("[fd00::1]:41234->", "")


@pytest.mark.parametrize(
    "answer", [web.Response(status=404, body=PAGE), json_answer({}), json_answer({"ok": True}), web.Response(body=b"")]
)
async def test_only_the_api_server_can_report_that_an_object_is_gone(answer: web.Response, tmp_path: Path) -> None:
    async def say(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, body=answer.body)

    async with connected(say, tmp_path) as (client, _):
        cache = ClusterCache(client, ("gco-inference",), lambda _: None)
        cache.put(raw())
        with pytest.raises(errors.ServerError):
            await ObjectWriter(client, cache, lambda: 9).delete(REF, "u1")
        assert cache.has(REF)
        with pytest.raises(errors.ServerError):
            await cache.refresh(REF)
        assert cache.has(REF)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"kind": "Deployment"},
        {"kind": "Deployment", "metadata": "no"},
        {**raw(), "kind": "Pod"},
        {**raw(), "kind": None},
        {**raw(), "spec": "no"},
        raw(uid=""),
        raw(annotations="no"),
        raw(resourceVersion="newest"),
        raw(resourceVersion=7),
        raw(name=""),
    ],
)
async def test_a_write_whose_response_is_not_an_object_leaves_the_cache_unchanged(
    answer: dict[str, Any], tmp_path: Path
) -> None:
    async def say(_: web.Request) -> web.Response:
        return json_answer(answer)

    async with connected(say, tmp_path) as (client, _):
        cache = ClusterCache(client, ("gco-inference",), lambda _: None)
        cache.put(raw())
        before = cache.token("llm")
        with pytest.raises(errors.ServerError):
            await ObjectWriter(client, cache, lambda: 9).annotate(REF, "u1", {"a": "b"})
        assert cache.token("llm") == before


@pytest.mark.parametrize("answer", [{}, {"items": {}}, {"items": "none"}])
async def test_a_response_without_a_pod_list_is_not_an_empty_list(answer: dict[str, Any], tmp_path: Path) -> None:
    async def say(_: web.Request) -> web.Response:
        return json_answer(answer)

    async with connected(say, tmp_path) as (client, _):
        with pytest.raises(errors.ServerError):
            await pods_of(client, "gco-inference", "llm", timeout=5)


@pytest.mark.parametrize("type_", ["ADDED", "MODIFIED", "DELETED"])
@pytest.mark.parametrize("item", [{}, {"metadata": {}}, {"metadata": {"resourceVersion": "9"}}])
async def test_a_watch_event_without_an_object_is_an_error(type_: str, item: JsonObject) -> None:
    async def fetch(_: ObjectRef) -> JsonObject | None:
        raise AssertionError

    store = Store(Kind.DEPLOYMENT, "gco-inference", fetch, lambda _: None)
    store.put(raw())
    with pytest.raises(errors.ServerError):
        await store.handle_event(type_, item)
    assert store.get("llm") == observe(raw())


async def test_a_rejection_by_the_api_server_itself_is_final(tmp_path: Path) -> None:
    async def say(request: web.Request) -> web.Response:
        return status_answer(400, "BadRequest") if request.method == "PATCH" else json_answer(raw())

    async with connected(say, tmp_path) as (client, _):
        cache = ClusterCache(client, ("gco-inference",), lambda _: None)
        with pytest.raises(errors.Rejected):
            await ObjectWriter(client, cache, lambda: 9).apply(raw(), "u1")
