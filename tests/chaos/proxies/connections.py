"""Helpers of the HTTP proxy for the state of TCP connections and for resetting them."""

import asyncio
import contextlib
import socket
import struct

import aiohttp
from aiohttp import web

# TCP_ESTABLISHED of the kernel's tcp_states.h.
_ESTABLISHED = 1


class ClosingResponse(aiohttp.ClientResponse):
    """A response that aborts its connection when closed early, without a graceful shutdown."""

    def close(self) -> None:
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()
        super().close()


def client_is_connected(raw: web.BaseRequest) -> bool:
    """Whether the kernel still considers the client's connection established."""
    connection = raw.transport.get_extra_info("socket") if raw.transport is not None else None
    if connection is None:
        return False
    with contextlib.suppress(OSError):
        return bool(connection.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED)
    return False


def reset(transport: asyncio.Transport) -> None:
    """Aborts a connection: the kernel sends RST instead of FIN."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            # Linger time zero makes close() send RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
