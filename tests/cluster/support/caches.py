"""A cache that runs against a scripted API server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from tests.support.fake_api_server import SeenRequest, connected, list_of, stream

DEPLOYMENTS = "/apis/apps/v1/namespaces/gco-inference/deployments"
Script = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


@asynccontextmanager
async def running(
    script: Script, folder: Path, namespaces: tuple[str, ...] = ("gco-inference",), **options: Any
) -> AsyncIterator[tuple[ClusterCache, SeenRequest, asyncio.Queue[frozenset[str]]]]:
    """Run a cache against a scripted server that otherwise returns empty lists and watches that stay open."""
    changes: asyncio.Queue[frozenset[str]] = asyncio.Queue()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await script(request)
        if response is not None:
            return response
        if "watch" not in request.query:
            return list_of([], "100")
        return await held_open(request)

    async with (
        connected(answer, folder, timeout=5) as (client, seen),
        running_cache(client, namespaces, changes, **options) as cache,
    ):
        yield cache, seen, changes


@asynccontextmanager
async def running_cache(
    client: KubeClient, namespaces: tuple[str, ...], changes: asyncio.Queue[frozenset[str]], **options: Any
) -> AsyncIterator[ClusterCache]:
    cache = ClusterCache(client, namespaces, changes.put_nowait, **options)
    task = asyncio.create_task(cache.run())
    try:
        yield cache
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def held_open(request: web.Request, *events: Any) -> web.StreamResponse:
    response = await stream(request, list(events))
    await asyncio.Event().wait()
    return response
