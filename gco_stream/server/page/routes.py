"""Routes of the status page: fleet, endpoint, leader and stream, static files, and live updates."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import web

from gco_stream.server.page.query import Query
from gco_stream.server.page.render import Renderer
from gco_stream.server.page.sse import ChangeBroadcaster
from gco_stream.server.page.view_models import Source

_HTML: Final = "text/html"
# A connection that does not accept an event for this long is closed.
_WRITE_SECONDS: Final = 10.0
# Maximum number of endpoint pages built at once. Each of them may list pods and Events from the API server.
_MAX_CONCURRENT: Final = 2
# Maximum length of the name of a Kubernetes object. Items with longer keys can exist, but they have no objects.
_MAX_NAME: Final = 253


class Page:
    """The request handlers. The first request loads the templates in a thread. `now`: seconds since 1970."""

    def __init__(self, source: Source, broadcaster: ChangeBroadcaster, now: Callable[[], float] = time.time) -> None:
        self._source = source
        self._broadcaster = broadcaster
        self._now = now
        self._renderer: Renderer | None = None
        self._lock = asyncio.Semaphore(_MAX_CONCURRENT)

    def add_to(self, app: web.Application) -> None:
        """Adds the page's routes to the application, and closes all live updates when it shuts down."""
        app.add_routes(
            [
                web.get("/", self._fleet),
                web.get("/endpoints/{name}", self._endpoint),
                web.get("/stream", self._stream),
                web.get("/static/{file}", self._file),
                web.get("/live", self._events, allow_head=False),
            ]
        )
        app.on_shutdown.append(self._close)

    async def _close(self, _: web.Application) -> None:
        self._broadcaster.close()

    async def _fleet(self, request: web.Request) -> web.Response:
        renderer = await self._load_renderer()
        fleet = await self._source.fleet()
        return _page(renderer.fleet(self._source.site(), fleet, Query.of(request.query), self._now()))

    async def _endpoint(self, request: web.Request) -> web.Response:
        renderer = await self._load_renderer()
        name = request.match_info["name"]
        async with self._lock:
            found = await self._source.endpoint(name) if len(name) <= _MAX_NAME else None
            site, now = self._source.site(), self._now()
            if found is None:
                text = "This replica knows no item and no objects with this name, and has no history of it."
                return _page(renderer.message(site, f"Endpoint {name[:_MAX_NAME]} not found", text, now), status=404)
            return _page(renderer.endpoint(site, found, now))

    async def _stream(self, _: web.Request) -> web.Response:
        renderer = await self._load_renderer()
        return _page(renderer.stream(self._source.site(), self._now()))

    async def _file(self, request: web.Request) -> web.Response:
        found = (await self._load_renderer()).files.get(request.match_info["file"])
        if found is None:
            raise web.HTTPNotFound
        type_, content = found
        # The links contain a digest of the static files, so they change whenever a file changes.
        headers = {"Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=content, content_type=type_, charset="utf-8", headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._broadcaster.is_full:
            return web.Response(status=503, text="too many open pages\n", headers={"Retry-After": "30"})
        name = request.query.get("endpoint", "")[:_MAX_NAME]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        with self._broadcaster.subscribe(name) as subscriber, suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            async for changed in self._broadcaster.changes(subscriber):
                async with asyncio.timeout(_WRITE_SECONDS):
                    await response.write(b"event: news\ndata:\n\n" if changed else b"event: time\ndata:\n\n")
        return response

    async def _load_renderer(self) -> Renderer:
        if self._renderer is None:
            self._renderer = await asyncio.to_thread(Renderer)
        return self._renderer


def _page(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, content_type=_HTML, charset="utf-8", status=status)
