"""Kills the program at a chosen write, to the cluster or to the table, before or after the write is stored.

An admission webhook sees every write to the cluster before it is stored, and a proxy sees every write to the table
before it is sent. The moment of the crash therefore does not depend on the speed of the machine.
"""

import base64
import os
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import urllib3

from gco_stream.local.certificates import Authority
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from tests.integration.support.harness.program import Program

_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_TABLE_WRITES = ("UpdateItem", "DeleteItem")


Send = Callable[[], urllib3.BaseHTTPResponse]


class CrashGate:
    """Receives every write of one program; when armed, passes a number of writes and kills the program at the next one.

    `proxy_url` is the DynamoDB endpoint for the program.
    """

    def __init__(self, plane: ControlPlane, user: str) -> None:
        self._plane = plane
        self._user = user
        self._lock = threading.Lock()
        self._left: int | None = None
        self._lands = False
        self._pid = 0
        self.proxy_url = ""
        self.crossed: list[str] = []
        self.struck = threading.Event()
        self.asked = threading.Event()

    def arm(self, one: Program, *, passing: int, lands: bool) -> None:
        """Arms the gate: after `passing` writes, the program is killed at the next one.

        If `lands` is true, the program is killed after that write is stored; otherwise the write is discarded.
        """
        with self._lock:
            self._left, self._lands, self._pid = passing, lands, one.pid
            self.struck.clear()

    def disarm(self) -> bool:
        """Disarms the gate and returns whether it has fired; the program may take a moment longer to exit."""
        with self._lock:
            armed, self._left = self._left is not None, None
            return not armed

    def _should_crash(self, write: str) -> bool:
        with self._lock:
            self.crossed.append(write)
            if self._left is None:
                return False
            self._left -= 1
            if self._left >= 0:
                return False
            self._left = None
            return True

    def admit(self, request: dict[str, Any]) -> bool:
        """Returns whether the API server may store the request."""
        self.asked.set()
        if request["userInfo"]["username"] != self._user:
            return True
        write = f"{request['operation']} {request['kind']['kind']}/{request['name']}"
        if not self._should_crash(write):
            return True
        if not self._lands:
            os.kill(self._pid, signal.SIGKILL)
            self.struck.set()
            return False
        # The API server cancels a request when its client disconnects, so the program is stopped until the write is
        # stored.
        os.kill(self._pid, signal.SIGSTOP)
        threading.Thread(target=self._kill_once_stored, args=(self._plane.audit.mark(), request)).start()
        return True

    def _kill_once_stored(self, mark: int, request: dict[str, Any]) -> None:
        def stored() -> bool:
            return any(
                (call.resource, call.name) == (request["resource"]["resource"], request["name"])
                for call in self._plane.audit.calls(mark, user=self._user)
            )

        self._plane.kube.wait_for(stored, what="the write is stored")
        os.kill(self._pid, signal.SIGKILL)
        self.struck.set()

    def pass_on(self, operation: str, send: Send) -> urllib3.BaseHTTPResponse | None:
        """Returns DynamoDB's answer, or None if the program was killed."""
        if operation not in _TABLE_WRITES or not self._should_crash(operation):
            return send()
        if self._lands:
            send()
        os.kill(self._pid, signal.SIGKILL)
        self.struck.set()
        return None


@contextmanager
def gate(plane: ControlPlane, namespace: str, user: str, folder: Path) -> Iterator[CrashGate]:
    """Puts a gate in front of one namespace and, through its proxy, in front of DynamoDB."""
    one = CrashGate(plane, user)
    with ExitStack() as stack:
        one.proxy_url = stack.enter_context(proxy(plane.dynamodb_url, one.pass_on))
        authority = Authority()
        port = stack.enter_context(_serving(_webhook(one), _tls(authority, folder)))
        stack.enter_context(_registered(plane.kube, namespace, port, authority.certificate, one.asked))
        yield one


@contextmanager
def proxy(target: str, pass_on: Callable[[str, Send], urllib3.BaseHTTPResponse | None]) -> Iterator[str]:
    """Yields the address of a DynamoDB proxy; `pass_on` receives each operation's name and a function that sends it."""
    with _serving(_proxy(target, pass_on)) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _tls(authority: Authority, folder: Path) -> ssl.SSLContext:
    pair = authority.server()
    file = folder / "webhook.pem"
    file.write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, payload: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its base's
        """Suppresses the request log."""


def _webhook(one: CrashGate) -> type[BaseHTTPRequestHandler]:
    class Webhook(_Handler):
        def do_POST(self) -> None:
            request = orjson.loads(self.body())["request"]
            review = {
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": {"uid": request["uid"], "allowed": one.admit(request)},
            }
            self.answer(200, orjson.dumps(review), "application/json")

    return Webhook


def _proxy(
    target: str, pass_on: Callable[[str, Send], urllib3.BaseHTTPResponse | None]
) -> type[BaseHTTPRequestHandler]:
    pool = urllib3.PoolManager(maxsize=32, retries=False)

    class Proxy(_Handler):
        def do_POST(self) -> None:
            body, headers = self.body(), {name: value for name, value in self.headers.items() if name != "Host"}

            def send() -> urllib3.BaseHTTPResponse:
                return pool.request("POST", target + self.path, body=body, headers=headers, decode_content=False)

            answer = pass_on(headers.get("X-Amz-Target", "").rpartition(".")[2], send)
            if answer is None:
                self.close_connection = True
            else:
                self.answer(answer.status, answer.data, answer.headers.get("Content-Type", ""))

    return Proxy


@contextmanager
def _registered(kube: KubeApi, namespace: str, port: int, authority: bytes, asked: threading.Event) -> Iterator[None]:
    groups = {
        "": ["services"],
        "apps": ["deployments"],
        "networking.k8s.io": ["ingresses"],
        "autoscaling": ["horizontalpodautoscalers"],
    }
    webhook = {
        "name": "gate.gco.local",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 30,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/",
            "caBundle": base64.b64encode(authority).decode(),
        },
        "rules": [
            {
                "apiGroups": [group],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE", "DELETE"],
                "resources": resources,
            }
            for group, resources in groups.items()
        ],
    }
    name = f"gate-{namespace}"
    kube.create(_WEBHOOKS, {"metadata": {"name": name}, "webhooks": [webhook]})
    probe = {"metadata": {"name": "probe"}, "spec": {"ports": [{"port": 1}]}}

    def is_asked() -> bool:
        kube.request("POST", path_of("Service", namespace), probe, query={"dryRun": "All"})
        return asked.is_set()

    try:
        # The API server starts to call a new webhook with a short delay.
        kube.wait_for(is_asked, what="the API server calls the gate")
        yield
    finally:
        kube.delete(f"{_WEBHOOKS}/{name}")
