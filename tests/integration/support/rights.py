"""Gives a program on the shared control plane exactly the permissions of the chart's Roles.

Every integration test thereby also checks that these permissions suffice.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.progress import Progress
from gco_stream.local.toolchain.binaries import helm
from gco_stream.local.toolchain.cache import Cache, default_cache
from tests.chart.helm import Helm

_API = "rbac.authorization.k8s.io"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

Rules = list[dict[str, Any]]


@cache
def charts_rules() -> tuple[Rules, Rules]:
    """Returns the controller's rules from the chart: for the namespace of its Lease, and for each additional one."""
    with TemporaryDirectory(prefix="gco-stream-helm-") as home:
        chart = Helm(helm(Cache(default_cache(), Progress(quiet=True))), Path(home))
        made = chart.render({"settings": {"INFERENCE_NAMESPACE": "first", "ALLOWED_NAMESPACES": ["further"]}})
    return made["Role/first/gco-stream"]["rules"], made["Role/further/gco-stream"]["rules"]


def as_installed(plane: ControlPlane, user: str, namespace: str, *further: str) -> Path:
    """Returns the kubeconfig of a user with the permissions of an installed chart's controller in these namespaces."""
    first, others = charts_rules()
    allow(plane.kube, user, namespace, first)
    for one in further:
        allow(plane.kube, user, one, others)
    return plane.kubeconfig_for(user, groups=())


def allow(kube: KubeApi, user: str, namespace: str, rules: Rules) -> None:
    """Grants a user these rules by a Role, and waits until the API server enforces it."""
    name = user.replace(":", "-")
    kube.create(path_of("Role", namespace), {"metadata": {"name": name}, "rules": rules}, exist_ok=True)
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _API, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": _API, "kind": "User", "name": user}],
    }
    kube.create(path_of("RoleBinding", namespace), binding, exist_ok=True)
    kube.wait_for(lambda: may(kube, user, namespace, rules), what="the API server enforces the Role")


def may(kube: KubeApi, user: str, namespace: str, rules: Rules) -> bool:
    """Returns whether the user may do what the first rule allows; the API server learns of Roles by a watch."""
    group, resource, verb = (rules[0][key][0] for key in ("apiGroups", "resources", "verbs"))
    asked = {"namespace": namespace, "group": group, "resource": resource, "verb": verb}
    review = {"spec": {"user": user, "resourceAttributes": asked}}
    return bool(kube.request("POST", _REVIEWS, review)["status"]["allowed"])


# The permissions that the chart grants.
RIGHTS = {
    ("apps", "deployments"): "*",
    ("", "services"): "*",
    ("networking.k8s.io", "ingresses"): "*",
    ("autoscaling", "horizontalpodautoscalers"): "*",
    ("", "pods"): "get list",
    ("coordination.k8s.io", "leases"): "*",
    ("events.k8s.io", "events"): "create patch",
}


def grant(kube: KubeApi, namespace: str, user: str, rights: dict[tuple[str, str], str]) -> None:
    """Grants a user exactly these permissions in a namespace."""
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": verbs.split()}
        for (group, resource), verbs in rights.items()
    ]
    name = "gco-stream"
    kube.create(path_of("Role", namespace), {"metadata": {"name": name}, "rules": []}, exist_ok=True)
    kube.patch(path_of("Role", namespace, name), {"rules": rules})
    api = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
    }
    kube.create(path_of("RoleBinding", namespace), binding, exist_ok=True)
