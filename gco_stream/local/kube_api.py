"""Synchronous Kubernetes client with raw JSON, for tests and setup scripts.

It shares no code with the controller's client in `gco_stream.cluster`, so that tests do not use that client to verify
its own results.
"""

import asyncio
import ssl
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import orjson
import urllib3

from gco_stream.local.certificates import Pair
from gco_stream.local.errors import KubeError

Json = dict[str, Any]
T = TypeVar("T")

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_POLL_SECONDS = 0.05
_KINDS = {
    "ConfigMap": ("/api/v1", "configmaps"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Endpoints": ("/api/v1", "endpoints"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
    "Event": ("/apis/events.k8s.io/v1", "events"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    "Ingress": ("/apis/networking.k8s.io/v1", "ingresses"),
    "IngressClass": ("/apis/networking.k8s.io/v1", "ingressclasses"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "Namespace": ("/api/v1", "namespaces"),
    "Node": ("/api/v1", "nodes"),
    "PersistentVolume": ("/api/v1", "persistentvolumes"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Pod": ("/api/v1", "pods"),
    "ReplicaSet": ("/apis/apps/v1", "replicasets"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "Secret": ("/api/v1", "secrets"),
    "Service": ("/api/v1", "services"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
}


def path_of(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """Returns the REST path of a collection, or of the object `name` if it is given."""
    prefix, plural = _KINDS[kind]
    parts = [prefix]
    if namespace is not None:
        parts.append(f"namespaces/{quote(namespace)}")
    parts.append(plural)
    if name is not None:
        parts.append(quote(name))
    return "/".join(parts)


class KubeApi:
    """Thread-safe client for the API server at the URL `server`.

    `authority`: the CA certificate of the server, in PEM format. `pair`: the client certificate and its key.
    """

    def __init__(self, server: str, authority: bytes, pair: Pair):
        self.server = server
        context = ssl.create_default_context(cadata=authority.decode())
        with NamedTemporaryFile() as file:
            # ssl can load a client certificate only from a file.
            file.write(pair.certificate + pair.key)
            file.flush()
            context.load_cert_chain(file.name)
        self._pool = urllib3.PoolManager(maxsize=16, ssl_context=context, retries=False)

    @classmethod
    def from_kubeconfig(cls, path: Path | str) -> Self:
        """Creates a client from a kubeconfig that `certificates.kubeconfig` returned."""
        config = orjson.loads(Path(path).read_bytes())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        pair = Pair(b64decode(user["client-certificate-data"]), b64decode(user["client-key-data"]))
        return cls(cluster["server"], b64decode(cluster["certificate-authority-data"]), pair)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout: float = 30,
    ) -> Json:
        """Sends one request and returns the JSON object in the response.

        Raises:
            KubeError: the server rejected the request.
            TimeoutError: no response within `timeout` seconds.
            ConnectionError: the connection failed.
        """
        url = self.server + path + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._pool.request(
                method,
                url,
                body=None if body is None else orjson.dumps(body),
                headers={"Content-Type": content_type, "Accept": "application/json"},
                timeout=timeout,
            )
        except urllib3.exceptions.TimeoutError as error:
            raise TimeoutError(f"{method} {path}: no response within {timeout:g} s") from error
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(f"{method} {path}: {error}") from error
        answer = _decoded(response.data)
        if response.status >= 400:
            raise KubeError(response.status, answer.get("reason", ""), answer.get("message", ""))
        return answer

    def get(self, path: str) -> Json:
        """Returns the object at `path`."""
        return self.request("GET", path)

    def find(self, path: str) -> Json | None:
        """Returns the object at `path`, or None if it does not exist."""
        try:
            return self.get(path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, *, labels: str = "") -> list[Json]:
        """Returns the items of a collection, optionally only those that match the label selector `labels`."""
        answer = self.request("GET", path, query={"labelSelector": labels} if labels else None)
        return list(answer["items"])

    def create(self, path: str, body: Json, *, exist_ok: bool = False) -> Json:
        """Creates `body` in the collection `path`. With `exist_ok`, returns the existing object if there is one."""
        try:
            return self.request("POST", path, body)
        except KubeError as error:
            if exist_ok and error.status == 409:
                return self.get(f"{path}/{body['metadata']['name']}")
            raise

    def patch(self, path: str, body: Any, *, content_type: str = MERGE_PATCH, **query: str) -> Json:
        """Patches the object at `path`, by default with a merge patch. `query`: parameters such as `fieldManager`."""
        return self.request("PATCH", path, body, query=query, content_type=content_type)

    def replace(self, path: str, body: Json) -> Json:
        """Replaces the object at `path` with `body`."""
        return self.request("PUT", path, body)

    def delete(self, path: str, body: Json | None = None) -> Json:
        """Deletes the object at `path`. `body`: optional DeleteOptions."""
        return self.request("DELETE", path, body)

    def healthy(self) -> bool:
        """Returns whether the API server's /readyz reports success."""
        try:
            return self._pool.request("GET", f"{self.server}/readyz", timeout=5.0).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def wait_for(self, condition: Callable[[], T], timeout: float = 120, what: str = "") -> T:
        """Polls `condition` until it returns a true value, and returns that value.

        Raises:
            TimeoutError: no true value within `timeout` seconds. The message has `what` and the last value.
        """
        deadline = time.monotonic() + timeout
        while not (seen := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"timed out after {timeout:g} s waiting for {what or condition!r}; last value: {seen!r}"
                )
            time.sleep(_POLL_SECONDS)
        return seen

    async def until(self, condition: Callable[[], T], timeout: float = 120, what: str = "") -> T:  # noqa: ASYNC109
        """Runs `wait_for` in a thread, without blocking the event loop."""
        return await asyncio.to_thread(self.wait_for, condition, timeout, what)

    def close(self) -> None:
        """Closes all connections."""
        self._pool.clear()


def _decoded(data: bytes) -> Json:
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {"message": data[:500].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {"message": str(answer)}
