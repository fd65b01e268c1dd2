"""Requests to the API server as plain JSON: one HTTP session, a deadline on every call, typed errors.

kubernetes-asyncio's models take 18 times as long as orjson for the same objects, so it only reads kubeconfig files.
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

# The server's certificate is not one that our authority vouches for, or ours is of no use.
_NOT_TRUSTED: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)
# On, for 0 s.
_ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)
# The last is asyncio's, of a socket that was given up while it connected and whose number is another's now.
_NO_ANSWER: Final = (aiohttp.ClientError, OSError, RuntimeError)
# Told of each request: host, method, path without its query, HTTP status (0: no answer), seconds to the answer's head.
OnCall = Callable[[str, str, str, int, float], None]
# etcd's limit on an object is 1.5 MiB; JSON may be some times that. Beyond it the stream is not a watch.
_MAX_EVENT: Final = 16 * 2**20


class _Answer(aiohttp.ClientResponse):
    """An answer that is given up in the middle takes its connection with it, at once.

    Saying goodbye by TLS's rules means waiting for a server that may have fallen silent, after the session is closed
    and nobody waits.
    """

    def close(self) -> None:
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()
        super().close()


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket on which nothing is sent any more once it is closed.

    The kernel would go on sending for minutes what a network has swallowed, and a write that was given up with the
    lease would arrive when another leads. Without lingering a close is a reset, which takes it back.
    """
    family, type_, protocol, *_ = address
    one = socket.socket(family, type_, protocol)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
    return one


class KubeClient:
    """A connection to one API server; made by `connect`."""

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
        # Set while the server does what it is asked, as far as is known.
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
        timeout: float = 30,  # noqa: ASYNC109 - a value to keep
        connections: int = 64,
        kubeconfig: str | None = None,
        renewal_pause: float = RENEWAL_PAUSE,
        on_call: OnCall = lambda *_: None,
    ) -> AsyncIterator[Self]:
        """A client of the cluster that this process is configured for; nothing is sent yet.

        `timeout`: seconds for one call, the wait for a free connection included. `connections`: at least one for each
        worker and each watch. `renewal_pause`: credentials that the server refuses are looked up again at most this
        often. `on_call` is told of each request. Raises Misconfigured.
        """

        async def find() -> ClusterConfig:
            return await load_config(kubeconfig)

        config = await find()
        token_source = await TokenSource.of(config, find, pause=renewal_pause)
        connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60, socket_factory=_socket)
        # Deadlines are set around whole calls, so that they cover what aiohttp does not count.
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
        """The API server's URL."""
        return self._host

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,  # noqa: ASYNC109 - callers shorten it to what is left of their lease
    ) -> JsonObject:
        """The JSON object that the server answers. Raises ClusterError's subclasses; no retries.

        `timeout` (seconds) counts from this call on: the wait for a pooled connection and for fresh credentials too.
        """
        limit = self._timeout if timeout is None else timeout
        headers = {"Content-Type": content_type} if body is not None else {}
        try:
            async with asyncio.timeout(limit), await self._open(method, path, query, headers, body) as response:
                payload = await response.read()
        except TimeoutError:
            # Without the time: what is left of a lease differs each time, and a fault whose words differ is told anew.
            raise self._unreachable(f"{method} {path} was not answered in time", timeout=limit) from None
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
        """A watch's events, {"type", "object"} each, until the server ends it.

        `on_open` is called when the server has accepted the watch. Raises Silence where nothing comes for `inactivity`
        seconds, Unreachable where the connection breaks, Expired (410) and the other errors as the server sends them.
        Close it (contextlib.aclosing) to give the connection back.
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
            raise self._unreachable(f"watch of {path} was not answered in time") from None
        except _NO_ANSWER as error:
            raise self._unreachable(f"watch of {path}: {error or type(error).__name__}") from error

    async def wait_for_retry(self, seconds: float) -> bool:
        """Wait so long; where the server does not do what it is asked, only until it does again (then: False)."""
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
        """The answer, its body still to be read, to a request that is sent once more if the credential was refused."""

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
        message = f"the Kubernetes API server at {self._host} does not answer: {problem}"
        return Unreachable(0, "Unreachable", message, details)


async def _chunk(response: aiohttp.ClientResponse, inactivity: float) -> bytes:
    try:
        async with asyncio.timeout(inactivity):
            return await response.content.readany()
    except TimeoutError:
        raise WatchStalled(0, "", f"watch of {response.url.path}: silence for {inactivity:.3g} s") from None


def _lines(pending: bytearray, chunk: bytes) -> list[bytes]:
    """The whole lines that `chunk` completes; the rest of it stays in `pending`."""
    head, newline, tail = chunk.rpartition(b"\n")
    if not newline:
        pending += chunk
        if len(pending) > _MAX_EVENT:
            raise ServerError(200, "", f"a watch event of more than {_MAX_EVENT} bytes")
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
        raise ServerError(200, "", f"{what}: the answer is not the Kubernetes API's: {payload[:80]!r}")
    return answer
