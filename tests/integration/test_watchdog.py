"""The health watchdog on the real API server: pods become ready, late or never as the test asks."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gco_stream.local.plane import ControlPlane
from gco_stream.local.rest import path_of
from gco_stream.model import names
from tests.integration.conftest import Program, World
from tests.integration.leases import let_go
from tests.integration.pods import unless_gone
from tests.integration.watched import Watched
from tests.integration.webhook import Webhook
from tests.items import item

INGRESS = "inference-chat"
_STRATEGIC = "application/strategic-merge-patch+json"
CLOCK = names.UNREADY_SINCE_ANNOTATION
QUICK = {"INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "2"}


@pytest.fixture
def kubeconfig(control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig


def put(world: World, name: str = "chat", *, tag: str = "1.0", **spec: Any) -> None:
    world.put(item(name, spec={"gpu_count": 0, "image": f"registry.example/serve:{tag}", **spec}))


def tell_pods(world: World, ready: str, name: str = "chat", *, all_but: int = 0) -> None:
    """Makes the endpoint's pods ready or not, all but so many."""
    for _, pod in sorted(world.pods(name).items())[all_but:]:
        path = path_of("Pod", world.namespace, pod["metadata"]["name"])
        with unless_gone():
            world.kube.patch(path, {"metadata": {"annotations": {"gco.local/ready": ready}}})


def is_running(world: World, program: Program, name: str = "chat", replicas: int = 1) -> None:
    program.until(
        lambda: world.state(name) == "running" and world.report(name)["replicas_ready"] == replicas, f"{name} runs"
    )


def clock(world: World) -> str | None:
    """What the clock on the Ingress says; None where there is none, or no Ingress."""
    ingress = world.get("Ingress", INGRESS) or {"metadata": {}}
    found: str | None = ingress["metadata"].get("annotations", {}).get(CLOCK)
    return found


def killed(world: World, program: Program) -> None:
    """kill -9; whoever comes next need not wait until its lease has run out."""
    program.kill()
    let_go(world.kube, world.namespace)


def told(world: World, reason: str) -> list[str]:
    """The notes of the Events of that reason."""
    events = world.kube.list(path_of("Event", world.namespace))
    return [str(event["note"]) for event in events if event.get("reason") == reason]


def test_an_endpoint_without_a_ready_replica_loses_its_ingress_and_gets_it_back_with_the_first_that_is(
    world: World, program: Callable[..., Program], kubeconfig: Path
) -> None:
    controller = program(**QUICK).wait_working()
    put(world)
    is_running(world, controller)
    with Watched(kubeconfig, world, "chat") as watched:
        tell_pods(world, "false")
        controller.until(lambda: world.get("Ingress", INGRESS) is None, "the Ingress is withdrawn")
        assert any(watched.routed(CLOCK)), "the clock was set before"
    controller.until(lambda: world.state("chat") == "error", "the region says error")
    assert "no replica is ready" in world.report("chat")["error"]
    assert world.get("Service", "chat") is not None
    assert world.replicas("chat") == 1
    controller.until(lambda: told(world, "IngressWithdrawn"), "an Event tells of it")
    counted = 'gco_stream_steps_told_total{reason="IngressWithdrawn"} 1.0'
    controller.until(lambda: counted in controller.http("/metrics")[1], "it is counted")
    tell_pods(world, "true")
    controller.until(lambda: world.get("Ingress", INGRESS), "the Ingress is back")
    controller.until(lambda: world.state("chat") == "running", "it runs again")
    assert not world.report("chat").get("error")
    controller.until(lambda: clock(world) is None, "no clock runs")
    controller.until(lambda: told(world, "IngressRestored"), "an Event tells of it")


def test_an_endpoint_that_never_becomes_ready_is_withdrawn_and_says_error(
    world: World, program: Callable[..., Program], kubeconfig: Path
) -> None:
    controller = program(**QUICK).wait_working()
    with Watched(kubeconfig, world, "chat") as watched:
        put(world, tag="1.0-never-ready")
        # It stands for no longer than the threshold.
        controller.until(lambda: watched.routed(CLOCK), "the Ingress is made with the Deployment")
    controller.until(lambda: world.get("Ingress", INGRESS) is None, "the Ingress is withdrawn")
    controller.until(lambda: world.state("chat") == "error", "the region says error")


def test_one_of_four_replicas_that_serves_keeps_the_ingress(world: World, program: Callable[..., Program]) -> None:
    controller = program(**QUICK).wait_working()
    put(world, replicas=4)
    is_running(world, controller, replicas=4)
    uid = world.get("Ingress", INGRESS)["metadata"]["uid"]  # type: ignore[index]
    tell_pods(world, "false", all_but=1)
    controller.until(lambda: world.report("chat")["replicas_ready"] == 1, "one is left")
    # The other endpoint, ill from the start, is the measure of the threshold's time.
    put(world, "other", tag="1.0-never-ready")
    controller.until(lambda: world.state("other") == "error", "the other one is withdrawn")
    ingress = world.get("Ingress", INGRESS)
    assert ingress is not None
    assert ingress["metadata"]["uid"] == uid
    assert clock(world) is None


