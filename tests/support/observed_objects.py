"""Observed objects for drift tests: manifests as stored by an API server, and the fieldsV1 of their apply."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from gco_stream.model.objects import Kind, ObjectRef, ObservedObject, Ownership
from tests.support.items import PARITY_CASES, parity_objects

MERGE_KEYS = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "ports": ("containerPort", "port", "protocol"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Merge keys by field name for the lists in these objects. A port has two of its three keys."""

ONE_WHOLE = {"args", "command", "tolerations", "nodeSelector", "selector", "rules", "metrics"}
"""Atomic fields, which are leaves in fieldsV1."""

DEFAULTS = {
    "dnsPolicy",
    "imagePullPolicy",
    "internalTrafficPolicy",
    "ipFamilies",
    "ipFamilyPolicy",
    "progressDeadlineSeconds",
    "restartPolicy",
    "revisionHistoryLimit",
    "scheme",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "sessionAffinity",
    "strategy",
    "successThreshold",
    "terminationGracePeriodSeconds",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "timeoutSeconds",
}
"""Defaults that the API server adds to the objects of the parity cases."""


def parity() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the parity cases, as (case and key, object as returned by the API server)."""
    for case in PARITY_CASES:
        for key, live in parity_objects(case).items():
            yield f"{case}: {key}", live


def observed(live: dict[str, Any], *, applied: dict[str, Any] | None = None) -> ObservedObject:
    """The object as cluster/ provides it. `applied`: the manifest of our last apply."""
    metadata = live["metadata"]
    return ObservedObject(
        ref=ObjectRef(Kind(live["kind"]), metadata["namespace"], metadata["name"]),
        uid="0d1c5d5e-2b1f-4c3d-9a55-0f6f1f6f2a10",
        resource_version="4711",
        labels=metadata.get("labels", {}),
        annotations=metadata.get("annotations", {}),
        spec=copy.deepcopy(live["spec"]),
        ownership=Ownership(applied=True, fields=fields_v1(applied)) if applied else Ownership(),
    )


def without_defaults(live: Any) -> Any:
    """The manifest that gives this object when applied."""
    if isinstance(live, dict):
        return {name: without_defaults(value) for name, value in live.items() if name not in DEFAULTS}
    return [without_defaults(item) for item in live] if isinstance(live, list) else live


def fields_v1(manifest: dict[str, Any]) -> dict[str, Any]:
    """fieldsV1 as kube-apiserver 1.34 writes it for an apply of the manifest."""
    metadata = {name: manifest["metadata"][name] for name in ("annotations", "labels") if name in manifest["metadata"]}
    return _fields({"metadata": metadata, "spec": manifest["spec"]})


def _fields(value: Any, field: str = "") -> dict[str, Any]:
    if field in ONE_WHOLE or not value:
        return {}
    if isinstance(value, dict):
        return {f"f:{name}": _fields(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return {f"k:{_key(item, field)}": {".": {}, **_fields(item)} for item in value}
    return {}


def _key(item: dict[str, Any], field: str) -> str:
    return json.dumps({key: item[key] for key in MERGE_KEYS[field] if key in item}, separators=(",", ":"))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values that are neither maps nor lists, in labels, annotations and spec of a manifest."""
    if not path:
        for part in (("metadata", "labels"), ("metadata", "annotations"), ("spec",)):
            if inner := at(value, part, None):
                yield from leaves(inner, part)
    elif isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, step))
    else:
        yield path


_MISSING = object()


def at(value: Any, path: tuple[Any, ...], default: Any = _MISSING) -> Any:
    """The value at the path."""
    for step in path:
        if isinstance(value, dict) and step not in value and default is not _MISSING:
            return default
        value = value[step]
    return value


def changed(manifest: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with a new value at the path."""
    copied = copy.deepcopy(manifest)
    at(copied, path[:-1])[path[-1]] = value
    return copied


def without(manifest: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    """A copy without the value at the path."""
    copied = copy.deepcopy(manifest)
    del at(copied, path[:-1])[path[-1]]
    return copied
