"""An HTTP proxy that injects faults of networks and overloaded servers, for kube-apiserver and DynamoDB Local.

It runs in its own thread, so synchronous tests and separate processes can use it. Unaffected traffic passes unchanged,
byte by byte: the events of a watch are not buffered. A fault affects requests that arrive after it was injected.

Client certificates cannot pass through a proxy that terminates TLS. So a kubeconfig written by this proxy contains a
bearer token, and the proxy calls the API server with the client certificate that belongs to the token: the audit log
shows the same user as without the proxy. An unknown token is passed to the API server, which rejects it.
"""

import asyncio
import base64
import contextlib
import random
import secrets
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import NoReturn, Self
from weakref import WeakSet

import aiohttp
import orjson
from aiohttp import web
from multidict import CIMultiDict

from gco_stream.local.certificates import Authority, Pair, write_private
from tests.chaos.proxies.connections import ClosingResponse, client_is_connected, reset
from tests.chaos.proxies.http_faults import (
    Action,
    Answer,
    CutAfter,
    Delay,
    Fault,
    Hang,
    LoseResponse,
    Request,
    Reset,
    Rewrite,
    SeenRequest,
    Silence,
    Swallow,
    Trickle,
)

__all__ = [
    "Action",
    "Answer",
    "CutAfter",
    "Delay",
    "Fault",
    "FaultyProxy",
    "Hang",
    "LoseResponse",
    "Request",
    "Reset",
    "Rewrite",
    "SeenRequest",
    "Silence",
    "Swallow",
    "Trickle",
]

# Headers of one connection, not of a request, and those that aiohttp sets itself.
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Host")
# Headers that describe the body as the server sent it.
_OF_THE_BODY = ("Content-Length", "Content-MD5", "x-amz-crc32")
_MAX_SEEN = 200_000
_STEPS_A_SECOND = 10


