"""Permissions that the controller needs in a cluster. The doctor checks them; the chart's Roles grant them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gco_stream.cluster.api.client import KubeClient
from gco_stream.model.kinds import RESOURCES

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_OBJECTS: Final = ("get", "list", "watch", "create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource in one namespace. An empty `name` means all objects."""

    namespace: str
    group: str
    resource: str
    verb: str
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {resource}{f' {self.name}' if self.name else ''} in {self.namespace}"


def required_permissions(namespaces: tuple[str, ...], lease_namespace: str, lease: str) -> Iterator[Permission]:
    """Yields the permissions that the controller needs in the namespaces of its endpoints and of its Lease."""
    for namespace in namespaces:
        for resource in RESOURCES.values():
            yield from (Permission(namespace, resource.group, resource.plural, verb) for verb in _OBJECTS)
        yield Permission(namespace, "apps", "deployments", "patch", subresource="scale")
        yield Permission(namespace, "", "pods", "list")
        yield from (Permission(namespace, "events.k8s.io", "events", verb) for verb in ("create", "patch", "list"))
    group = "coordination.k8s.io"
    yield Permission(lease_namespace, group, "leases", "create")
    yield from (Permission(lease_namespace, group, "leases", verb, name=lease) for verb in ("get", "watch", "update"))


async def is_granted(client: KubeClient, permission: Permission) -> bool:
    """Returns whether this process has the permission according to the API server. Raises ClusterError."""
    attributes = {
        "namespace": permission.namespace,
        "group": permission.group,
        "resource": permission.resource,
        "subresource": permission.subresource,
        "verb": permission.verb,
        "name": permission.name,
    }
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    body = {**review, "spec": {"resourceAttributes": attributes}}
    answer = await client.request("POST", _REVIEWS, body=body)
    return bool(answer.get("status", {}).get("allowed"))
