"""Helpers of the watchdog tests: endpoints whose pods become ready when the test says so."""

from typing import Any

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.model import names
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.leases import release_lease
from tests.support.items import item

INGRESS = "inference-chat"
_STRATEGIC = "application/strategic-merge-patch+json"
CLOCK = names.UNREADY_SINCE_ANNOTATION
NEVER_READY = "1.0-never-ready"
QUICK = {"INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "2"}
WITHDRAWN = "IngressWithdrawn"
# The message for a withdrawn Ingress in the release before reason codes.
FORMER_REPORT = "no replica is ready, and the Ingress is away until one is"


def put(world: World, name: str = "chat", *, tag: str = "1.0", **spec: Any) -> None:
    world.put(item(name, spec={"gpu_count": 0, "image": f"registry.example/serve:{tag}", **spec}))


def is_running(world: World, program: Program, name: str = "chat", replicas: int = 1) -> None:
    program.until(
        lambda: world.state(name) == "running" and world.report(name)["replicas_ready"] == replicas, f"{name} runs"
    )


def is_withdrawn(world: World, program: Program, name: str = "chat") -> None:
    """Waits until the Ingress is withdrawn and the region reports it."""
    program.until(lambda: world.get("Ingress", names.ingress_name(name)) is None, "the Ingress is withdrawn")
    program.until(lambda: reported(world, name) == ("error", WITHDRAWN), "the region reports the withdrawal")


def reported(world: World, name: str = "chat") -> tuple[str, str]:
    """Returns the region's state and reason code, "" if there is none."""
    return world.state(name), str(world.report(name).get("reason", ""))


def clock(world: World) -> str | None:
    """Returns the clock annotation of the Ingress, or None if there is no clock or no Ingress."""
    ingress = world.get("Ingress", INGRESS) or {"metadata": {}}
    found: str | None = ingress["metadata"].get("annotations", {}).get(CLOCK)
    return found


def killed(world: World, program: Program) -> None:
    """Kills the program with SIGKILL and releases its lease, so that the next one need not wait for expiry."""
    program.kill()
    release_lease(world.kube, world.namespace)


def told(world: World, reason: str) -> list[str]:
    """Returns the notes of the Events with this reason."""
    events = world.kube.list(path_of("Event", world.namespace))
    return [str(event["note"]) for event in events if event.get("reason") == reason]


def creations(control_plane: ControlPlane, mark: int, namespace: str) -> list[str]:
    """Returns the names of the Ingresses created since `mark`, by POST or by an apply that created the object."""
    return [
        call.name
        for call in control_plane.audit.calls(mark, namespace=namespace)
        if call.resource == "ingresses" and call.status == 201
    ]
