"""Kubernetes API client that returns plain JSON objects, with a deadline for every call and typed errors.

Deserializing objects into kubernetes-asyncio's models takes 18 times as long as parsing them with orjson, so that
package is used only to load kubeconfig files.
"""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import orjson

from gco_stream import __version__
from gco_stream.cluster.api.config import RENEWAL_PAUSE, ClusterConfig, Credential, TokenSource, load_config
from gco_stream.cluster.api.errors import ServerError, Unreachable, WatchStalled, error_of, error_of_status
from gco_stream.model.objects import JsonObject

# Raised if the server's certificate cannot be verified or the TLS handshake fails.
_NOT_TRUSTED: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)
# SO_LINGER value (struct linger): enabled, with a timeout of 0 seconds.
_ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)
# Raised if no response is received. asyncio raises RuntimeError if a socket was closed while it was connecting and its
# file descriptor has been reused.
_NO_ANSWER: Final = (aiohttp.ClientError, OSError, RuntimeError)
# Called after each request with the server's host, the method, the path without its query, the HTTP status (0: no
# response), and the seconds until the response headers arrived.
OnCall = Callable[[str, str, str, int, float], None]
# Maximum size of a watch event, in bytes. etcd limits an object to 1.5 MiB, but its JSON can be several times larger.
_MAX_EVENT: Final = 16 * 2**20


class _Answer(aiohttp.ClientResponse):
    """Response whose `close` aborts the connection immediately.

    A graceful TLS shutdown would wait for the server, which may have stopped responding.
    """

    def close(self) -> None:
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()
        super().close()


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Creates a socket that discards unsent data when it is closed.

    By default, the kernel keeps retransmitting the data for minutes, and a write that was abandoned when the lease
    expired could arrive while another replica leads. With a linger time of 0, closing the socket resets the connection
    and drops the data.
    """
    family, type_, protocol, *_ = address
    one = socket.socket(family, type_, protocol)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
    return one


class KubeClient:
    """Client for one API server; created by `connect`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: ClusterConfig,
        token_source: TokenSource,
        timeout: float,
        on_call: OnCall = lambda *_: None,
    ) -> None:
        self._session = session
        self._on_call = on_call
        self._name = urlsplit(config.host).netloc
        self._host = config.host
        self._token_source = token_source
        self._timeout = timeout
        # Cleared while the server is unreachable or returns 5xx.
        self._available = asyncio.Event()
        self._available.set()
        self._options: dict[str, Any] = {"allow_redirects": False, "proxy": config.proxy_url()}
        if config.server_name:
            self._options["server_hostname"] = config.server_name

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

        async def find() -> ClusterConfig:
            return await load_config(kubeconfig)

        config = await find()
        token_source = await TokenSource.of(config, find, pause=renewal_pause)
        connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60, socket_factory=_socket)
        # aiohttp's timeouts are disabled because they do not cover every phase of a call; asyncio.timeout does.
        async with aiohttp.ClientSession(
            connector=connector,
            response_class=_Answer,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": f"gco-stream/{__version__}", "Accept": "application/json"},
            skip_auto_headers=["Accept-Encoding"],
            auto_decompress=True,
            read_bufsize=2**18,
        ) as session:
            try:
                yield cls(session, config, token_source, timeout, on_call)
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
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,  # noqa: ASYNC109 - callers limit it to their remaining lease time
    ) -> JsonObject:
        """Sends a request and returns the response's JSON object. Raises ClusterError.

        A request is repeated only to use renewed credentials. `timeout`: seconds for the whole call, including the
        waits for a pooled connection and for new credentials.
        """
        limit = self._timeout if timeout is None else timeout
        headers = {"Content-Type": content_type} if body is not None else {}
        try:
            async with asyncio.timeout(limit), await self._open(method, path, query, headers, body) as response:
                payload = await response.read()
        except TimeoutError:
            # Callers log a repeated error only if its message changes, so the message omits the timeout, which varies.
            raise self._unreachable(f"{method} {path} timed out", timeout=limit) from None
        except _NO_ANSWER as error:
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
        try:
            async with AsyncExitStack() as connection:
                async with asyncio.timeout(self._timeout):
                    response = await connection.enter_async_context(await self._open("GET", path, query, {}))
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
        except _NO_ANSWER as error:
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
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> aiohttp.ClientResponse:
        """Sends a request and returns the response, whose body is still unread.

        If the server refuses the credentials or its certificate is not trusted, tries once more with new credentials.
        """

        async def send(credential: Credential) -> aiohttp.ClientResponse:
            authorization = {"Authorization": credential.authorization} if credential.authorization else {}
            url, every = self._host + path, {**headers, **authorization}
            options = {**self._options, "ssl": credential.tls}
            began, status = time.monotonic(), 0
            try:
                answer = await self._session.request(method, url, params=query, data=body, headers=every, **options)
                status = answer.status
            finally:
                self._on_call(self._name, method, path, status, time.monotonic() - began)
            if answer.status < 500:
                self._available.set()
            else:
                self._available.clear()
            return answer

        credential = await self._token_source.current()
        try:
            response = await send(credential)
        except _NOT_TRUSTED:
            if not await self._token_source.renew(credential):
                raise
        else:
            if response.status != 401:
                return response
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(response)
                if not await self._token_source.renew(credential):
                    stack.pop_all()
                    return response
        return await send(await self._token_source.current())

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
