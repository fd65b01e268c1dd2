"""States of the program and of an endpoint that tests wait for or compare."""

import json
from typing import Any

import urllib3

from gco_stream.model import names
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item

INGRESS = "inference-chat"


def is_ready(program: Program) -> bool:
    try:
        return program.http("/readyz")[0] == 200
    except (StopIteration, urllib3.exceptions.HTTPError):
        return False


def weights(world: World) -> dict[str, int]:
    """Returns the weights in the Ingress, or {} if it has a plain backend."""
    ingress = world.get("Ingress", INGRESS)
    routing = ((ingress or {}).get("metadata", {}).get("annotations") or {}).get(names.WEIGHTED_ROUTING_ANNOTATION)
    if routing is None:
        return {}
    return {group["serviceName"]: group["weight"] for group in json.loads(routing)["forwardConfig"]["targetGroups"]}


def running(world: World, controller: Program, name: str = "chat", **spec: Any) -> None:
    """Puts an endpoint and waits for its promotion."""
    world.put(item(name, spec={"gpu_count": 0, **spec}))
    promoted(world, controller, name)


def promoted(world: World, controller: Program, name: str = "chat") -> None:
    controller.until(lambda: (world.item(name) or {}).get("desired_state") == "running", f"{name} is promoted")
