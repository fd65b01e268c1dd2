"""HTTP server for health checks, metrics, the controller's state as JSON, and the status page."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from gco_stream.server.page.headers import read_only, with_headers
from gco_stream.server.page.routes import Page

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Health:
    """Result of a health check. `problems` has one sentence per problem and is empty if the check passes."""

    problems: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether the check passes."""
        return not self.problems


@asynccontextmanager
async def serve(
    host: str,
    port: int,
    *,
    live: Callable[[], Health],
    ready: Callable[[], Health],
    metrics: Callable[[], Awaitable[bytes]],
    status: Callable[[], dict[str, Any]],
    page: Page,
) -> AsyncIterator[int]:
    """Runs the HTTP server until the context exits. Yields the port that it listens on.

    `port`: 0 for any free port. `live` and `ready`: the checks of /healthz and /readyz. `metrics`: returns the body of
    /metrics. `status`: returns the content of /status. Raises OSError if the server cannot listen.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _answer(live())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=await metrics(), headers={"Content-Type": _METRICS_TYPE})

    async def statusz(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(status(), default=str), content_type="application/json")

    app = web.Application(middlewares=[read_only])
    app.on_response_prepare.append(with_headers)
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", scrape),
            web.get("/status", statusz),
        ]
    )
    page.add_to(app)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _answer(health: Health) -> web.Response:
    if health.ok:
        return web.Response(text="ok\n")
    return web.Response(status=503, text="".join(f"{problem}\n" for problem in health.problems))
