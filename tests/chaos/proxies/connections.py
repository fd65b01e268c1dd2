"""What an HTTP proxy has to know of the TCP connections under it, and to do to them."""

import asyncio
import contextlib
import socket
import struct

import aiohttp
from aiohttp import web

# TCP_ESTABLISHED of the kernel's tcp_states.h.
_ESTABLISHED = 1


class ClosingResponse(aiohttp.ClientResponse):
    """An answer that is given up in the middle takes its connection with it: nobody waits for a goodbye."""

    def close(self) -> None:
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()
        super().close()


def client_is_connected(raw: web.BaseRequest) -> bool:
    """Whether the client's connection is still whole, as the kernel knows it."""
    connection = raw.transport.get_extra_info("socket") if raw.transport is not None else None
    if connection is None:
        return False
    with contextlib.suppress(OSError):
        return bool(connection.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED)
    return False


def reset(transport: asyncio.Transport) -> None:
    """Ends a connection without a goodbye: the kernel sends RST instead of FIN."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            # No lingering.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
