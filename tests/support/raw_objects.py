"""Objects as the API server returns them."""

from typing import Any

from gco_stream.model import names

OWNED = {"app": "llm", "project": "gco", "gco.io/type": "inference"}


def raw(
    name: str = "llm",
    *,
    version: int = 10,
    uid: str = "u1",
    kind: str = "Deployment",
    applied: bool = True,
    endpoint: str | None = "llm",
    **changes: Any,
) -> dict[str, Any]:
    """A small object; `changes` replace spec, status, labels or other metadata."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "gco-inference",
        "uid": uid,
        "resourceVersion": str(version),
        "generation": 1,
        "labels": dict(changes.pop("labels", OWNED)),
        "annotations": {names.ENDPOINT_ANNOTATION: endpoint} if endpoint else {},
        "managedFields": [entry(names.FIELD_MANAGER, "Apply", {"f:spec": {"f:replicas": {}}})] if applied else [],
    }
    parts = {key: changes.pop(key) for key in ("spec", "status") if key in changes}
    return {"kind": kind, "metadata": {**metadata, **changes}, "spec": {"replicas": 1}, **parts}


def entry(manager: str, operation: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "apps/v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        **more,
    }
