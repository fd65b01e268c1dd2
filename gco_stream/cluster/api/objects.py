"""API paths of objects, and validation and conversion of the objects in API responses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from gco_stream.cluster.api.errors import ServerError
from gco_stream.model import names
from gco_stream.model.objects import API_VERSIONS, JsonObject, Kind, ObjectRef, ObservedObject, Ownership

_PLURALS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.DEPLOYMENT: "deployments",
        Kind.SERVICE: "services",
        Kind.INGRESS: "ingresses",
        Kind.HPA: "horizontalpodautoscalers",
    }
)
# Status fields of a Deployment that determine endpoint states. The status of other kinds is dropped: it is not used,
# and that of an HPA changes constantly.
_DEPLOYMENT_STATUS: Final = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
)
_IDENTITY: Final = ("name", "namespace", "uid")
_CONDITION: Final = ("type", "status", "reason", "message")
# kubectl's copy of the whole manifest; it is dropped because nothing reads it.
_UNREAD_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"


def collection_path(kind: Kind, namespace: str) -> str:
    """Returns the API path of a kind's collection in a namespace."""
    version = API_VERSIONS[kind]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{namespace}/{_PLURALS[kind]}"


def object_path(ref: ObjectRef) -> str:
    """Returns the API path of an object."""
    return f"{collection_path(ref.kind, ref.namespace)}/{ref.name}"


def checked(raw: object) -> JsonObject:
    """Returns `raw` if it is a Kubernetes object and not, for example, a proxy's response.

    Raises ServerError otherwise. The message omits the content, which may be confidential.
    """
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    if (
        not isinstance(raw, dict)
        or not isinstance(metadata, dict)
        or not all(isinstance(metadata.get(field), str) and metadata[field] for field in _IDENTITY)
        or not all(isinstance(raw.get(field) or {}, dict) for field in ("spec", "status"))
        or not all(isinstance(metadata.get(field) or {}, dict) for field in ("labels", "annotations"))
    ):
        raise ServerError(200, "", "the response is not a Kubernetes object")
    version_of(metadata)
    return raw


def version_of(metadata: object) -> str:
    """Returns the resourceVersion from the metadata of an object, a list or a bookmark.

    Raises ServerError if it is missing or not a number.
    """
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version.isdecimal():
        raise ServerError(200, "", "the response has no resourceVersion")
    return version


def items_of(answer: JsonObject) -> list[JsonObject]:
    """Removes the items from a list response and returns them.

    Raises ServerError if the response has no `items` field; null means an empty list.
    """
    items = answer.pop("items", False)
    if items is not None and not isinstance(items, list):
        raise ServerError(200, "", "the response is not a list")
    return items or []


def ref_of(manifest: Mapping[str, Any]) -> ObjectRef:
    """Returns a reference to a manifest's object. The manifest must contain the kind, namespace and name."""
    metadata = manifest["metadata"]
    return ObjectRef(Kind(manifest["kind"]), metadata["namespace"], metadata["name"])


