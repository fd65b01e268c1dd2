"""A proxy before DynamoDB that holds a write on its way until the test lets it go: a race's order, chosen.

It sends the very bytes that it was given. DynamoDB Local does not look at signatures, so another address is no matter.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import urllib3

PATIENCE = 120.0
_LATER = orjson.dumps(
    {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "another such write is held"}
)


@dataclass(frozen=True, slots=True)
class Write:
    """A request that changes one item: DynamoDB's operation and its parameters."""

    operation: str
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.parameters["Key"]["endpoint_name"]["S"])

    @property
    def update(self) -> str:
        return str(self.parameters.get("UpdateExpression", ""))


Matching = Callable[[Write], bool]


def promotion(name: str) -> Matching:
    return lambda write: write.name == name and write.update.startswith("SET desired_state")


def purge(name: str) -> Matching:
    return lambda write: write.name == name and write.operation == "DeleteItem"


def report(name: str, region: str, state: str) -> Matching:
    """One region's report of a state, by whichever of the two expressions."""

    def matches(write: Write) -> bool:
        values = write.parameters.get("ExpressionAttributeValues", {})
        entry = values.get(":s") or values.get(":m", {}).get("M", {}).get(region, {})
        reporter = write.parameters.get("ExpressionAttributeNames", {}).get("#r", region)
        told = entry.get("M", {}).get("state", {}).get("S")
        return (write.name, reporter, told) == (name, region, state)

    return matches


@dataclass(eq=False)
class HeldWrite:
    """The first write that matches, from when it has come until it is let go; all after it pass.

    Meanwhile others that match are told to come later: whoever else finds the same thing due, a second after the first,
    does not do it instead.
    """

    matches: Matching
    came: threading.Event = field(default_factory=threading.Event)
    may_go: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    accepted: bool = False

    def wait(self) -> None:
        assert self.came.wait(PATIENCE), "the write to be held never came"

    def release(self) -> bool:
        """Sends it; whether DynamoDB has accepted it."""
        self.may_go.set()
        assert self.answered.wait(PATIENCE), "DynamoDB did not answer the held write"
        return self.accepted


class HeldWrites:
    """`url` is DynamoDB's address for the program. `slowness` gives the seconds that each write takes longer."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._pool = urllib3.PoolManager(maxsize=64, retries=False)
        self._lock = threading.Lock()
        self._wanted: list[HeldWrite] = []
        self._all: list[HeldWrite] = []
        self.slowness: Callable[[], float] = float
        self.url = ""

    def hold(self, matches: Matching) -> HeldWrite:
        one = HeldWrite(matches)
        with self._lock:
            self._wanted.append(one)
            self._all.append(one)
        return one

    def release_all(self) -> None:
        with self._lock:
            self._wanted.clear()
            for one in self._all:
                one.may_go.set()

    def send(self, operation: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        """The answer's status, content type and body."""
        held = None
        if operation in {"UpdateItem", "DeleteItem"}:
            write = Write(operation, orjson.loads(body))
            held = self._holder_of(write)
            if held is None and self._is_held(write):
                return 400, "application/x-amz-json-1.0", _LATER
            time.sleep(self.slowness())
        if held is not None:
            held.came.set()
            held.may_go.wait()
        answer = self._pool.request("POST", self._target + path, body=body, headers=headers, decode_content=False)
        if held is not None:
            held.accepted = answer.status == 200
            held.answered.set()
        return answer.status, answer.headers.get("Content-Type", ""), answer.data

    def _is_held(self, write: Write) -> bool:
        """Whether another one like it is held now."""
        with self._lock:
            return any(one.came.is_set() and not one.may_go.is_set() and one.matches(write) for one in self._all)

    def _holder_of(self, write: Write) -> HeldWrite | None:
        with self._lock:
            found = next((one for one in self._wanted if one.matches(write)), None)
            if found is not None:
                self._wanted.remove(found)
            return found


@contextmanager
def held_writes(target: str) -> Iterator[HeldWrites]:
    """A proxy before the DynamoDB at `target`; what is still held at the end is let go."""
    one = HeldWrites(target)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(one)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        one.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield one
        one.release_all()
        server.shutdown()
        thread.join()


def _handler(one: HeldWrites) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The answer's head and body are two writes, and the client must not wait for an acknowledgement between them.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            operation = headers.get("X-Amz-Target", "").rpartition(".")[2]
            status, kind, answer = one.send(operation, self.path, headers, body)
            # A client that has given up does not stop what was sent on.
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base's
            """Says nothing."""

    return Proxy
