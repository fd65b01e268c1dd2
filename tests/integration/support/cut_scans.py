"""A DynamoDB proxy whose scans fail: the first page holds half of the items, and the next page never arrives."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import urllib3


class HalfScans:
    """A proxy's address and state. `cut`: whether it interrupts scans now. `cuts`: how many pages it has refused."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.pool = urllib3.PoolManager(maxsize=32, retries=False)
        self.url = ""
        self.cut = False
        self.cuts = 0


@contextmanager
def half_scans(target: str) -> Iterator[HalfScans]:
    """Forwards every request to `target`; once `cut` is set, interrupts scans."""
    one = HalfScans(target)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(one)) as server:
        server.daemon_threads = True
        one.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield one
        finally:
            server.shutdown()
            thread.join()
    one.pool.clear()


def _handler(one: HalfScans) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            scan = one.cut and self.headers.get("X-Amz-Target", "").endswith(".Scan")
            if scan and "ExclusiveStartKey" in orjson.loads(body):
                one.cuts += 1
                self.answer(500, orjson.dumps({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}))
                return
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            answer = one.pool.request("POST", one.target + self.path, body=body, headers=headers)
            self.answer(answer.status, _half(answer.data) if scan and answer.status == 200 else answer.data)

        def answer(self, status: int, payload: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base's
            """Suppresses the request log."""

    return Handler


def _half(page: bytes) -> bytes:
    found = orjson.loads(page)
    items = found["Items"][: max(1, len(found["Items"]) // 2)]
    last = {"endpoint_name": items[-1]["endpoint_name"]}
    return orjson.dumps({**found, "Items": items, "Count": len(items), "LastEvaluatedKey": last})
