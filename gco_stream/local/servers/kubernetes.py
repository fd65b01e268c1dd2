"""Command lines of etcd, the Kubernetes servers and kwok, with the reasons for their flags."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gco_stream.local.servers.processes import Recipe, listens

SERVICE_RANGE = "10.96.0.0/12"
POD_RANGE = "10.128.0.0/9"

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
# ServiceAccount: pods name service accounts that do not exist here. TaintNodesByCondition: it taints new nodes, and
# only the node lifecycle controller removes the taint. StorageObjectInUseProtection: its finalizers need a controller.
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
    """etcd without fsync. Its data survives a restart of the process, but not a crash of the machine."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return Recipe(
        name="etcd",
        command=[
            binary,
            f"--data-dir={folder / 'data'}",
            "--unsafe-no-fsync",
            # Same as kubeadm. Without it, the API server sends no bookmarks for resources that never change.
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
    """kube-apiserver with TLS, RBAC and an audit log."""
    return Recipe(
        name="kube-apiserver",
        command=[
            binary,
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--external-hostname=127.0.0.1",
            # The endpoint of the Service "kubernetes" must not be a loopback address.
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
            # Two cores answer slowly in a load test. Rejecting requests would not make them faster.
            "--max-requests-inflight=1200",
            "--max-mutating-requests-inflight=600",
        ],
        folder=folder,
        port=port,
        ready=ready,
    )


def controller_manager(binary: Path, kubeconfig: Path, folder: Path) -> Recipe:
    """kube-controller-manager with the controllers that endpoints need, and a client rate limit of 500 QPS, not 20."""
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
    """kube-scheduler, with the same raised client rate limit."""
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
    """kwok, which simulates the kubelet of every node with the stages in stages.yaml."""
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