class FaultyProxy:
    """A synchronous context manager: the proxy in front of the server at `upstream`. An http URL means no TLS at all.

    If several faults match, the one injected first is applied. `injected` counts the affected requests by fault name.
    For an API server, use `before_kubernetes`.
    """

    def __init__(self, upstream: str, *, kubeconfig: Path | None = None, seed: int = 0) -> None:
        self.injected: Counter[str] = Counter()
        self._seen: deque[SeenRequest] = deque(maxlen=_MAX_SEEN)
        self.port = 0
        self._upstream = upstream
        self._rng = random.Random(seed)
        self._faults: tuple[Fault, ...] = ()
        self._connections: WeakSet[asyncio.Transport] = WeakSet()
        self._late: set[asyncio.Task[None]] = set()
        self._users: dict[str, ssl.SSLContext] = {}
        self._authority = b""
        self._tls: ssl.SSLContext | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"faulty {upstream}")
        if kubeconfig is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.serve_as(Authority())
            self._unknown = ssl.create_default_context(cadata=_read(kubeconfig)[1].decode())
            self._token = self.admit(kubeconfig)

    @classmethod
    def before_kubernetes(cls, kubeconfig: Path, *, seed: int = 0) -> Self:
        """Returns a proxy for the API server of a kubeconfig, with the user of its client certificate."""
        return cls(_read(kubeconfig)[0], kubeconfig=kubeconfig, seed=seed)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if not self.port:
            raise RuntimeError(f"the proxy in front of {self._upstream} did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """The URL on which the proxy listens."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def seen(self) -> tuple[SeenRequest, ...]:
        """The requests that have arrived, at most the newest 200,000."""
        return tuple(self._seen)

    @property
    def pending_writes(self) -> int:
        """The number of requests with a lost response that have not been sent to the server yet."""
        return len(self._late)

    def kubeconfig(self, path: Path, *, token: str | None = None, **user: object) -> Path:
        """Writes a kubeconfig with a valid token to `path`.

        `user` (tokenFile=..., exec={...}) replaces the token for users that obtain it in another way.
        """
        return write_private(path, self.kubeconfig_text(user or {"token": token or self._token}))

    def kubeconfig_text(self, user: Mapping[str, object]) -> bytes:
        """Returns a kubeconfig for this proxy, as JSON (which is valid YAML)."""
        authority = base64.b64encode(self._authority).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "faulty", "cluster": cluster}],
            "users": [{"name": "faulty", "user": user}],
            "contexts": [{"name": "faulty", "context": {"cluster": "faulty", "user": "faulty"}}],
            "current-context": "faulty",
        }
        return orjson.dumps(config, option=orjson.OPT_INDENT_2)

    def admit(self, kubeconfig: Path) -> str:
        """Returns a new token for the user of `kubeconfig`."""
        _, authority, pair = _read(kubeconfig)
        context = ssl.create_default_context(cadata=authority.decode())
        with NamedTemporaryFile() as file:
            # The ssl module reads client certificates from files only.
            file.write(pair.certificate + pair.key)
            file.flush()
            context.load_cert_chain(file.name)
        token = secrets.token_urlsafe(24)
        self._users = {**self._users, token: context}
        return token

    def revoke(self, token: str | None = None) -> None:
        """Makes the API server reject the token (by default the first one)."""
        revoked = token or self._token
        self._users = {known: context for known, context in self._users.items() if known != revoked}

    def serve_as(self, authority: Authority) -> None:
        """Uses a serving certificate of this authority for new connections and this authority for new kubeconfigs."""
        assert self._tls is not None, "a plain HTTP server has no certificate"
        pair = authority.server()
        with TemporaryDirectory() as folder:
            file = Path(folder) / "server.pem"
            file.write_bytes(pair.certificate + pair.key)
            self._tls.load_cert_chain(file)
        self._authority = authority.certificate

    def inject(self, fault: Fault) -> Fault:
        """Applies the fault to requests from now on."""
        self._faults = (*self._faults, fault)
        return fault

    def clear(self, *faults: Fault) -> None:
        """Removes these faults, or all; requests already affected stay so."""
        kept = [one for one in self._faults if not any(one is fault for fault in faults)]
        self._faults = tuple(kept) if faults else ()

    def drop_connections(self) -> None:
        """Resets every connection of every client, including open watches."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def _reset_all(self) -> None:
        for transport in tuple(self._connections):
            reset(transport)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            response_class=ClosingResponse,
            auto_decompress=False,
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        )
        runner = web.ServerRunner(
            web.Server(lambda request: self._handle(session, request), access_log=None, handler_cancellation=True),
            shutdown_timeout=0.1,
        )
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stop.wait()
            await site.stop()
            for transport in tuple(self._connections):
                transport.abort()
            for task in self._late:
                task.cancel()
            await asyncio.gather(*self._late, return_exceptions=True)
        finally:
            await runner.cleanup()
            await session.close()

    async def _handle(self, session: aiohttp.ClientSession, raw: web.BaseRequest) -> web.StreamResponse:
        if raw.transport is not None:
            self._connections.add(raw.transport)
        body = await raw.content.read()
        request = Request(raw.method, raw.path, dict(raw.query), raw.headers, body)
        fault = self._fault_for(request)
        name, target = "" if fault is None else fault.name, raw.headers.get("X-Amz-Target", "")
        agent = raw.headers.get("User-Agent", "")
        self._seen.append(SeenRequest(time.monotonic(), raw.method, raw.path, request.query, target, agent, name))
        action = None if fault is None else fault.does
        match action:
            case Answer():
                return web.Response(status=action.status, body=action.body, headers=CIMultiDict(action.headers))
            case Hang():
                await _never()
            case Reset():
                await _reset_client(raw)
            case Swallow():
                await self._complete_without_client(session, raw, body, 0)
                await _never()
            case LoseResponse():
                await self._complete_without_client(session, raw, body, action.late)
                await _reset_client(raw)
            case Delay():
                await asyncio.sleep(action.seconds)
        if not client_is_connected(raw):
            # On a busy machine the client may have given up before the proxy handles its request.
            await _reset_client(raw)
        try:
            async with self._call(session, raw, body) as upstream:
                try:
                    return await _pass(raw, upstream, action)
                finally:
                    upstream.close()
        except (aiohttp.ClientError, OSError):
            # Either the server or the client is gone; both look the same.
            await _reset_client(raw)

    def _fault_for(self, request: Request) -> Fault | None:
        for fault in self._faults:
            if fault.times == 0 or not fault.matches(request):
                continue
            if fault.share < 1 and self._rng.random() >= fault.share:
                continue
            if fault.times is not None:
                fault.times -= 1
            self.injected[fault.name] += 1
            return fault
        return None

    def _call(
        self, session: aiohttp.ClientSession, raw: web.BaseRequest, body: bytes
    ) -> "contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]":
        headers = raw.headers.copy()
        for name in (*_HOP_BY_HOP, "Content-Length"):
            headers.popall(name, None)
        tls: ssl.SSLContext | bool = True
        if self._tls is not None:
            token = headers.get("Authorization", "").removeprefix("Bearer ")
            tls = self._users.get(token, self._unknown)
            if token in self._users:
                del headers["Authorization"]
        return session.request(
            raw.method,
            self._upstream + raw.raw_path,
            headers=headers,
            data=body or None,
            ssl=tls,
            allow_redirects=False,
        )

    async def _complete_without_client(
        self, session: aiohttp.ClientSession, raw: web.BaseRequest, body: bytes, late: float
    ) -> None:
        async def do() -> None:
            await asyncio.sleep(late)
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with self._call(session, raw, body) as upstream:
                    await upstream.read()

        # The task outlives this handler, which ends with its client.
        task = asyncio.create_task(do())
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        await asyncio.shield(task)


async def _pass(raw: web.BaseRequest, upstream: aiohttp.ClientResponse, action: Action | None) -> web.StreamResponse:
    headers = upstream.headers.copy()
    for name in _HOP_BY_HOP:
        headers.popall(name, None)
    if isinstance(action, Rewrite):
        body = action.change(await upstream.read())
        for name in _OF_THE_BODY:
            headers.popall(name, None)
        return web.Response(status=upstream.status, reason=upstream.reason, headers=headers, body=body)
    answer = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
    await answer.prepare(raw)
    left = action.bytes if isinstance(action, CutAfter) else action.after if isinstance(action, Silence) else None
    while left != 0 and (chunk := await upstream.content.readany()):
        if left is not None:
            chunk = chunk[:left]
            left -= len(chunk)
        if isinstance(action, Trickle):
            await _trickle(answer, chunk, action.bytes_per_second)
        else:
            await answer.write(chunk)
    if isinstance(action, Silence):
        await _never()
    if isinstance(action, CutAfter):
        # Data written before the reset must arrive.
        await asyncio.sleep(0.05)
        await _reset_client(raw)
    await answer.write_eof()
    return answer


async def _trickle(answer: web.StreamResponse, chunk: bytes, bytes_per_second: int) -> None:
    step = max(1, bytes_per_second // _STEPS_A_SECOND)
    for begin in range(0, len(chunk), step):
        await answer.write(chunk[begin : begin + step])
        await asyncio.sleep(step / bytes_per_second)


async def _reset_client(raw: web.BaseRequest) -> NoReturn:
    if raw.transport is not None:
        reset(raw.transport)
    await _never()


async def _never() -> NoReturn:
    # The task is cancelled when the client's connection ends.
    while True:
        await asyncio.Event().wait()


def _read(kubeconfig: Path) -> tuple[str, bytes, Pair]:
    """Returns the server, its authority and the user's certificate of a control plane's kubeconfig."""
    config = orjson.loads(kubeconfig.read_bytes())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    pair = Pair(base64.b64decode(user["client-certificate-data"]), base64.b64decode(user["client-key-data"]))
    return cluster["server"], base64.b64decode(cluster["certificate-authority-data"]), pair
