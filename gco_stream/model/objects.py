"""Value types for live Kubernetes objects. gco_stream.cluster creates them, and gco_stream.planning reads them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import orjson

JsonObject = dict[str, Any]

_HASH_LENGTH = 32

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
    """Ownership of an object's fields, according to its managedFields.

    `applied`: our field manager has an Apply entry, so we created or adopted the object. `stamped`: it has an Update
    entry, because we annotated or patched the object. `legacy`: GCO's field manager still owns fields. `replicas`: our
    second field manager applied spec.replicas, which the HPA changes. `fields`: the fieldsV1 of our Apply entry; {}
    without one.
    """

    applied: bool = False
    stamped: bool = False
    legacy: bool = False
    replicas: bool = False
    fields: Mapping[str, Any] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class ObservedObject:
    """The last observed state of one object, reduced to the fields that planning reads.

    `spec` and `status` are JSON from the API server and must not be modified. `spec` includes defaults; `status` is {}
    except for a Deployment. `created`: creation time of an Ingress; "" for other kinds. `deleting_since` and
    `finalizers`: deletion timestamp and remaining finalizers of a terminating object; "" and () for all others. Times
    are in RFC 3339.
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
        """The value of the gco.io/endpoint annotation; None if it is missing."""
        return self.annotations.get("gco.io/endpoint")


@dataclass(frozen=True, slots=True)
class PodHealth:
    """The health of one pod.

    `reason`: why the pod is not ready, such as "ImagePullBackOff", "Unschedulable: ..." or "readiness gate ... is not
    met"; "" if it is ready. It contains no times or counts, so it changes only if the cause changes. `gated`: the
    containers are ready, but a readiness gate is not met. `has_gates`: the pod has readiness gates, met or not.
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

    `pods`: the pods of the main Deployment; None if they were not listed.
    """

    objects: Mapping[ObjectRef, ObservedObject]
    pods: tuple[PodHealth, ...] | None = None

    def get(self, kind: Kind, namespace: str, name: str) -> ObservedObject | None:
        """Returns the object, or None if it does not exist."""
        return self.objects.get(ObjectRef(kind, namespace, name))


def canonical_hash(value: Any) -> str:
    """Returns the first 32 hex digits of the SHA-256 of a JSON value. The key order of maps does not matter.

    Lists and tuples are equivalent. Raises TypeError for a value that cannot be serialized.
    """
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_HASH_LENGTH]
