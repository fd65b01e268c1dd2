"""Runs the program like a pod, with the files of a service account mounted at their usual path.

Memory is measured as in a pod, with a service account in a mount namespace. This requires Linux with user namespaces.
"""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.place import Place
from gco_stream.cluster.api.config import SERVICE_ACCOUNT
from gco_stream.local.kube_api import path_of

_NAME = "program"
_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
_SCRIPT = 'mount -t tmpfs pod "$1" && mkdir -p "$2" && cp "$3"/* "$2" && shift 3 && exec "$@"'
_TOKEN_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Pod:
    """What a program needs to run like a pod: prefix of the command, environment variables and user name."""

    prefix: Sequence[str]
    environment: dict[str, str]
    user: str


def pod(place: Place) -> Pod | None:
    """Creates the service account and its files. None if this machine does not allow user namespaces."""
    if shutil.which(_UNSHARE[0]) is None:
        return None
    if subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode:
        return None
    kube, namespace = place.plane.kube, place.namespace
    kube.create(path_of("ServiceAccount", namespace), {"metadata": {"name": _NAME}}, exist_ok=True)
    kube.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": namespace}],
        },
        exist_ok=True,
    )
    wanted: dict[str, Any] = {"spec": {"expirationSeconds": _TOKEN_SECONDS}}
    issued = kube.request("POST", f"{path_of('ServiceAccount', namespace, _NAME)}/token", wanted)
    folder = place.plane.folder / f"pod-{namespace}"
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(issued["status"]["token"])
    authority = place.access(place.user).configuration.ssl_ca_cert
    if authority is None:
        raise RuntimeError("the kubeconfig has no certificate authority")
    shutil.copy(authority, folder / "ca.crt")
    # The deepest parent folder that exists on every machine. The mount hides its other files from the program.
    root = Path(*SERVICE_ACCOUNT.parts[:3]).resolve()
    address = urlsplit(place.plane.server_url)
    environment = {name: value for name, value in place.environment.items() if name != "KUBECONFIG"}
    return Pod(
        prefix=[*_UNSHARE, "sh", "-c", _SCRIPT, "pod", str(root), str(SERVICE_ACCOUNT), str(folder)],
        environment={
            **environment,
            "KUBERNETES_SERVICE_HOST": str(address.hostname),
            "KUBERNETES_SERVICE_PORT": str(address.port),
        },
        user=f"system:serviceaccount:{namespace}:{_NAME}",
    )
