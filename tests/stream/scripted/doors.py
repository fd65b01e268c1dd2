"""Two transports for a real client.

`subscribe` uses a socket, as in production. `MemorySession` replaces the client's HTTP session for tests in fake time:
requests are still serialised and responses still parsed by the real client, while nothing outside of the loop takes
time. How the real session reacts to a closed connection or a late response is imitated, and tested over sockets.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Self

from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp import web
from botocore import UNSIGNED
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from gco_stream.aws.session import client_config
from tests.stream.scripted.faults import Reply
from tests.stream.scripted.server import ScriptedDynamoDB

REGION = "us-east-1"
_HEADERS = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "scripted"}


class MemorySession:
    """Replacement for aiobotocore's AIOHTTPSession. `timeout`: seconds to connect, and for the response."""

    def __init__(self, server: ScriptedDynamoDB, *, timeout: tuple[float, float], **_: Any) -> None:
        self._server = server
        self._timeout = timeout[1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, request: Any) -> AioAWSResponse:
        target = request.headers["X-Amz-Target"]
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._server.serve(_text(target), request.body)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
        if reply.share < 1:
            raise ConnectionClosedError(endpoint_url=request.url, request=request, error=None)
        return AioAWSResponse(request.url, reply.status, {k.lower(): v for k, v in _HEADERS.items()}, _Raw(reply.body))


class _Raw:
    """The object from which aiobotocore reads the body of a response."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


def client_in_memory(
    server: ScriptedDynamoDB, session: AioSession, service: str = "dynamodbstreams", *, timeout: float = 5.0
) -> AbstractAsyncContextManager[Any]:
    """A real client, configured like the program's, whose requests go to `server` without a socket.

    Requests carry neither signature nor user agent, because these take half of a call's time and are not checked.
    """
    ours = AioConfig(http_session_cls=partial(MemorySession, server), signature_version=UNSIGNED, user_agent="scripted")
    config = client_config(timeout=timeout, connections=32).merge(ours)
    return _client(session, service, "http://scripted.invalid", config)


def client_of(
    url: str, session: AioSession, service: str = "dynamodbstreams", *, timeout: float = 5.0
) -> AbstractAsyncContextManager[Any]:
    """A real client of the server at `url`, configured like the program's."""
    return _client(session, service, url, client_config(timeout=timeout, connections=32))


@asynccontextmanager
async def listening(server: ScriptedDynamoDB) -> AsyncIterator[str]:
    """Runs `server` on a local port and yields its URL."""
    application = web.Application()
    application.router.add_post("/", partial(_handle, server))
    # Calls may hang; a timeout of 0 would mean no limit.
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def _handle(server: ScriptedDynamoDB, request: web.Request) -> web.StreamResponse:
    reply = await server.serve(request.headers["X-Amz-Target"], await request.read())
    response = web.StreamResponse(status=reply.status, headers=_HEADERS)
    response.content_length = len(reply.body)
    if reply.share == 1:
        await response.prepare(request)
        await response.write(reply.body)
        return response
    await _cut(request, response, reply)
    return response


async def _cut(request: web.Request, response: web.StreamResponse, reply: Reply) -> None:
    if reply.share > 0:
        await response.prepare(request)
        await response.write(reply.body[: int(len(reply.body) * reply.share)])
    assert request.transport is not None
    request.transport.abort()


def _client(session: AioSession, service: str, url: str, config: AioConfig) -> AbstractAsyncContextManager[Any]:
    client: AbstractAsyncContextManager[Any] = session.create_client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id="some",
        aws_secret_access_key="thing",  # noqa: S106
        config=config,
        # Otherwise every client would read the system's certificates, which takes longer than a test.
        verify=False,
    )
    return client


def _text(header: str | bytes) -> str:
    return header.decode() if isinstance(header, bytes) else header
