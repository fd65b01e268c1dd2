"""The health watchdog on a real API server; tests control if and when pods become ready."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.model import names
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.pods import tell_pods
from tests.integration.support.watch_history import WatchHistory, history
from tests.integration.support.watchdog import (
    _STRATEGIC,
    CLOCK,
    INGRESS,
    NEVER_READY,
    QUICK,
    WITHDRAWN,
    clock,
    creations,
    is_running,
    is_withdrawn,
    killed,
    put,
    reported,
    told,
)
from tests.integration.support.webhook import Webhook


@pytest.fixture
def kubeconfig(control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig


def test_an_ingress_is_withdrawn_without_ready_replicas_and_restored_with_the_first(
    world: World, program: Callable[..., Program], kubeconfig: Path
) -> None:
    controller = program(**QUICK).wait_working()
    put(world)
    is_running(world, controller)
    with WatchHistory(kubeconfig, world, "chat") as watched:
        tell_pods(world, "false")
        controller.until(lambda: world.get("Ingress", INGRESS) is None, "the Ingress is withdrawn")
        assert any(watched.routed(CLOCK)), "the clock was set before"
    controller.until(lambda: reported(world) == ("error", WITHDRAWN), "the region reports the withdrawal")
    assert world.report("chat")["error"]
    assert world.get("Service", "chat") is not None
    assert world.replicas("chat") == 1
    controller.until(lambda: any("for 2 s" in note for note in told(world, WITHDRAWN)), "an Event reports it")
    counted = 'gco_stream_steps_told_total{reason="IngressWithdrawn"} 1.0'
    controller.until(lambda: counted in controller.http("/metrics")[1], "the metric counts it")
    tell_pods(world, "true")
    controller.until(lambda: world.get("Ingress", INGRESS), "the Ingress is back")
    is_running(world, controller)
    assert not world.report("chat").keys() & {"error", "reason"}
    controller.until(lambda: clock(world) is None, "the clock is removed")
    controller.until(lambda: told(world, "IngressRestored"), "an Event reports it")


def test_a_new_endpoint_has_no_ingress_until_its_first_pod_is_ready(
    world: World, program: Callable[..., Program], kubeconfig: Path
) -> None:
    controller = program(**QUICK).wait_working()
    with WatchHistory(kubeconfig, world, "chat") as watched:
        put(world, tag=NEVER_READY)
        controller.until(lambda: world.pods("chat"), "its pod exists")
        controller.until(lambda: world.state("chat") == "creating", "creating is reported")
        # Another endpoint that is created later and then withdrawn shows that the threshold has passed.
        put(world, "other")
        is_running(world, controller, "other")
        tell_pods(world, "false", "other")
        is_withdrawn(world, controller, "other")
        assert watched.routed(CLOCK) == []
        # Waiting is not an error, and no Ingress was withdrawn.
        assert reported(world) == ("creating", "")
        tell_pods(world, "true")
        controller.until(lambda: world.get("Ingress", INGRESS), "the Ingress is created")
        is_running(world, controller)
        controller.wait_idle()
        assert watched.routed(CLOCK) == [""], "no clock was ever set"
    assert history(world, "chat") == ["", "creating", "running"]
    assert not any("restored" in note for note in told(world, "IngressRestored"))


@pytest.mark.parametrize("stopped", [False, True], ids=["killed", "restarted"])
def test_a_restart_creates_no_ingress_while_no_pod_is_ready(
    stopped: bool, world: World, program: Callable[..., Program], control_plane: ControlPlane
) -> None:
    controller = program(**QUICK).wait_working()
    put(world)
    put(world, "new", tag=NEVER_READY)
    is_running(world, controller)
    tell_pods(world, "false")
    is_withdrawn(world, controller)
    mark = control_plane.audit.mark()
    if stopped:
        assert controller.stop() == 0
    else:
        killed(world, controller)
    again = program(**QUICK).wait_working()
    put(world, "after")
    is_running(world, again, "after")
    again.wait_idle()
    assert creations(control_plane, mark, world.namespace) == ["inference-after"]
    assert reported(world) == ("error", WITHDRAWN)
    assert reported(world, "new") == ("creating", "")


def test_one_of_four_replicas_that_serves_keeps_the_ingress(world: World, program: Callable[..., Program]) -> None:
    controller = program(**QUICK).wait_working()
    put(world, replicas=4)
    put(world, "other")
    is_running(world, controller, replicas=4)
    is_running(world, controller, "other")
    uid = world.uid("Ingress", INGRESS)
    tell_pods(world, "false", all_but=1)
    controller.until(lambda: world.report("chat")["replicas_ready"] == 1, "one replica is ready")
    # The withdrawal of the other endpoint shows that the threshold has passed.
    tell_pods(world, "false", "other")
    is_withdrawn(world, controller, "other")
    ingress = world.get("Ingress", INGRESS)
    assert ingress is not None
    assert ingress["metadata"]["uid"] == uid
    assert clock(world) is None


def test_the_clock_outlasts_a_killed_leader_and_replaced_pods(
    world: World, program: Callable[..., Program], kubeconfig: Path
) -> None:
    settings = {"INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "8"}
    first = program(**settings).wait_working()
    put(world, tag=NEVER_READY)
    first.until(lambda: world.pods("chat"), "a pod exists")
    tell_pods(world, "true")
    is_running(world, first)
    with WatchHistory(kubeconfig, world, "chat") as watched:
        tell_pods(world, "false")
        first.until(lambda: any(watched.routed(CLOCK)), "the clock is set")
        started, before = watched.routed(CLOCK)[-1], world.pods("chat")
        killed(world, first)
        for pod in before.values():
            world.kube.delete(path_of("Pod", world.namespace, pod["metadata"]["name"]))
        second = program(**settings).wait_working()
        second.until(
            lambda: world.pods("chat") and not world.pods("chat").keys() & before.keys(), "the pods are replaced"
        )
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

    controller.until(lambda: all(world.state(name) == "error" for name in several), "all four report an error")
    # The error is reported before the Ingress is withdrawn.
    controller.until(lambda: len(ingresses()) == 2, "half of the endpoints are withdrawn")
    controller.until(
        lambda: 'gco_stream_held_back_endpoints{limit="withdrawal"} 2.0' in controller.http("/metrics")[1],
        "two endpoints are held back",
    )
    controller.until(lambda: told(world, "WithdrawalLimitReached"), "an Event reports it")
    kept = ingresses()
    assert len(kept) == 2
    controller.until(
        lambda: {name for name in several if reported(world, name) == ("error", "WithdrawalLimitReached")} == kept,
        "the reports name the limit",
    )
    killed(world, controller)
    # A new process counts withdrawn endpoints from the cluster, not from memory.
    again = program(**QUICK).wait_working()
    again.until(
        lambda: 'gco_stream_held_back_endpoints{limit="withdrawal"} 2.0' in again.http("/metrics")[1],
        "two endpoints are held back again",
    )
    assert ingresses() == kept


GATE = "target-health.elbv2.k8s.aws/k8s-chat"


def gated(_pod: dict[str, Any], operation: str) -> list[dict[str, Any]]:
    """Adds a readiness gate, as the AWS Load Balancer Controller does to new pods of a target group."""
    gates = [{"conditionType": GATE}]
    return [{"op": "add", "path": "/spec/readinessGates", "value": gates}] if operation == "CREATE" else []


def set_gate(world: World, status: str) -> None:
    """Sets the pods' readiness gate, as the AWS Load Balancer Controller does from the targets' health."""
    for pod in world.pods("chat").values():
        condition = {"type": GATE, "status": status}
        path = path_of("Pod", world.namespace, pod["metadata"]["name"])
        world.kube.patch(f"{path}/status", {"status": {"conditions": [condition]}}, content_type=_STRATEGIC)


def containers_ready(world: World) -> bool:
    conditions = [one for pod in world.pods("chat").values() for one in pod["status"].get("conditions", ())]
    return any(one["type"] == "ContainersReady" and one["status"] == "True" for one in conditions)


def test_an_endpoint_gets_its_ingress_when_containers_are_ready_although_the_gate_is_false(
    world: World, program: Callable[..., Program], webhook: Callable[..., Webhook]
) -> None:
    webhook(gated, "pods")
    controller = program(**QUICK).wait_working()
    put(world, tag=NEVER_READY)
    controller.until(lambda: world.pods("chat"), "a pod exists")
    controller.wait_idle()
    assert world.get("Ingress", INGRESS) is None
    tell_pods(world, "true")
    controller.until(lambda: containers_ready(world), "its containers are ready")
    # Without the Ingress, the load balancer would never set the gate to true.
    controller.until(lambda: world.get("Ingress", INGRESS), "the Ingress is created")
    assert world.report("chat")["replicas_ready"] == 0
    set_gate(world, "True")
    is_running(world, controller)
    # Withdrawal and restore follow the same rule.
    uid = world.uid("Ingress", INGRESS)
    tell_pods(world, "false")
    is_withdrawn(world, controller)
    set_gate(world, "False")
    tell_pods(world, "true")
    controller.until(lambda: world.get("Ingress", INGRESS), "the Ingress is back")
    assert world.report("chat")["replicas_ready"] == 0
    assert world.uid("Ingress", INGRESS) != uid
    set_gate(world, "True")
    is_running(world, controller)


def test_pods_that_only_the_load_balancer_finds_unhealthy_keep_their_ingress(
    world: World, program: Callable[..., Program], webhook: Callable[..., Webhook]
) -> None:
    webhook(gated, "pods")
    controller = program(**QUICK).wait_working()
    put(world)
    controller.until(lambda: containers_ready(world) and world.get("Ingress", INGRESS), "its containers are ready")
    uid = world.uid("Ingress", INGRESS)
    controller.until(lambda: reported(world) == ("error", "LoadBalancerUnhealthy"), "the error is reported")
    assert world.uid("Ingress", INGRESS) == uid
    set_gate(world, "True")
    is_running(world, controller)
    assert world.uid("Ingress", INGRESS) == uid