def test_the_clock_outlasts_a_killed_leader_and_replaced_pods(
    world: World, program: Callable[..., Program], kubeconfig: Path
) -> None:
    settings = {"INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "8"}
    first = program(**settings).wait_working()
    put(world, tag="1.0-never-ready")
    first.until(lambda: world.pods("chat"), "a pod stands")
    tell_pods(world, "true")
    is_running(world, first)
    with Watched(kubeconfig, world, "chat") as watched:
        tell_pods(world, "false")
        first.until(lambda: any(watched.routed(CLOCK)), "the clock is set")
        started, before = watched.routed(CLOCK)[-1], world.pods("chat")
        killed(world, first)
        for pod in before.values():
            world.kube.delete(path_of("Pod", world.namespace, pod["metadata"]["name"]))
        second = program(**settings).wait_working()
        second.until(lambda: world.pods("chat") and not world.pods("chat").keys() & before.keys(), "the pods are new")
        second.until(lambda: world.get("Ingress", INGRESS) is None, "the Ingress is withdrawn")
        clocks = watched.routed(CLOCK)
    assert clocks[clocks.index(started) :] == [started]
    withdrawn_after = datetime.now(UTC) - datetime.fromisoformat(started)
    assert withdrawn_after.total_seconds() >= 8


def test_never_more_than_half_of_the_endpoints_are_withdrawn(world: World, program: Callable[..., Program]) -> None:
    controller = program(**QUICK).wait_working()
    several = ("a", "b", "c", "d")
    for name in several:
        put(world, name)
    for name in several:
        is_running(world, controller, name)
    for name in several:
        tell_pods(world, "false", name)

    def ingresses() -> set[str]:
        return {name for name in several if world.get("Ingress", names.ingress_name(name)) is not None}

    controller.until(lambda: all(world.state(name) == "error" for name in several), "all four say error")
    # It is said first.
    controller.until(lambda: len(ingresses()) == 2, "half of them are withdrawn")
    controller.until(
        lambda: 'gco_stream_held_back_endpoints{limit="withdrawal"} 2.0' in controller.http("/metrics")[1],
        "two are held back",
    )
    controller.until(lambda: any("cluster itself seems ill" in note for note in told(world, "Attention")), "it is told")
    kept = ingresses()
    assert len(kept) == 2
    killed(world, controller)
    # A new process counts what is withdrawn by what stands, not by what it remembers.
    again = program(**QUICK).wait_working()
    again.until(lambda: 'gco_stream_held_back_endpoints{limit="withdrawal"} 2.0' in again.http("/metrics")[1], "again")
    assert ingresses() == kept


def test_under_on_ready_the_ingress_is_first_made_when_a_replica_is_ready(
    world: World, program: Callable[..., Program]
) -> None:
    controller = program(**QUICK, INFERENCE_INGRESS_POLICY="on-ready").wait_working()
    put(world, tag="1.0-never-ready")
    controller.until(lambda: world.pods("chat"), "a pod stands")
    controller.until(lambda: world.state("chat") == "creating", "creating is reported")
    assert world.get("Ingress", INGRESS) is None
    tell_pods(world, "true")
    controller.until(lambda: world.get("Ingress", INGRESS), "the Ingress is made")
    is_running(world, controller)


GATE = "target-health.elbv2.k8s.aws/k8s-chat"


def gated(_pod: dict[str, Any], operation: str) -> list[dict[str, Any]]:
    """What the AWS Load Balancer Controller does to new pods of a target group."""
    gates = [{"conditionType": GATE}]
    return [{"op": "add", "path": "/spec/readinessGates", "value": gates}] if operation == "CREATE" else []


def set_gate(world: World, status: str) -> None:
    """What it says of the targets' health."""
    for pod in world.pods("chat").values():
        condition = {"type": GATE, "status": status}
        path = path_of("Pod", world.namespace, pod["metadata"]["name"])
        world.kube.patch(f"{path}/status", {"status": {"conditions": [condition]}}, content_type=_STRATEGIC)


def containers_ready(world: World) -> bool:
    conditions = [one for pod in world.pods("chat").values() for one in pod["status"].get("conditions", ())]
    return any(one["type"] == "ContainersReady" and one["status"] == "True" for one in conditions)


def test_a_withdrawn_endpoint_gets_its_ingress_back_when_containers_are_ready_although_the_gate_is_false(
    world: World, program: Callable[..., Program], webhook: Callable[..., Webhook]
) -> None:
    webhook(gated, "pods")
    controller = program(**QUICK).wait_working()
    put(world, tag="1.0-never-ready")
    controller.until(lambda: world.pods("chat"), "a pod stands")
    # It is said first.
    controller.until(lambda: world.state("chat") == "error", "it is to be withdrawn")
    controller.until(lambda: world.get("Ingress", INGRESS) is None, "it is withdrawn")
    tell_pods(world, "true")
    controller.until(lambda: containers_ready(world), "its containers are ready")
    assert world.report("chat")["replicas_ready"] == 0
    controller.until(lambda: world.get("Ingress", INGRESS), "the Ingress is back")
    assert world.report("chat")["replicas_ready"] == 0
    set_gate(world, "True")
    is_running(world, controller)


def test_pods_that_only_the_load_balancer_finds_unhealthy_keep_their_ingress(
    world: World, program: Callable[..., Program], webhook: Callable[..., Webhook]
) -> None:
    webhook(gated, "pods")
    controller = program(**QUICK).wait_working()
    put(world)
    # Where its containers take longer than the threshold, the Ingress goes and comes back with them.
    controller.until(lambda: containers_ready(world) and world.get("Ingress", INGRESS), "its containers are ready")
    uid = world.get("Ingress", INGRESS)["metadata"]["uid"]  # type: ignore[index]
    controller.until(lambda: "load balancer" in world.report("chat").get("error", ""), "it is said")
    assert world.get("Ingress", INGRESS)["metadata"]["uid"] == uid  # type: ignore[index]
    set_gate(world, "True")
    is_running(world, controller)
    assert world.get("Ingress", INGRESS)["metadata"]["uid"] == uid  # type: ignore[index]
