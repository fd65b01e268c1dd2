"""A TCP relay to a port of 127.0.0.1: the network between one program and one server, which a test can cut.

While it hangs, it acts like a network that loses every packet: data sent meanwhile arrives after `restore`, unless the
sender resets the connection first.
"""

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final, Self

_CHUNK: Final = 2**16
_CONNECT_SECONDS: Final = 5.0
_PATIENCE: Final = 30.0
_RESET: Final = struct.pack("ii", 1, 0)
_HOST: Final = "127.0.0.1"


class _Side:
    """One socket of a connection, with the data to send to it and whether more may follow."""

    def __init__(self, own: socket.socket) -> None:
        self.socket = own
        self.unsent = b""
        self.ends = self.ended = False

    @property
    def broken(self) -> bool:
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def flush(self) -> None:
        """Sends pending data. Raises OSError."""
        if self.unsent:
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
            except BlockingIOError:
                return
        if self.ends and not self.unsent and not self.ended:
            self.ended = True
            self.socket.shutdown(socket.SHUT_WR)


class Relay:
    """A context manager; clients connect to `port` instead of the server's own port.

    `cut` resets all connections, including new ones. `hang` keeps connections open and accepts new ones, but transfers
    no data. `restore` transfers data again. Each call returns when it has taken effect.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._mode = "open"
        self._listener = socket.create_server((_HOST, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._pairs: list[tuple[_Side, _Side]] = []
        self._waiting: list[socket.socket] = []
        self._orders: list[tuple[str, threading.Event]] = []
        self._waker, self._wakened = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._wakened.setblocking(False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._order("closed")
        self._thread.join()
        for one in (self._listener, self._waker, self._wakened):
            one.close()
        self._selector.close()

    def cut(self) -> None:
        self._order("cut")

    def hang(self) -> None:
        self._order("hang")

    def restore(self) -> None:
        self._order("open")

    def _order(self, mode: str) -> None:
        done = threading.Event()
        self._orders.append((mode, done))
        self._waker.send(b".")
        assert done.wait(_PATIENCE), "the relay's thread has exited"

    def _run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, (self._listener, self._accept))
        self._selector.register(self._wakened, selectors.EVENT_READ, (self._wakened, self._apply_order))
        while self._mode != "closed":
            for key, _ in self._selector.select():
                one: socket.socket = key.data[0]
                act: Callable[[], None] = key.data[1]
                # An earlier action may have closed the socket.
                if one.fileno() >= 0:
                    act()

    def _apply_order(self) -> None:
        self._wakened.recv(_CHUNK)
        while self._orders:
            self._mode, done = self._orders.pop(0)
            if self._mode in ("cut", "closed"):
                for pair in list(self._pairs):
                    self._drop(pair)
                while self._waiting:
                    _reset(self._waiting.pop())
            elif self._mode == "open":
                while self._waiting:
                    self._connect(self._waiting.pop())
            for pair in list(self._pairs):
                self._watch(pair)
            done.set()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if self._mode == "cut":
            _reset(client)
        elif self._mode == "hang":
            self._waiting.append(client)
        else:
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((_HOST, self._target), timeout=_CONNECT_SECONDS)
        except OSError:
            _reset(client)
            return
        for one in (client, server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (_Side(client), _Side(server))
        self._pairs.append(pair)
        self._watch(pair)

    def _watch(self, pair: tuple[_Side, _Side]) -> None:
        """Waits for transfers that are possible now; for none while the relay hangs."""
        for own, other in (pair, pair[::-1]):
            wanted = 0
            if self._mode == "open":
                # Not reading while the other side is full slows the sender down, like a real network.
                wanted |= 0 if other.unsent or other.ends else selectors.EVENT_READ
                wanted |= selectors.EVENT_WRITE if own.unsent else 0
            known = own.socket in self._selector.get_map()
            if wanted:
                act = (own.socket, self._move_of(pair))
                (self._selector.modify if known else self._selector.register)(own.socket, wanted, act)
            elif known:
                self._selector.unregister(own.socket)

    def _move_of(self, pair: tuple[_Side, _Side]) -> Callable[[], None]:
        return lambda: self._move(pair)

    def _move(self, pair: tuple[_Side, _Side]) -> None:
        try:
            for own, other in (pair, pair[::-1]):
                # Data received before a reset can still be read after it.
                if own.broken:
                    raise ConnectionResetError
                if not other.unsent and not other.ends:
                    try:
                        received = own.socket.recv(_CHUNK)
                    except BlockingIOError:
                        continue
                    other.unsent, other.ends = received, not received
            for side in pair:
                side.flush()
        except OSError:
            self._drop(pair)
            return
        if all(side.ended for side in pair):
            self._forget(pair)
        else:
            self._watch(pair)

    def _drop(self, pair: tuple[_Side, _Side]) -> None:
        for side in pair:
            side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._forget(pair)

    def _forget(self, pair: tuple[_Side, _Side]) -> None:
        self._pairs.remove(pair)
        for side in pair:
            if side.socket in self._selector.get_map():
                self._selector.unregister(side.socket)
            side.socket.close()


def _reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    one.close()
