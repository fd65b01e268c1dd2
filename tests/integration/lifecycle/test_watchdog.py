"""The health watchdog on a real API server; tests control if and when pods become ready."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.model import names
from tests.integration.conftest import Program, World
from tests.integration.support.leases import release_lease
from tests.integration.support.legacy_objects import GCO, post
from tests.integration.support.pods import tell_pods
from tests.integration.support.watch_history import WatchHistory, history
from tests.integration.support.webhook import Webhook
from tests.support.items import item

INGRESS = "inference-chat"
_STRATEGIC = "application/strategic-merge-patch+json"
CLOCK = names.UNREADY_SINCE_ANNOTATION
NEVER_READY = "1.0-never-ready"
QUICK = {"INFERENCE_UNHEALTHY_THRESHOLD_SECONDS": "2"}
WITHDRAWN = "IngressWithdrawn"
# The message for a withdrawn Ingress in the release before reason codes.
FORMER_REPORT = "no replica is ready, and the Ingress is away until one is"


@pytest.fixture
def kubeconfig(control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig


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
    uid = world.get("Ingress", INGRESS)["metadata"]["uid"]  # type: ignore[index]
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


class Lost:
    """An endpoint that ran and whose Ingress was withdrawn; only a ready pod may restore the Ingress."""

    def __init__(self, world: World, controller: Program, control_plane: ControlPlane) -> None:
        self.world = world
        self.controller = controller
        self._plane = control_plane
        put(world, tag=NEVER_READY)
        controller.until(lambda: world.pods("chat"), "its pod exists")
        tell_pods(world, "true")
        is_running(world, controller)
        tell_pods(world, "false")
        is_withdrawn(world, controller)
        self._mark = control_plane.audit.mark()
        self._others = 0

    def until(self, *wanted: tuple[str, str]) -> None:
        """Waits until the region reports one of these pairs of state and reason."""
        self.controller.until(lambda: reported(self.world) in wanted, f"the report is one of {wanted}")

    def no_ingress_is_created(self) -> None:
        """Creates another endpoint and waits until it runs, so that all earlier changes have been processed."""
        self._others += 1
        name = f"other-{self._others}"
        put(self.world, name)
        is_running(self.world, self.controller, name)
        self.controller.wait_idle()
        assert self._created() == [f"inference-other-{number + 1}" for number in range(self._others)]
        assert self.world.get("Ingress", INGRESS) is None

    def recovers(self) -> None:
        """Makes the pods ready and checks that the Ingress is restored exactly once."""
        assert self.world.get("Ingress", INGRESS) is None
        tell_pods(self.world, "true")
        self.controller.until(lambda: self.world.get("Ingress", INGRESS), "the Ingress is back")
        self.controller.until(lambda: self.world.state("chat") == "running", "running is reported")
        assert not self.world.report("chat").keys() & {"error", "reason"}
        assert self._created().count(INGRESS) == 1
        assert clock(self.world) is None

    def _created(self) -> list[str]:
        return creations(self._plane, self._mark, self.world.namespace)


@pytest.fixture
def lost(world: World, program: Callable[..., Program], control_plane: ControlPlane) -> Lost:
    return Lost(world, program(**QUICK).wait_working(), control_plane)


def test_a_withdrawn_endpoint_that_is_held_and_released_gets_no_ingress_before_a_pod_is_ready(
    lost: Lost, world: World
) -> None:
    world.user.hold(world.item_of("chat"), "incident 12")
    lost.until(("creating", "Held"))
    lost.no_ingress_is_created()
    world.user.release(world.item_of("chat"))
    # The hold's report replaced the earlier one, so the item no longer records that the endpoint ran.
    lost.until(("creating", ""))
    lost.no_ingress_is_created()
    lost.recovers()


def test_a_pod_that_becomes_ready_during_a_hold_gets_its_ingress_with_the_release(lost: Lost, world: World) -> None:
    world.user.hold(world.item_of("chat"), "incident 12")
    lost.until(("creating", "Held"))
    tell_pods(world, "true")
    # The Ingress would be created now, but the hold prevents it.
    lost.until(("pending", "Held"))
    lost.no_ingress_is_created()
    world.user.release(world.item_of("chat"))
    lost.recovers()


def test_a_withdrawn_endpoint_whose_spec_is_broken_and_fixed_gets_no_ingress_before_a_pod_is_ready(
    lost: Lost, world: World
) -> None:
    world.update_spec("chat", port=99999)
    lost.until(("error", "InvalidSpec"))
    lost.no_ingress_is_created()
    world.update_spec("chat", port=8000)
    lost.until(("creating", ""))
    lost.no_ingress_is_created()
    lost.recovers()


def test_a_withdrawn_endpoint_that_is_stopped_and_started_gets_no_ingress_before_a_pod_is_ready(
    lost: Lost, world: World
) -> None:
    world.set_desired_state("chat", "stopped")
    lost.until(("stopped", ""))
    world.set_desired_state("chat", "deploying")
    lost.until(("creating", ""))
    lost.controller.until(lambda: world.pods("chat"), "a new pod exists")
    lost.no_ingress_is_created()
    lost.recovers()


@pytest.mark.parametrize("change", ["image", "canary", "scaled", "ingress_path"])
def test_a_withdrawn_endpoint_stays_withdrawn_when_its_item_changes(change: str, lost: Lost, world: World) -> None:
    match change:
        case "image":
            world.update_spec("chat", image="registry.example/serve:2.0-never-ready")
        case "canary":
            # The canary becomes ready, but it is not a replica of the main Deployment.
            world.update_spec("chat", canary={"image": "registry.example/serve:3.0", "weight": 50, "replicas": 1})
            lost.controller.until(lambda: world.pods("chat-canary"), "the canary's pod exists")
        case "scaled":
            world.user.scale(world.item_of("chat"), 2)
            lost.controller.until(lambda: len(world.pods("chat")) == 2, "the second pod exists")
        case _:
            world.put((world.item("chat") or {}) | {"ingress_path": "/another"})
    lost.no_ingress_is_created()
    assert reported(world) == ("error", WITHDRAWN)
    if change == "image":
        lost.controller.until(lambda: len(world.pods("chat")) == 2, "the new pod exists")
    lost.recovers()


def test_a_withdrawn_endpoint_whose_deployment_somebody_deletes_gets_no_ingress_before_a_pod_is_ready(
    lost: Lost, world: World
) -> None:
    path = path_of("Deployment", world.namespace, "chat")
    uid = world.kube.get(path)["metadata"]["uid"]
    world.kube.delete(path)
    lost.controller.until(
        lambda: (world.kube.find(path) or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid and world.pods("chat"),
        "the Deployment is recreated",
    )
    lost.no_ingress_is_created()
    lost.recovers()


def test_a_report_of_the_release_before_reason_codes_is_one_of_a_withdrawn_ingress(lost: Lost, world: World) -> None:
    """Upgrades the controller while the Ingress is withdrawn."""
    assert lost.controller.stop() == 0
    report = {key: value for key, value in world.report("chat").items() if key != "reason"}
    stored = {**(world.item("chat") or {}), "region_status": {world.region: report | {"error": FORMER_REPORT}}}
    world.put(stored)
    lost.controller.start().wait_working()
    lost.controller.until(lambda: world.report("chat").get("reason") == WITHDRAWN, "the reason code is added")
    assert world.state("chat") == "error"
    assert world.report("chat")["error"] != FORMER_REPORT
    lost.no_ingress_is_created()
    assert reported(world) == ("error", WITHDRAWN)
    lost.recovers()
    lost.controller.until(lambda: told(world, "IngressRestored"), "an Event reports it")


def test_a_gco_route_without_a_ready_pod_is_withdrawn_after_the_threshold(
    world: World, program: Callable[..., Program], kubeconfig: Path
) -> None:
    first = program(**QUICK).wait_working()
    put(world, tag=NEVER_READY)
    first.until(lambda: world.pods("chat"), "its pod exists")
    first.wait_idle()
    killed(world, first)
    # GCO creates the Ingress together with the Deployment, and its reports have no reasons or intents.
    post(world, _gcos_route(world), GCO)
    entry = {"state": "creating", "replicas_ready": 0, "replicas_desired": 1, "last_sync": "2026-11-21T09:00:00+00:00"}
    world.put((world.item("chat") or {}) | {"region_status": {world.region: entry}})
    with WatchHistory(kubeconfig, world, "chat") as watched:
        began = datetime.now(UTC)
        second = program(INFERENCE_UNHEALTHY_THRESHOLD_SECONDS="4").wait_working()
        second.until(lambda: any(watched.routed(CLOCK)), "the clock is set")
        (started,) = {text for text in watched.routed(CLOCK) if text}
        # The clock starts when the route is first seen, regardless of its age.
        assert datetime.fromisoformat(started) >= began
        second.until(lambda: world.get("Ingress", INGRESS) is None, "the Ingress is withdrawn")
        assert (datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds() >= 4
    # The withdrawal is recorded only in the report, which was written first.
    second.until(lambda: reported(world) == ("error", WITHDRAWN), "the region reports the withdrawal")
    tell_pods(world, "true")
    second.until(lambda: world.get("Ingress", INGRESS), "the Ingress is created")
    is_running(world, second)


def test_a_gco_route_is_kept_if_a_pod_becomes_ready_within_the_threshold(
    world: World, program: Callable[..., Program]
) -> None:
    first = program(**QUICK).wait_working()
    put(world, tag=NEVER_READY)
    first.until(lambda: world.pods("chat"), "its pod exists")
    first.wait_idle()
    killed(world, first)
    uid = post(world, _gcos_route(world), GCO)["metadata"]["uid"]
    second = program(INFERENCE_UNHEALTHY_THRESHOLD_SECONDS="600").wait_working()
    second.until(lambda: clock(world), "the clock is set")
    tell_pods(world, "true")
    is_running(world, second)
    second.until(lambda: clock(world) is None, "the clock is removed")
    assert (world.get("Ingress", INGRESS) or {})["metadata"]["uid"] == uid


def _gcos_route(world: World) -> dict[str, Any]:
    backend = {"service": {"name": "chat", "port": {"number": 80}}}
    return {
        "kind": "Ingress",
        "metadata": {"name": INGRESS, "labels": {"app": "chat", "project": "gco", "gco.io/type": "inference"}},
        "spec": {
            "ingressClassName": "alb",
            "rules": [{"http": {"paths": [{"path": "/inference/chat", "pathType": "Prefix", "backend": backend}]}}],
        },
    }


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
    uid = world.get("Ingress", INGRESS)["metadata"]["uid"]  # type: ignore[index]
    tell_pods(world, "false")
    is_withdrawn(world, controller)
    set_gate(world, "False")
    tell_pods(world, "true")
    controller.until(lambda: world.get("Ingress", INGRESS), "the Ingress is back")
    assert world.report("chat")["replicas_ready"] == 0
    assert world.get("Ingress", INGRESS)["metadata"]["uid"] != uid  # type: ignore[index]
    set_gate(world, "True")
    is_running(world, controller)


def test_pods_that_only_the_load_balancer_finds_unhealthy_keep_their_ingress(
    world: World, program: Callable[..., Program], webhook: Callable[..., Webhook]
) -> None:
    webhook(gated, "pods")
    controller = program(**QUICK).wait_working()
    put(world)
    controller.until(lambda: containers_ready(world) and world.get("Ingress", INGRESS), "its containers are ready")
    uid = world.get("Ingress", INGRESS)["metadata"]["uid"]  # type: ignore[index]
    controller.until(lambda: reported(world) == ("error", "LoadBalancerUnhealthy"), "the error is reported")
    assert world.get("Ingress", INGRESS)["metadata"]["uid"] == uid  # type: ignore[index]
    set_gate(world, "True")
    is_running(world, controller)
    assert world.get("Ingress", INGRESS)["metadata"]["uid"] == uid  # type: ignore[index]