def observe(raw: JsonObject, kind: Kind | None = None) -> ObservedObject:
    """Reduces an object to the fields that planning reads. Raises ServerError if `raw` is not a Kubernetes object.

    `kind` is required for the items of a list, because they do not include their kind.
    """
    metadata = checked(raw)["metadata"]
    kind = Kind(raw["kind"]) if kind is None else kind
    annotations = metadata.get("annotations") or {}
    deleting = "deletionTimestamp" in metadata
    if _UNREAD_ANNOTATION in annotations:
        annotations = {key: value for key, value in annotations.items() if key != _UNREAD_ANNOTATION}
    return ObservedObject(
        ref=ObjectRef(kind, metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=metadata.get("generation", 0),
        deleting=deleting,
        labels=metadata.get("labels") or {},
        annotations=annotations,
        spec=raw.get("spec") or {},
        status=_deployment_status(raw.get("status") or {}) if kind is Kind.DEPLOYMENT else {},
        ownership=ownership_of(metadata.get("managedFields") or []),
        # No decision depends on the creation time of other kinds.
        created=metadata.get("creationTimestamp") or "" if kind is Kind.INGRESS else "",
        deleting_since=metadata.get("deletionTimestamp") or "",
        finalizers=tuple(metadata.get("finalizers") or ()) if deleting else (),
    )


def _deployment_status(status: Mapping[str, Any]) -> JsonObject:
    kept = {name: status[name] for name in _DEPLOYMENT_STATUS if name in status}
    if conditions := status.get("conditions"):
        kept["conditions"] = [{name: one[name] for name in _CONDITION if name in one} for one in conditions]
    return kept


def ownership_of(managed_fields: list[JsonObject]) -> Ownership:
    """Returns an object's ownership according to its managedFields."""
    applied = stamped = legacy = replicas = False
    fields: Mapping[str, Any] = {}
    for entry in managed_fields:
        manager, operation = entry.get("manager"), entry.get("operation")
        if entry.get("subresource"):
            continue
        if manager == names.FIELD_MANAGER and operation == "Apply":
            applied, fields = True, entry.get("fieldsV1") or {}
        elif manager == names.FIELD_MANAGER:
            stamped = True
        elif manager in names.LEGACY_FIELD_MANAGERS:
            legacy = True
        elif manager == names.REPLICAS_FIELD_MANAGER and operation == "Apply":
            replicas = True
    return Ownership(applied=applied, stamped=stamped, legacy=legacy, replicas=replicas, fields=fields)


def is_selected(observed: ObservedObject) -> bool:
    """Returns whether the object has the labels that the cache's watches select."""
    labels = observed.labels
    return labels.get(names.PROJECT_LABEL) == "gco" and labels.get(names.TYPE_LABEL) == "inference"


def is_applied_by_us(observed: ObservedObject) -> bool:
    """Returns whether we applied the object and it has a gco.io/endpoint annotation; its labels may be missing."""
    return observed.ownership.applied and observed.endpoint is not None


def upgraded_managed_fields(managed_fields: list[JsonObject]) -> list[JsonObject]:
    """Returns managedFields in which our Apply entry also owns the fields of GCO's manager and of our own updates.

    This follows client-go's csaupgrade. Without it, an apply would never remove a field that only the old manager owns.
    Entries for subresources, for other API versions and of other managers do not change.
    """
    own_entry = next((entry for entry in managed_fields if _is_apply(entry)), None)
    merged = [entry for entry in managed_fields if entry is own_entry or _is_upgraded(entry, own_entry)]
    if not merged:
        return managed_fields
    version = merged[0]["apiVersion"] if own_entry is None else own_entry["apiVersion"]
    merged = [entry for entry in merged if entry["apiVersion"] == version]
    fields: JsonObject = {}
    for entry in merged:
        _unite(fields, entry.get("fieldsV1") or {})
    united = {
        **{key: value for key, value in merged[0].items() if key != "fieldsV1"},
        "manager": names.FIELD_MANAGER,
        "operation": "Apply",
        "fieldsV1": fields,
    }
    return [united, *(entry for entry in managed_fields if not any(entry is one for one in merged))]


def _is_apply(entry: JsonObject) -> bool:
    return entry.get("manager") == names.FIELD_MANAGER and entry.get("operation") == "Apply" and _is_main(entry)


def _is_main(entry: JsonObject) -> bool:
    return not entry.get("subresource")


def _is_upgraded(entry: JsonObject, own_entry: JsonObject | None) -> bool:
    managers = names.LEGACY_FIELD_MANAGERS | {names.FIELD_MANAGER}
    return (
        entry is not own_entry
        and entry.get("manager") in managers
        and entry.get("operation") == "Update"
        and _is_main(entry)
    )


def _unite(into: JsonObject, fields: Mapping[str, Any]) -> None:
    for key, inner in fields.items():
        _unite(into.setdefault(key, {}), inner)
