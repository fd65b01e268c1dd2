"""Requests to the API server as plain JSON: one HTTP session, a deadline on every call, typed errors.

kubernetes-asyncio's models take 18 times as long as orjson for the same objects, so it only reads kubeconfig files.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Self

import aiohttp
import orjson

from gco_stream import __version__
from gco_stream.cluster.access import RENEWAL_PAUSE, Access, Credentials, find_access
from gco_stream.cluster.errors import ServerError, Silence, Unreachable, error_of, error_of_status
from gco_stream.model.objects import JsonObject

# etcd's limit on an object is 1.5 MiB; JSON may be some times that. Beyond it the stream is not a watch.
_MAX_EVENT: Final = 16 * 2**20


class KubeClient:
    """A connection to one API server; made by `connect`."""

    def __init__(
        self, session: aiohttp.ClientSession, access: Access, credentials: Credentials, timeout: float
    ) -> None:
        self._session = session
        self._host = access.host
        self._credentials = credentials
        self._timeout = timeout
        self._options: dict[str, Any] = {"allow_redirects": False, "proxy": access.proxy_url()}
        if access.server_name:
            self._options["server_hostname"] = access.server_name

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        *,
        timeout: float = 30,  # noqa: ASYNC109 - a value to keep
        connections: int = 64,
        kubeconfig: str | None = None,
        renewal_pause: float = RENEWAL_PAUSE,
    ) -> AsyncIterator[Self]:
        """A client of the cluster that this process is configured for; nothing is sent yet.

        `timeout`: seconds for one call, the wait for a free connection included. `connections`: at least one for each
        worker and each watch. `renewal_pause`: credentials that the server refuses are looked up again at most this
        often. Raises Misconfigured.
        """

        async def find() -> Access:
            return await find_access(kubeconfig)

        access = await find()
        connector = aiohttp.TCPConnector(limit=connections, ssl=access.ssl_context(), keepalive_timeout=60)
        # Deadlines are set around whole calls, so that they cover what aiohttp does not count.
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={"User-Agent": f"gco-stream/{__version__}", "Accept": "application/json"},
            skip_auto_headers=["Accept-Encoding"],
            auto_decompress=True,
            read_bufsize=2**18,
        ) as session:
            yield cls(session, access, Credentials(access, find, pause=renewal_pause), timeout)

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
            async with asyncio.timeout(limit), self._open(method, path, query, headers, body) as response:
                payload = await response.read()
        except TimeoutError:
            raise self._unreachable(f"{method} {path} was not answered in {limit:.3g} s") from None
        except (aiohttp.ClientError, OSError) as error:
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
                    response = await connection.enter_async_context(self._open("GET", path, query, {}))
                    connection.callback(_drop, response)
                    if response.status != 200:
                        raise error_of(response.status, await response.read(), response.headers.get("Retry-After"))
                if on_open is not None:
                    on_open()
                while chunk := await _chunk(response, inactivity):
                    for line in _lines(pending, chunk):
                        yield _event(line, path)
        except TimeoutError:
            raise self._unreachable(f"watch of {path} was not answered in {self._timeout:.3g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(f"watch of {path}: {error or type(error).__name__}") from error

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        authorization = await self._credentials.authorization()
        for last in (False, True):
            credentials = {"Authorization": authorization} if authorization else {}
            async with self._session.request(
                method, self._host + path, params=query, data=body, headers={**headers, **credentials}, **self._options
            ) as response:
                if response.status != 401 or last or not await self._credentials.renew(authorization):
                    yield response
                    return
            authorization = await self._credentials.authorization()

    def _unreachable(self, problem: str) -> Unreachable:
        return Unreachable(0, "Unreachable", f"the Kubernetes API server at {self._host} does not answer: {problem}")


def _drop(response: aiohttp.ClientResponse) -> None:
    # A watch is left in the middle of its answer. Saying goodbye by TLS's rules means waiting for a server that may
    # have fallen silent, after the session is closed and nobody waits.
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


async def _chunk(response: aiohttp.ClientResponse, inactivity: float) -> bytes:
    try:
        async with asyncio.timeout(inactivity):
            return await response.content.readany()
    except TimeoutError:
        raise Silence(0, "", f"watch of {response.url.path}: silence for {inactivity:.3g} s") from None


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
        raise error_of_status(event.get("object") or {})
    return event


def _object(payload: bytes, what: str) -> JsonObject:
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise ServerError(200, "", f"{what}: the answer is not the Kubernetes API's: {payload[:80]!r}")
    return answer
