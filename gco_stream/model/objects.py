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
    `created`: when an Ingress was made; `deleting_since`: when the deletion of one that is terminating was asked for
    (RFC 3339; "" otherwise), and `finalizers` what such a one waits for (() otherwise).
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
    created: str = ""
    deleting_since: str = ""
    finalizers: tuple[str, ...] = ()

    @property
    def endpoint(self) -> str | None:
        """The endpoint that the object says it belongs to (gco.io/endpoint), if it says so."""
        return self.annotations.get("gco.io/endpoint")


@dataclass(frozen=True, slots=True)
class PodHealth:
    """How one pod fares.

    `reason` says why it is not ready, "" where it is: a waiting container's reason ("ImagePullBackOff"),
    "Unschedulable: ...", "readiness gate ... is not met". It has neither times nor counts, so that it changes only when
    the trouble does. `gated`: the containers are ready, and the pod only waits for a readiness gate. `has_gates`: it
    has such gates, met or not.
    """

    name: str
    containers_ready: bool
    ready: bool
    reason: str = ""
    gated: bool = False
    has_gates: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """All objects that may concern one endpoint, in every allowed namespace, by reference.

    `pods`: the main Deployment's; None where nobody looked.
    """

    objects: Mapping[ObjectRef, ObservedObject]
    pods: tuple[PodHealth, ...] | None = None

    def get(self, kind: Kind, namespace: str, name: str) -> ObservedObject | None:
        """The object of that name, or None where there is none."""
        return self.objects.get(ObjectRef(kind, namespace, name))
