"""kubernetes-asyncio's transport, over a session whose connections are reset when they are closed.

The session that the library creates closes connections gracefully, follows redirects, and keeps the TLS context that it
was created with. It also reads ~/.netrc and the proxy variables for every request, each in a thread.
"""

import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from gco_stream import __version__
from gco_stream.cluster.api.config import TokenSource

if TYPE_CHECKING:
    from kubernetes_asyncio.client.rest import RESTClientObject

# The server's certificate is not signed by the configured CA, or the client certificate is not usable.
NOT_TRUSTED: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)
# asyncio raises RuntimeError if a connecting socket was closed and its file descriptor has been reused.
NO_ANSWER: Final = (aiohttp.ClientError, OSError, RuntimeError)
# struct linger: on, 0 seconds.
_ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)


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


class _Session:
    """Sends the library's requests with the current credentials, and does not follow redirects."""

    def __init__(self, session: aiohttp.ClientSession, token_source: TokenSource) -> None:
        self._session = session
        self._token_source = token_source

    async def request(self, *, headers: Mapping[str, str], **options: Any) -> aiohttp.ClientResponse:
        config = self._token_source.config
        if token := config.configuration.api_key.get("BearerToken"):
            headers = {**headers, "Authorization": token}
        return await self._session.request(headers=headers, ssl=config.tls, allow_redirects=False, **options)


@asynccontextmanager
async def open_transport(token_source: TokenSource, connections: int) -> AsyncIterator["RESTClientObject"]:
    """Yields the library's REST client for the configuration; it uses at most this number of connections."""
    from kubernetes_asyncio.client.rest import RESTClientObject  # noqa: PLC0415 - see config.py

    transport = RESTClientObject(token_source.config.configuration)
    await transport.close()
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60, socket_factory=_socket)
    async with aiohttp.ClientSession(
        connector=connector,
        response_class=_Answer,
        headers={"User-Agent": f"gco-stream/{__version__}", "Accept": "application/json"},
        skip_auto_headers=["Accept-Encoding"],
        read_bufsize=2**18,
    ) as session:
        transport.pool_manager = _Session(session, token_source)  # type: ignore[assignment]
        yield transport
