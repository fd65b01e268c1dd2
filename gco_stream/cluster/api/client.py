"""Kubernetes API client for plain JSON on kubernetes-asyncio's transport: a deadline on every call, typed errors.

The library's models take 18 times as long as orjson for the same objects, so responses are read as they arrive.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import orjson

from gco_stream.cluster.api.config import RENEWAL_PAUSE, ClusterConfig, TokenSource, load_config
from gco_stream.cluster.api.errors import ServerError, Unreachable, WatchStalled, error_of, error_of_status
from gco_stream.cluster.api.transport import NO_ANSWER, NOT_TRUSTED, open_transport
from gco_stream.model.objects import JsonObject

if TYPE_CHECKING:
    from kubernetes_asyncio.client.rest import RESTClientObject

# Called after each request with host, method, path without query, HTTP status (0: no response), and seconds until the
# response headers.
OnCall = Callable[[str, str, str, int, float], None]
# etcd limits an object to 1.5 MiB, and its JSON can be several times larger. Anything beyond this is not a watch event.
_MAX_EVENT: Final = 16 * 2**20


class KubeClient:
    """Client for one API server; created by `connect`."""

    def __init__(
        self, transport: "RESTClientObject", token_source: TokenSource, timeout: float, on_call: OnCall
    ) -> None:
        self._transport = transport
        self._on_call = on_call
        self._host: str = token_source.config.configuration.host
        self._name = urlsplit(self._host).netloc
        self._token_source = token_source
        self._timeout = timeout
        # Cleared while the server is unreachable or returns 5xx.
        self._available = asyncio.Event()
        self._available.set()

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        *,
        timeout: float = 30,  # noqa: ASYNC109 - stored for later calls
        connections: int = 64,
        kubeconfig: str | None = None,
        renewal_pause: float = RENEWAL_PAUSE,
        on_call: OnCall = lambda *_: None,
    ) -> AsyncIterator[Self]:
        """Yields a client for the configured cluster without sending a request. Raises Misconfigured.

        `timeout`: seconds for one call, including the wait for a free connection. `connections`: size of the connection
        pool; each worker and each watch needs one connection. `renewal_pause`: minimum seconds between two attempts to
        renew the credentials. `on_call` is called after each request.
        """

        async def load() -> ClusterConfig:
            return await load_config(kubeconfig)

        token_source = TokenSource(await load(), load, renewal_pause)
        async with open_transport(token_source, connections) as transport:
            try:
                yield cls(transport, token_source, timeout, on_call)
            finally:
                await token_source.close()

    @property
    def host(self) -> str:
        """URL of the API server."""
        return self._host

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonObject | list[JsonObject] | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,  # noqa: ASYNC109 - callers limit it to their remaining lease time
    ) -> JsonObject:
        """Sends a request and returns the response's JSON object. Raises ClusterError.

        A request is repeated only to use renewed credentials. `timeout`: seconds for the whole call, including the
        waits for a pooled connection and for new credentials.
        """
        limit = self._timeout if timeout is None else timeout
        options = {"query_params": query, "headers": {"Content-Type": content_type}, "body": body}
        try:
            async with asyncio.timeout(limit), await self._open(method, path, limit, **options) as response:
                payload = await response.read()
        except TimeoutError:
            # The message omits the timeout, which differs on every call: a changed message would be logged again.
            raise self._unreachable(f"{method} {path} timed out", timeout=limit) from None
        except NO_ANSWER as error:
            raise self._unreachable(f"{method} {path}: {error or type(error).__name__}") from error
        if not 200 <= response.status < 300:
            raise error_of(response.status, payload, response.headers.get("Retry-After"))
        return _object(payload, f"{method} {path}")

    async def watch(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        inactivity: float,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncGenerator[JsonObject]:
        """Yields a watch's events, {"type": ..., "object": ...}, until the server ends the watch.

        `on_open` is called when the server accepts the watch. Raises WatchStalled if nothing arrives for `inactivity`
        seconds, Unreachable if the connection breaks, Expired on 410, and other ClusterErrors that the server sends.
        Iterate inside contextlib.aclosing so that the connection is released.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", **(query or {})}
        pending = bytearray()
        # Without a total: a watch lasts for minutes, and only the server's silence ends it.
        limits = aiohttp.ClientTimeout(total=None, connect=self._timeout)
        try:
            async with AsyncExitStack() as connection:
                async with asyncio.timeout(self._timeout):
                    response = await connection.enter_async_context(
                        await self._open("GET", path, limits, query_params=query)
                    )
                    connection.callback(response.close)
                    if response.status != 200:
                        raise error_of(response.status, await response.read(), response.headers.get("Retry-After"))
                if on_open is not None:
                    on_open()
                while chunk := await _chunk(response, inactivity):
                    for line in _lines(pending, chunk):
                        yield _event(line, path)
        except TimeoutError:
            raise self._unreachable(f"watch of {path} timed out") from None
        except NO_ANSWER as error:
            raise self._unreachable(f"watch of {path}: {error or type(error).__name__}") from error

    async def wait_for_retry(self, seconds: float) -> bool:
        """Sleeps for `seconds` and returns True, or returns False early if the server was failing and recovers."""
        if self._available.is_set():
            await asyncio.sleep(seconds)
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._available.wait()
        except TimeoutError:
            return True
        return False

    async def _open(
        self, method: str, path: str, limit: float | aiohttp.ClientTimeout, **options: Any
    ) -> aiohttp.ClientResponse:
        """Sends a request and retries it once if the credentials were refused; the body is left unread.

        `limit` is for each of the two: the caller's own deadline covers both, exactly, and the renewal between them.
        """
        options |= {"_preload_content": False, "_request_timeout": limit}

        async def send() -> aiohttp.ClientResponse:
            began, status = time.monotonic(), 0
            try:
                answer: aiohttp.ClientResponse
                answer = await self._transport.request(method, self._host + path, **options)
                status = answer.status
            finally:
                self._on_call(self._name, method, path, status, time.monotonic() - began)
            if answer.status < 500:
                self._available.set()
            else:
                self._available.clear()
            return answer

        config = await self._token_source.current()
        try:
            response = await send()
        except NOT_TRUSTED:
            if not await self._token_source.renew(config):
                raise
        else:
            if response.status != 401:
                return response
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(response)
                if not await self._token_source.renew(config):
                    stack.pop_all()
                    return response
        return await send()

    def _unreachable(self, problem: str, **details: float) -> Unreachable:
        self._available.clear()
        message = f"Kubernetes API server {self._host} is unreachable: {problem}"
        return Unreachable(0, "Unreachable", message, details)


