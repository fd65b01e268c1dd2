"""Builders of items and endpoints for tests, in plain and in wire form."""

import copy
import json
from pathlib import Path
from typing import Any

from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint, InvalidItem, read_endpoint

PARITY = Path(__file__).parent.parent / "fixtures" / "parity"
REGION = "us-east-1"
PARITY_CASES = sorted(path.stem for path in (PARITY / "items").glob("*.json"))


def parity_item(case: str) -> dict[str, Any]:
    return json.loads((PARITY / "items" / f"{case}.json").read_text())


def parity_objects(case: str) -> dict[str, Any]:
    return json.loads((PARITY / "objects" / f"{case}.json").read_text())


def item(name: str = "chat", *, spec: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    """A plain item as GCO's tools write it. `spec` overrides a minimal spec; a None value drops an attribute."""
    plain: dict[str, Any] = {
        "endpoint_name": name,
        "desired_state": "deploying",
        "target_regions": [REGION],
        "namespace": "gco-inference",
        "spec": {"image": "registry.example/serve:1.0", "replicas": 1, **(spec or {})},
        "ingress_path": f"/inference/{name}",
        "created_at": "2026-11-21T09:00:00+00:00",
        "updated_at": "2026-11-21T09:00:00+00:00",
        "region_status": {},
        **attributes,
    }
    plain["spec"] = {key: value for key, value in plain["spec"].items() if value is not None}
    return {key: value for key, value in plain.items() if value is not None}


def read(plain: dict[str, Any]) -> Endpoint | InvalidItem:
    return read_endpoint(wire.encode(copy.deepcopy(plain)))


def endpoint(name: str = "chat", *, spec: dict[str, Any] | None = None, **attributes: Any) -> Endpoint:
    """The endpoint of an item whose identity is valid."""
    found = read(item(name, spec=spec, **attributes))
    assert isinstance(found, Endpoint), found
    return found
