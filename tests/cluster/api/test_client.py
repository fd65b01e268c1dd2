import asyncio
from contextlib import aclosing
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from gco_stream.cluster.api import errors
from gco_stream.cluster.api.client import KubeClient
from tests.support.fake_api_server import connected, json_answer, kubeconfig, listening, status_answer, stream


async def test_a_request_carries_query_body_token_and_content_type(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return json_answer({"kind": "Deployment"})

    query, content_type = {"force": "true", "labelSelector": "a=b,c=d"}, "application/json-patch+json"
    async with connected(answer, tmp_path) as (client, seen):
        got = await client.request("PATCH", "/apis/x", query=query, body=[{"op": "x"}], content_type=content_type)
    request = seen.requests[0]
    assert got == {"kind": "Deployment"}
    assert (request.method, request.path, dict(request.query)) == (
        "PATCH",
        "/apis/x",
        {"force": "true", "labelSelector": "a=b,c=d"},
    )
    assert orjson.loads(seen.bodies[0]) == [{"op": "x"}]
    assert request.headers["Authorization"] == "Bearer known"
    assert request.headers["Content-Type"] == "application/json-patch+json"
    assert request.headers["User-Agent"].startswith("gco-stream/")


async def test_a_slow_response_times_out_at_the_deadline_of_the_call(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return json_answer({})

    async with connected(answer, tmp_path) as (client, _):
        with pytest.raises(errors.Unreachable, match="GET /x timed out"):
            await client.request("GET", "/x", timeout=0.05)


async def test_a_slow_body_times_out_as_well(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await stream(request, [{"half": 1}])
        await asyncio.sleep(60)
        return response

    async with connected(answer, tmp_path) as (client, _):
        with pytest.raises(errors.Unreachable):
            await client.request("GET", "/x", timeout=0.05)


async def test_waiting_for_a_connection_counts_and_nothing_is_sent_late(tmp_path: Path) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        arrived.set()
        await release.wait()
        return json_answer({})

    async with connected(answer, tmp_path, connections=1) as (client, seen):
        first = asyncio.create_task(client.request("GET", "/first"))
        await arrived.wait()
        with pytest.raises(errors.Unreachable):
            await client.request("PATCH", "/second", body={}, timeout=0.05)
        release.set()
        await first
        await client.request("GET", "/third")
    assert [request.path for request in seen.requests] == ["/first", "/third"]


async def unused(_: web.Request) -> web.StreamResponse:
    raise AssertionError("no request is expected")


async def test_a_missing_server_is_reported_in_one_line(tmp_path: Path) -> None:
    async with listening(unused) as (url, _):
        pass
    async with KubeClient.connect(kubeconfig=kubeconfig(tmp_path / "k", url, {})) as client:
        with pytest.raises(errors.Unreachable) as caught:
            await client.request("GET", "/version")
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"<html>sign in</html>", b"[1]", b'{"kind":'])
async def test_a_200_that_is_not_from_the_api_is_an_error(body: bytes, tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with connected(answer, tmp_path) as (client, _):
        with pytest.raises(errors.ServerError):
            await client.request("GET", "/x")


async def test_a_redirect_is_an_error_and_not_followed(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with connected(answer, tmp_path) as (client, seen):
        with pytest.raises(errors.ClusterError):
            await client.request("GET", "/x")
    assert len(seen.requests) == 1


async def test_a_watch_yields_events_however_they_are_chunked(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await stream(request, [])
        for part in (b'{"type":"ADD', b'ED","n":1}\n{"type":"MODIFIED","n":2}\n', b'{"n"', b":3}\n\n"):
            await response.write(part)
            await asyncio.sleep(0.005)
        return response

    async with connected(answer, tmp_path) as (client, seen), aclosing(client.watch("/w", inactivity=5)) as events:
        got = [event async for event in events]
    assert [event["n"] for event in got] == [1, 2, 3]
    assert seen.requests[0].query["watch"] == seen.requests[0].query["allowWatchBookmarks"] == "true"


async def test_an_error_event_is_raised_as_its_error(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await stream(
            request, [{"type": "ADDED"}, {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "old"}}]
        )

    async with connected(answer, tmp_path) as (client, _), aclosing(client.watch("/w", inactivity=5)) as events:
        assert await anext(events) == {"type": "ADDED"}
        with pytest.raises(errors.Expired, match="old"):
            await anext(events)


async def test_a_silent_watch_times_out_and_releases_its_connection(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/x":
            return json_answer({})
        response = await stream(request, [{"type": "BOOKMARK"}])
        await asyncio.sleep(60)
        return response

    async with connected(answer, tmp_path, connections=1) as (client, _):
        async with aclosing(client.watch("/w", inactivity=0.05)) as events:
            assert await anext(events) == {"type": "BOOKMARK"}
            with pytest.raises(errors.WatchStalled):
                await anext(events)
        await client.request("GET", "/x", timeout=5)


async def test_only_the_servers_silence_counts_as_inactivity(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await stream(request, [{"n": 1}, {"n": 2}])

    async with connected(answer, tmp_path) as (client, _), aclosing(client.watch("/w", inactivity=0.05)) as events:
        await anext(events)
        await asyncio.sleep(0.1)
        assert await anext(events) == {"n": 2}


async def test_a_broken_watch_is_unreachable_but_not_silent(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await stream(request, [{"n": 1}])
        assert request.transport is not None
        request.transport.abort()
        return response

    async with connected(answer, tmp_path) as (client, _), aclosing(client.watch("/w", inactivity=5)) as events:
        with pytest.raises(errors.Unreachable) as caught:
            assert [event async for event in events]
    assert not isinstance(caught.value, errors.WatchStalled)


async def test_a_refused_watch_raises_the_servers_error(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return status_answer(403, "Forbidden", "not you")

    async with connected(answer, tmp_path) as (client, _), aclosing(client.watch("/w", inactivity=5)) as events:
        with pytest.raises(errors.Forbidden, match="not you"):
            await anext(events)


async def test_a_stream_without_newlines_is_not_buffered_without_limit(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await stream(request, [])
        for _ in range(40):
            await response.write(b"x" * 2**19)
        return response

    async with connected(answer, tmp_path) as (client, _), aclosing(client.watch("/w", inactivity=5)) as events:
        with pytest.raises(errors.ServerError, match="larger than"):
            await anext(events)