async def _chunk(response: aiohttp.ClientResponse, inactivity: float) -> bytes:
    try:
        async with asyncio.timeout(inactivity):
            return await response.content.readany()
    except TimeoutError:
        raise WatchStalled(
            0, "", f"watch of {response.url.path}: no event or bookmark for {inactivity:.3g} s"
        ) from None


def _lines(pending: bytearray, chunk: bytes) -> list[bytes]:
    """Returns the complete lines of `pending` followed by `chunk`; the rest stays in `pending`."""
    head, newline, tail = chunk.rpartition(b"\n")
    if not newline:
        pending += chunk
        if len(pending) > _MAX_EVENT:
            raise ServerError(200, "", f"watch event larger than {_MAX_EVENT} bytes")
        return []
    lines = (bytes(pending) + head).split(b"\n")
    pending[:] = tail
    return [line for line in lines if line]


def _event(line: bytes, path: str) -> JsonObject:
    event = _object(line, f"watch of {path}")
    if event.get("type") == "ERROR":
        status = event.get("object")
        raise error_of_status(status if isinstance(status, dict) else {})
    return event


def _object(payload: bytes, what: str) -> JsonObject:
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise ServerError(200, "", f"{what}: the response is not from the Kubernetes API: {payload[:80]!r}")
    return answer
