"""A DynamoDB proxy that holds a write until the test releases it, so that a test chooses the order of a race.

Requests are forwarded byte for byte. DynamoDB Local does not verify signatures, so the different address is harmless.
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
    """A request that changes one item: the DynamoDB operation and its parameters."""

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
    """Matches one region's report of a state, in either form of the update expression."""

    def matches(write: Write) -> bool:
        values = write.parameters.get("ExpressionAttributeValues", {})
        entry = values.get(":s") or values.get(":m", {}).get("M", {}).get(region, {})
        reporter = write.parameters.get("ExpressionAttributeNames", {}).get("#r", region)
        told = entry.get("M", {}).get("state", {}).get("S")
        return (write.name, reporter, told) == (name, region, state)

    return matches


@dataclass(eq=False)
class HeldWrite:
    """Holds the first write that matches until it is released; later matches pass.

    While it is held, other matching writes are throttled. Otherwise another program that finds the same write due a
    second later would make it instead.
    """

    matches: Matching
    came: threading.Event = field(default_factory=threading.Event)
    may_go: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    accepted: bool = False

    def wait(self) -> None:
        assert self.came.wait(PATIENCE), "the write to be held never arrived"

    def release(self) -> bool:
        """Sends the held write and returns whether DynamoDB accepted it."""
        self.may_go.set()
        assert self.answered.wait(PATIENCE), "DynamoDB did not answer the held write"
        return self.accepted


class HeldWrites:
    """The held writes of one proxy.

    `url` is the DynamoDB endpoint for the program. `slowness` returns the delay of a write, in seconds.
    """

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
        """Forwards a request and returns the status, the content type and the body of the answer."""
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
        """Returns whether a held write matches this one."""
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
    """Runs a proxy for the DynamoDB at `target`; writes that are still held at the end are released."""
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
        # Headers and body are two writes; the second must not wait for the client's acknowledgement of the first.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            operation = headers.get("X-Amz-Target", "").rpartition(".")[2]
            status, kind, answer = one.send(operation, self.path, headers, body)
            # The request was forwarded even if the client has disconnected.
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base's
            """Suppresses the request log."""

    return Proxy
