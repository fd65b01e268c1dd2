"""What stands in the cluster, as values: the form in which the cluster room shows objects and planning reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

JsonObject = dict[str, Any]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


def _empty() -> Mapping[str, Any]:
    return _EMPTY


class Kind(StrEnum):
    """The kinds that an endpoint is made of."""

    DEPLOYMENT = "Deployment"
    SERVICE = "Service"
    INGRESS = "Ingress"
    HPA = "HorizontalPodAutoscaler"


API_VERSIONS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.DEPLOYMENT: "apps/v1",
        Kind.SERVICE: "v1",
        Kind.INGRESS: "networking.k8s.io/v1",
        Kind.HPA: "autoscaling/v2",
    }
)


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """Which object: kind, namespace, name."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Ownership:
    """What an object's managedFields say of us and of the system we replace.

    `applied`: our server-side apply made or took over the object. `fields`: that entry's fieldsV1 ({} without one).
    `stamped`: we only annotated it (a merge patch by our manager). `legacy`: GCO's manager still holds fields.
    `replicas`: the second manager holds spec.replicas for the HPA.
    """

    applied: bool = False
    stamped: bool = False
    legacy: bool = False
    replicas: bool = False
    fields: Mapping[str, Any] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class ObservedObject:
    """One object as last seen: only the fields that planning reads.

    `spec` and `status` are plain JSON as the API server answers (defaults present); never change them in place.
    """

    ref: ObjectRef
    uid: str
    resource_version: str
    generation: int = 0
    deleting: bool = False
    labels: Mapping[str, str] = field(default_factory=_empty)
    annotations: Mapping[str, str] = field(default_factory=_empty)
    spec: Mapping[str, Any] = field(default_factory=_empty)
    status: Mapping[str, Any] = field(default_factory=_empty)
    ownership: Ownership = Ownership()

    @property
    def endpoint(self) -> str | None:
        """The endpoint that the object says it belongs to (gco.io/endpoint), if it says so."""
        return self.annotations.get("gco.io/endpoint")


@dataclass(frozen=True, slots=True)
class Observed:
    """All objects that may concern one endpoint, in every allowed namespace, by reference."""

    objects: Mapping[ObjectRef, ObservedObject]

    def get(self, kind: Kind, namespace: str, name: str) -> ObservedObject | None:
        """The object of that name, or None where there is none."""
        return self.objects.get(ObjectRef(kind, namespace, name))
