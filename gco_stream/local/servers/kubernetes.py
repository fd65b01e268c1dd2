"""Recipes for etcd, the Kubernetes servers and kwok."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gco_stream.local.servers.processes import Recipe, listens

SERVICE_RANGE = "10.96.0.0/12"
POD_RANGE = "10.128.0.0/9"

# Collecting garbage less often takes a fifth less CPU in the API server, for some 200 MiB more memory.
_GO = {"GOGC": "400"}
_STAGES = Path(__file__).with_name("stages.yaml")
_CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "garbage-collector-controller",
    "endpointslice-controller",
    "serviceaccount-controller",
    "namespace-controller",
    "horizontal-pod-autoscaler-controller",
)
# ServiceAccount would reject the endpoints' pods, because their service accounts do not exist here.
# TaintNodesByCondition taints new nodes, and StorageObjectInUseProtection adds finalizers. The controllers that remove
# these taints and finalizers do not run here.
_NO_ADMISSION = ("ServiceAccount", "TaintNodesByCondition", "StorageObjectInUseProtection")


@dataclass(frozen=True, slots=True)
class ApiServerFiles:
    """Files that the API server reads: keys and certificates in PEM format, and the audit policy."""

    authority: Path
    certificate: Path
    key: Path
    signing_key: Path
    audit_policy: Path


def etcd(binary: Path, port: int, peer_port: int, folder: Path) -> Recipe:
    """Returns the recipe for etcd without fsync. The data survives a restart of etcd, but not a machine crash."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return Recipe(
        name="etcd",
        command=[
            binary,
            f"--data-dir={folder / 'data'}",
            "--unsafe-no-fsync",
            # Same value as in kubeadm. Without it, the API server sends no bookmarks for resources that never change.
            "--watch-progress-notify-interval=5s",
            "--log-level=warn",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--quota-backend-bytes={4 << 30}",
        ],
        folder=folder,
        port=port,
        ready=lambda: listens(port),
    )


def apiserver(
    binary: Path,
    files: ApiServerFiles,
    *,
    port: int,
    etcd_port: int,
    audit_log: Path,
    folder: Path,
    ready: Callable[[], bool],
) -> Recipe:
    """Returns the recipe for kube-apiserver with TLS, RBAC and an audit log. `ready` is its readiness check."""
    return Recipe(
        name="kube-apiserver",
        command=[
            binary,
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--external-hostname=127.0.0.1",
            # The API server cannot publish itself as the endpoint of the Service "kubernetes" on a loopback address.
            "--endpoint-reconciler-type=none",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--client-ca-file={files.authority}",
            f"--tls-cert-file={files.certificate}",
            f"--tls-private-key-file={files.key}",
            f"--cert-dir={folder / 'certificates'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={files.signing_key}",
            f"--service-account-signing-key-file={files.signing_key}",
            f"--disable-admission-plugins={','.join(_NO_ADMISSION)}",
            f"--audit-policy-file={files.audit_policy}",
            f"--audit-log-path={audit_log}",
            # In a load test on a small machine, slow requests add up to more than the default limits allow.
            "--max-requests-inflight=1200",
            "--max-mutating-requests-inflight=600",
        ],
        folder=folder,
        port=port,
        ready=ready,
        environment=_GO,
    )


def controller_manager(binary: Path, kubeconfig: Path, folder: Path) -> Recipe:
    """Returns the recipe for kube-controller-manager with only the controllers that endpoints need.

    Its client may send 500 requests per second, instead of 20 by default.
    """
    return Recipe(
        name="kube-controller-manager",
        command=[
            binary,
            f"--kubeconfig={kubeconfig}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ],
        folder=folder,
    )


def scheduler(binary: Path, kubeconfig: Path, folder: Path) -> Recipe:
    """Returns the recipe for kube-scheduler, with the same client rate limit as kube-controller-manager."""
    return Recipe(
        name="kube-scheduler",
        command=[
            binary,
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ],
        folder=folder,
    )


def kwok(binary: Path, kubeconfig: Path, folder: Path) -> Recipe:
    """Returns the recipe for kwok, which simulates the kubelets of all nodes with the stages in stages.yaml."""
    return Recipe(
        name="kwok",
        command=[
            binary,
            f"--kubeconfig={kubeconfig}",
            f"--config={_STAGES}",
            "--manage-all-nodes",
            "--node-lease-duration-seconds=0",
            f"--cidr={POD_RANGE}",
        ],
        folder=folder,
    )
