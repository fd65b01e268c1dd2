"""What becomes of a withdrawn Ingress, and of GCO's Ingress of an unready endpoint, on the real API server."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.legacy_objects import GCO, post
from tests.integration.support.pods import tell_pods
from tests.integration.support.watch_history import WatchHistory
from tests.integration.support.watchdog import (
    CLOCK,
    FORMER_REPORT,
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


@pytest.fixture
def kubeconfig(control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig


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
