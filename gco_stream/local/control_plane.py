"""The local control plane: starts and stops its servers, and creates the objects that GCO expects in a cluster."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import orjson

from gco_stream.local import certificates
from gco_stream.local.audit import POLICY, AuditLog
from gco_stream.local.cluster_fixtures import create_ingress_class, create_namespace, create_nodes
from gco_stream.local.kube_api import KubeApi
from gco_stream.local.ports import Ports
from gco_stream.local.progress import Progress
from gco_stream.local.servers import dynamodb, kubernetes
from gco_stream.local.servers.processes import Recipe, Server, listens
from gco_stream.local.toolchain.build import Binaries, binaries
from gco_stream.local.toolchain.cache import Cache, default_cache

NAMESPACE = "gco-inference"
TABLE = "gco-inference-endpoints"
CLUSTER = "local"

_START_SECONDS = 120.0
_ADMINS = ("system:masters",)


class ControlPlane:
    """Kubernetes and DynamoDB on 127.0.0.1, as a context manager that starts and stops them.

    All files are written to `folder`, which must not belong to another control plane. `controllers=False` leaves out
    kube-controller-manager, kube-scheduler, kwok and the nodes. `dynamodb=False` leaves out DynamoDB Local. `parts`:
    the binaries to run, None to find or build them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        controllers: bool = True,
        dynamodb: bool = True,
        parts: Binaries | None = None,
        progress: Progress | None = None,
    ):
        self.folder = folder.absolute()
        self.servers: dict[str, Server] = {}
        self.audit = AuditLog(self.folder / "audit.log")
        self.kubeconfig = self.folder / "kubeconfig"
        self._controllers = controllers
        self._with_dynamodb = dynamodb
        self._parts = parts
        self._cache = Cache(default_cache(), progress or Progress(quiet=True))
        self._ports = Ports(self._cache.root / "ports")
        self._authority = certificates.Authority()
        self._kube: KubeApi | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def kube(self) -> KubeApi:
        """Client for the API server with administrator permissions. Raises RuntimeError before `start`."""
        if self._kube is None:
            raise RuntimeError("the control plane has not been started")
        return self._kube

    @property
    def server_url(self) -> str:
        """URL of the API server."""
        return f"https://127.0.0.1:{self.servers['kube-apiserver'].port}"

    @property
    def dynamodb_url(self) -> str:
        """URL of DynamoDB Local, for tables and streams."""
        return f"http://127.0.0.1:{self.servers['dynamodb'].port}"

    def prepare(self) -> Binaries:
        """Finds or builds the binaries if `start` has not done so yet. The first build takes minutes.

        Raises:
            BuildError: a binary could not be built.
        """
        self._parts = self._parts or binaries(self._cache)
        return self._parts

    def start(self) -> None:
        """Starts the servers and waits until they are ready. If this fails, stops those that were started.

        Raises:
            BuildError: as for `prepare`.
            StartError: a server exited or was not ready within two minutes.
        """
        parts = self.prepare()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start(parts)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops all servers and releases their ports. Keeps the logs."""
        if self._kube is not None:
            self._kube.close()
            self._kube = None
        for server in reversed(self.servers.values()):
            server.stop()
        self._ports.release()

    def restart(self, name: str) -> None:
        """Kills the server `name`, starts it again on the same port and waits until it is ready.

        etcd keeps its data. DynamoDB Local loses its tables.
        """
        server = self.servers[name]
        server.stop()
        server.start()
        server.wait_ready(time.monotonic() + _START_SECONDS)

    def free_port(self) -> int:
        """Reserves a free port on 127.0.0.1 for another server until `stop`, and returns it."""
        return self._ports.reserve()

    def remove(self) -> None:
        """Removes the folder with the logs. Call it only after `stop`."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = _ADMINS) -> Path:
        """Writes a kubeconfig for `user` and returns its path. The audit log identifies calls by the user name.

        The user is an administrator by default. With `groups=()`, it has only the permissions that RBAC objects grant.
        """
        path = self.folder / f"kubeconfig-{user.replace(':', '-')}"
        pair = self._authority.client(user, groups)
        config = certificates.kubeconfig(self.server_url, self._authority.certificate, user, pair)
        return certificates.write_private(path, config)

    def environment(self, *, namespace: str = NAMESPACE, table: str = TABLE, user: str = "admin") -> dict[str, str]:
        """Returns the environment variables that connect gco-stream to this control plane."""
        config = self.kubeconfig if user == "admin" else self.kubeconfig_for(user)
        return {
            "KUBECONFIG": str(config),
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamodb_url,
            "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": self.dynamodb_url,
            **dynamodb.CREDENTIALS,
            "AWS_REGION": dynamodb.REGION,
            "AWS_DEFAULT_REGION": dynamodb.REGION,
            "REGION": dynamodb.REGION,
            "DYNAMODB_REGION": dynamodb.REGION,
            "CLUSTER_NAME": CLUSTER,
            "INFERENCE_NAMESPACE": namespace,
            "INFERENCE_ENDPOINTS_TABLE_NAME": table,
        }

    def _start(self, parts: Binaries) -> None:
        deadline = time.monotonic() + _START_SECONDS
        if self._with_dynamodb:
            self._run(dynamodb.recipe(parts.java, parts.dynamodb, self._ports.reserve(), self._own("dynamodb")))
        etcd_port = self._ports.reserve()
        self._run(kubernetes.etcd(parts.etcd, etcd_port, self._ports.reserve(), self._own("etcd")))
        # kube-apiserver retries connecting to etcd only once a second, and exits if etcd does not respond in time.
        self.servers["etcd"].wait_ready(deadline)
        self._start_apiserver(parts, etcd_port, deadline)
        if self._controllers:
            for make, binary, user in (
                (kubernetes.controller_manager, parts.kube_controller_manager, "system:kube-controller-manager"),
                (kubernetes.scheduler, parts.kube_scheduler, "system:kube-scheduler"),
                (kubernetes.kwok, parts.kwok, "kwok"),
            ):
                self._run(make(binary, self.kubeconfig_for(user), self._own(binary.name)))
            create_nodes(self.kube)
        create_ingress_class(self.kube)
        create_namespace(self.kube, NAMESPACE)
        for server in self.servers.values():
            server.wait_ready(deadline)

    def _start_apiserver(self, parts: Binaries, etcd_port: int, deadline: float) -> None:
        port = self._ports.reserve()
        folder = self._own("kube-apiserver")
        serving, admin = self._authority.server(), self._authority.client("admin", _ADMINS)

        def put(name: str, data: bytes) -> Path:
            return certificates.write_private(folder / name, data)

        files = kubernetes.ApiServerFiles(
            authority=put("authority.crt", self._authority.certificate),
            certificate=put("server.crt", serving.certificate),
            key=put("server.key", serving.key),
            signing_key=put("tokens.key", certificates.signing_key()),
            audit_policy=put("audit-policy.json", orjson.dumps(POLICY)),
        )
        kube = KubeApi(f"https://127.0.0.1:{port}", self._authority.certificate, admin)
        self._run(
            kubernetes.apiserver(
                parts.kube_apiserver,
                files,
                port=port,
                etcd_port=etcd_port,
                audit_log=self.audit.path,
                folder=folder,
                ready=lambda: listens(port) and kube.healthy(),
            )
        )
        self._kube = kube
        config = certificates.kubeconfig(self.server_url, self._authority.certificate, "admin", admin)
        certificates.write_private(self.kubeconfig, config)
        self.servers["kube-apiserver"].wait_ready(deadline)

    def _own(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _run(self, recipe: Recipe) -> None:
        server = self.servers[recipe.name] = Server(recipe)
        server.start()
