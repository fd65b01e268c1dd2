"""Renders items with a set in each field, and prints everything that is rendered and reported as JSON.

Run as a module in another process: `python -m tests.planning.hostile.rendered_items`.
"""

import json
from collections.abc import Iterator
from typing import Any

from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint, read_endpoint
from gco_stream.model.item.spec import Autoscaling, Canary, EndpointSpec, Resources, Toleration
from tests.planning.support.explanations import explained
from tests.planning.support.lives import lives
from tests.support.items import item
from tests.support.simulated_cluster import SimulatedCluster

SETS: tuple[dict[str, Any], ...] = (
    {"SS": ["--alpha", "--beta", "--gamma=1", "--delta", "us-east-1"]},
    {"NS": ["3", "1", "20", "7"]},
    {"BS": [b"one", b"two", b"three"]},
)
_PARTS = {"resources": Resources, "autoscaling": Autoscaling, "canary": Canary}


def wire_items() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields items by a name: valid ones, and one for each set in each field."""
    tolerations = [{"key": key, "operator": "Exists"} for key in ("gpu", "spot", "team")]
    full = {"args": ["--b", "--a"], "env": {"Z": "1", "A": "2"}, "tolerations": tolerations, "canary": {"image": "a:2"}}
    yield "full", wire.encode(item(spec=full, target_regions={"us-east-1", "eu-west-1", "ap-south-1"}))
    plain = wire.encode(item(spec=full))
    for number, value in enumerate(SETS):
        for field in ("desired_state", "target_regions", "namespace", "ingress_path", "hold", "spec", "region_status"):
            yield f"{field} {number}", {**plain, field: value}
        for path in _paths():
            yield f"spec.{'.'.join(path)} {number}", {**plain, "spec": _with(plain["spec"], path, value)}


def _paths() -> Iterator[tuple[str, ...]]:
    yield from ((field,) for field in EndpointSpec.model_fields)
    yield from ((part, field) for part, model in _PARTS.items() for field in model.model_fields)
    yield ("env", "NAME")
    yield from (("tolerations", "0", field) for field in Toleration.model_fields)


def _with(value: dict[str, Any], path: tuple[str, ...], new: dict[str, Any]) -> dict[str, Any]:
    if not path:
        return new
    if "L" in value:
        return {"L": [_with(value["L"][0], path[1:], new), *value["L"][1:]]}
    content = value.get("M", {})
    return {"M": {**content, path[0]: _with(content.get(path[0], {"M": {}}), path[1:], new)}}


def rendered() -> dict[str, Any]:
    """Returns the manifests, steps and report of each item, by name."""
    found = {}
    for name, wired in wire_items():
        asked, cluster = read_endpoint(wired), SimulatedCluster()
        manifests = lives(asked, cluster) if isinstance(asked, Endpoint) else []
        found[name] = {"manifests": manifests, "plan": explained(cluster, asked).plan.lines()}
    return found


if __name__ == "__main__":
    print(json.dumps(rendered()))
