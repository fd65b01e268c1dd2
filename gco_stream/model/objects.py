"""Live Kubernetes objects as values, as cluster/ provides them and planning/ reads them."""

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
    """Kinds of the objects of an endpoint, in the order in which they are shown. See gco_stream.model.kinds."""

    DEPLOYMENT = "Deployment"
    SERVICE = "Service"
    INGRESS = "Ingress"
    HPA = "HorizontalPodAutoscaler"


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """Reference to an object: kind, namespace and name."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def ref_of(manifest: Mapping[str, Any]) -> ObjectRef:
    """Returns the reference of the object in a manifest, which has a kind and metadata."""
    metadata = manifest["metadata"]
    return ObjectRef(Kind(manifest["kind"]), metadata["namespace"], metadata["name"])


@dataclass(frozen=True, slots=True)
class Ownership:
    """Ownership of an object's fields, from its managedFields.

    `applied`: our server-side apply created or adopted the object. `fields`: the fieldsV1 of that entry ({} if there is
    none). `stamped`: we only annotated the object, by a merge patch with our manager. `legacy`: GCO's manager still
    owns fields. `replicas`: our second field manager owns spec.replicas for the HPA.
    """

    applied: bool = False
    stamped: bool = False
    legacy: bool = False
    replicas: bool = False
    fields: Mapping[str, Any] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class ObservedObject:
    """The last observed state of one object, reduced to the fields that planning reads.

    `spec` and `status` are plain JSON as returned by the API server, defaults included; never modify them. `created` is
    the creation time of an Ingress ("" for other kinds). For an object that is terminating, `deleting_since` is the
    time at which its deletion was requested and `finalizers` are the ones it still waits for (otherwise "" and ()).
    Times are RFC 3339.
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
        """The endpoint that the object's gco.io/endpoint annotation names, if it has one."""
        return self.annotations.get("gco.io/endpoint")


@dataclass(frozen=True, slots=True)
class PodHealth:
    """The health of one pod.

    `reason` is why it is not ready, "" if it is ready: the reason of a waiting container ("ImagePullBackOff"),
    "Unschedulable: ...", "readiness gate ... is not met". It contains neither times nor counts, so that it changes only
    with the cause. `gated`: the containers are ready and only a readiness gate is not met. `has_gates`: the pod has
    readiness gates, met or not.
    """

    name: str
    containers_ready: bool
    ready: bool
    reason: str = ""
    gated: bool = False
    has_gates: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """All objects that may belong to one endpoint, in every allowed namespace, by reference.

    `pods` are those of the main Deployment; None if they were not fetched.
    """

    objects: Mapping[ObjectRef, ObservedObject]
    pods: tuple[PodHealth, ...] | None = None

    def get(self, kind: Kind, namespace: str, name: str) -> ObservedObject | None:
        """Returns the object with this name, or None if it does not exist."""
        return self.objects.get(ObjectRef(kind, namespace, name))
