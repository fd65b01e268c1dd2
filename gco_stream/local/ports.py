"""Reserves loopback ports, which stay reserved while their servers restart.

The ports are below the ephemeral port range, and a file lock is held for each. Therefore, neither another control plane
nor an outgoing connection can take a reserved port.
"""

import fcntl
import random
import socket
from pathlib import Path
from typing import TextIO

from gco_stream.local.errors import StartError

_FIRST, _LAST = 21000, 29999


class Ports:
    """Reserved ports, with their lock files in `folder`. All control planes of a user share this folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._held: list[TextIO] = []

    def reserve(self) -> int:
        """Reserves a free port on 127.0.0.1 until `release`, and returns it.

        Raises:
            StartError: no port is free.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        count = _LAST - _FIRST + 1
        offset = random.randrange(count)  # noqa: S311 - only spreads the starting points
        for step in range(count):
            port = _FIRST + (offset + step) % count
            file = (self._folder / f"{port}.lock").open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                continue
            if _is_free(port):
                self._held.append(file)
                return port
            file.close()
        raise StartError(f"no free port between {_FIRST} and {_LAST} on 127.0.0.1")

    def release(self) -> None:
        """Releases all ports, but keeps the lock files.

        If a file were deleted while another process has it open, two processes could lock the same port.
        """
        for file in self._held:
            file.close()
        self._held.clear()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
