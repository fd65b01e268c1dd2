"""HTTP server that returns scripted responses, and a client connected to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from gco_stream.cluster.api.client import KubeClient

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class SeenRequest:
    """Requests that reached the server."""

    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


def json_answer(value: Any, status: int = 200, **headers: str) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type="application/json")


def status_answer(code: int, reason: str, message: str = "no", **details: Any) -> web.Response:
    return json_answer({"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}, code)


def list_of(items: list[Any], version: str, **metadata: str) -> web.Response:
    return json_answer({"kind": "List", "metadata": {"resourceVersion": version, **metadata}, "items": items})


async def stream(request: web.Request, events: list[Any]) -> web.StreamResponse:
    """Accepts a watch and sends these events; the caller decides when it ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    for event in events:
        await response.write(orjson.dumps(event) + b"\n")
    return response


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Returns when the condition holds. Raises TimeoutError if it does not in time."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


def kubeconfig(path: Path, server: str, user: dict[str, Any]) -> str:
    """Writes a kubeconfig file (JSON is YAML) for a server and returns its path."""
    path.write_bytes(
        orjson.dumps(
            {
                "current-context": "it",
                "clusters": [{"name": "it", "cluster": {"server": server}}],
                "users": [{"name": "it", "user": user}],
                "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            }
        )
    )
    return str(path)


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[tuple[str, SeenRequest]]:
    """Runs a server; yields its URL and the requests that it has received."""
    seen = SeenRequest()

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.requests.append(request)
        seen.bodies.append(await request.read())
        return await answer(request)

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(answer: Answer, folder: Path, **options: Any) -> AsyncIterator[tuple[KubeClient, SeenRequest]]:
    """Runs such a server; yields a client connected to it and the requests that it has received."""
    async with listening(answer) as (url, seen):
        path = kubeconfig(folder / "kubeconfig", url, {"token": "known"})
        async with KubeClient.connect(kubeconfig=path, **options) as client:
            yield client, seen
