"""A program on the shared control plane is a user to whom the chart's own Roles are allowed, and nothing else.

So the tests of all that the controller does are a proof that these rights suffice.
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
    """What the chart allows the controller in the namespace of its Lease, and in each further one."""
    with TemporaryDirectory(prefix="gco-stream-helm-") as home:
        chart = Helm(helm(Cache(default_cache(), Progress(quiet=True))), Path(home))
        made = chart.render({"settings": {"INFERENCE_NAMESPACE": "first", "ALLOWED_NAMESPACES": ["further"]}})
    return made["Role/first/gco-stream"]["rules"], made["Role/further/gco-stream"]["rules"]


def as_installed(plane: ControlPlane, user: str, namespace: str, *further: str) -> Path:
    """The kubeconfig of a user who may do what an installed chart's controller may in these namespaces."""
    first, others = charts_rules()
    allow(plane.kube, user, namespace, first)
    for one in further:
        allow(plane.kube, user, one, others)
    return plane.kubeconfig_for(user, groups=())


def allow(kube: KubeApi, user: str, namespace: str, rules: Rules) -> None:
    """A Role of these rules for the user; returns when the server knows of it."""
    name = user.replace(":", "-")
    kube.create(path_of("Role", namespace), {"metadata": {"name": name}, "rules": rules}, exist_ok=True)
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _API, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": _API, "kind": "User", "name": user}],
    }
    kube.create(path_of("RoleBinding", namespace), binding, exist_ok=True)
    kube.wait_for(lambda: may(kube, user, namespace, rules), what="the server knows the Role")


def may(kube: KubeApi, user: str, namespace: str, rules: Rules) -> bool:
    """Whether the server, which learns of Roles by a watch, lets the user do the first thing of the rules."""
    group, resource, verb = (rules[0][key][0] for key in ("apiGroups", "resources", "verbs"))
    asked = {"namespace": namespace, "group": group, "resource": resource, "verb": verb}
    review = {"spec": {"user": user, "resourceAttributes": asked}}
    return bool(kube.request("POST", _REVIEWS, review)["status"]["allowed"])
