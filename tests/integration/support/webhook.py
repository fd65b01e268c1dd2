"""A mutating admission webhook for tests: a real HTTPS server that the API server calls before it stores an object.

The AWS Load Balancer Controller, image updaters and policy engines change other programs' writes in the same way.
"""

import base64
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import orjson

from gco_stream.local.certificates import Authority
from gco_stream.local.kube_api import KubeApi, path_of

Json = dict[str, Any]
Change = Callable[[Json, str], list[Json]]

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_PROBE = {"gco.local/webhook": "probe"}
_CLIENT_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One admission request of the API server."""

    operation: str
    kind: str
    name: str
    dry_run: bool


@dataclass
class Webhook:
    """The state of a webhook: `change(object, operation)` returns a JSON patch, or [] to change nothing.

    `change` may be replaced at any time. `asked`: every request so far. `probes`: requests that only check that the
    webhook is in force.
    """

    change: Change
    asked: list[AdmissionRequest] = field(default_factory=list)
    probes: int = 0

    def proven(self, request: Json) -> Json:
        """Returns the AdmissionResponse to a request that only checks that the webhook is in force."""
        self.probes += 1
        return _allowed(request)

    def answer(self, request: Json) -> Json:
        """Returns the AdmissionResponse to an AdmissionRequest."""
        # An object with a generated name has no name yet.
        name = request.get("name") or request["object"]["metadata"].get("generateName", "")
        self.asked.append(
            AdmissionRequest(request["operation"], request["kind"]["kind"], name, bool(request.get("dryRun")))
        )
        patch = self.change(request["object"], request["operation"])
        if not patch:
            return _allowed(request)
        return {**_allowed(request), "patchType": "JSONPatch", "patch": base64.b64encode(orjson.dumps(patch)).decode()}


@contextmanager
def mutating(kube: KubeApi, namespace: str, change: Change, *resources: str) -> Iterator[Webhook]:
    """Registers a webhook for creates and updates of `resources` ("pods", "deployments") in one namespace.

    It is in force between enter and exit. If `change` raises, the API server rejects the write.
    """
    hook = Webhook(change)
    authority = Authority()
    with _serving(hook, authority) as port:
        name = f"test-{uuid.uuid4().hex[:10]}"
        kube.create(CONFIGURATIONS, _configuration(name, namespace, f"https://127.0.0.1:{port}/", authority, resources))
        try:
            kube.wait_for(lambda: _is_asked(kube, namespace, hook), what="the webhook is in force")
            yield hook
        finally:
            kube.delete(f"{CONFIGURATIONS}/{name}")
            # Until the API server has noticed the removal, it rejects writes because it cannot call the webhook.
            kube.wait_for(lambda: not _is_asked(kube, namespace, hook), what="the webhook is removed")


def _is_asked(kube: KubeApi, namespace: str, hook: Webhook) -> bool:
    before = hook.probes
    probe = {"metadata": {"name": "probe", "labels": _PROBE}}
    kube.request("POST", path_of("ConfigMap", namespace), probe, query={"dryRun": "All"})
    return hook.probes > before


def _configuration(name: str, namespace: str, url: str, authority: Authority, resources: tuple[str, ...]) -> Json:
    def webhook(path: str, operations: list[str], resources: tuple[str, ...], objects: Json) -> Json:
        rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": operations, "resources": [*resources]}
        return {
            "name": f"{path}.test.gco.local",
            "clientConfig": {"url": url + path, "caBundle": base64.b64encode(authority.certificate).decode()},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "objectSelector": {"matchLabels": objects},
            "rules": [rule],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            # The maximum that the API server allows.
            "timeoutSeconds": 30,
            "admissionReviewVersions": ["v1"],
        }

    # The API server loads a configuration as a whole, so a call of the probe proves that both webhooks are in force.
    probed = webhook("probe", ["CREATE"], ("configmaps",), _PROBE)
    return {"metadata": {"name": name}, "webhooks": [webhook("change", ["CREATE", "UPDATE"], resources, {}), probed]}


def _allowed(request: Json) -> Json:
    return {"uid": request["uid"], "allowed": True}


@contextmanager
def _serving(hook: Webhook, authority: Authority) -> Iterator[int]:
    """Serves `hook` and yields the port."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _CLIENT_PATIENCE

        def do_POST(self) -> None:
            review = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = hook.proven if urlsplit(self.path).path == "/probe" else hook.answer
            body = orjson.dumps({**review, "request": None, "response": answer(review["request"])})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Suppresses the request log; `asked` is the log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        # The handshake runs in each connection's thread, so that a silent client does not block the others.
        server.socket = _context(authority).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _context(authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.server()
    with TemporaryDirectory() as folder:
        # ssl can load a certificate only from a file.
        file = Path(folder) / "server.pem"
        file.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(file)
    return context
