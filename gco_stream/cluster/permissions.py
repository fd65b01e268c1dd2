"""Permissions that the controller needs in a cluster: one list, checked by the doctor and granted by the Role."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gco_stream.cluster.api.client import KubeClient

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_OBJECTS: Final = ("get", "list", "watch", "create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource in one namespace; an empty `name` means all objects."""

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
    """All permissions that the controller needs in its endpoints' namespaces and in the Lease's."""
    for namespace in namespaces:
        for group, resource in (
            ("apps", "deployments"),
            ("", "services"),
            ("networking.k8s.io", "ingresses"),
            ("autoscaling", "horizontalpodautoscalers"),
        ):
            yield from (Permission(namespace, group, resource, verb) for verb in _OBJECTS)
        yield Permission(namespace, "apps", "deployments", "patch", subresource="scale")
        yield Permission(namespace, "", "pods", "list")
        yield from (Permission(namespace, "events.k8s.io", "events", verb) for verb in ("create", "patch", "list"))
    group = "coordination.k8s.io"
    yield Permission(lease_namespace, group, "leases", "create")
    yield from (Permission(lease_namespace, group, "leases", verb, name=lease) for verb in ("get", "watch", "update"))


async def is_granted(client: KubeClient, permission: Permission) -> bool:
    """Whether the API server grants this process the permission. Raises ClusterError."""
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
