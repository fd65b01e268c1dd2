"""The canary on a real API server: it gets traffic only while it is ready, and its route is removed first."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import path_of
from gco_stream.model import names
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.states import INGRESS, weights
from tests.integration.support.harness.world import World
from tests.support.items import item

MAIN, SECOND = "registry.example/serve:1.0", "registry.example/serve:2.0"
SHARED = {"chat": 80, "chat-canary": 20}


def canary(image: str = SECOND, **changes: Any) -> dict[str, Any]:
    return {"image": image, "weight": 20, "replicas": 1, **changes}


def backend(world: World) -> str:
    ingress = world.get("Ingress", INGRESS)
    assert ingress is not None
    return str(ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"])


def running(world: World, controller: Program, **spec: Any) -> None:
    world.put(item(spec={"gpu_count": 0, "image": MAIN, **spec}))
    controller.until(lambda: world.state("chat") == "running", "chat runs")


def images(world: World, app: str) -> set[str]:
    """Returns the images of the pods."""
    return {pod["spec"]["containers"][0]["image"] for pod in world.pods(app).values()}


def tell_pods(world: World, app: str, ready: bool) -> None:
    for pod in world.pods(app).values():
        path = path_of("Pod", world.namespace, pod["metadata"]["name"])
        # A pod that has been replaced meanwhile can be skipped.
        with suppress(KubeError):
            world.kube.patch(path, {"metadata": {"annotations": {"gco.local/ready": str(ready).lower()}}})


def shared(world: World, controller: Program) -> None:
    """Puts an endpoint with a canary and waits until the canary gets its share of traffic."""
    running(world, controller, canary=canary())
    controller.until(lambda: weights(world) == SHARED, "the canary gets its share")


def test_a_ready_canary_gets_traffic_also_from_a_recreated_ingress(world: World, controller: Program) -> None:
    running(world, controller)
    world.update_spec("chat", canary=canary(SECOND + "-never-ready"))
    controller.until(lambda: world.pods("chat-canary"), "the canary's pod exists")
    controller.wait_idle()
    assert weights(world) == {}
    tell_pods(world, "chat-canary", ready=True)
    controller.until(lambda: weights(world) == SHARED, "the ready canary is routed")
    world.kube.delete(path_of("Ingress", world.namespace, INGRESS))
    controller.until(lambda: weights(world) == SHARED, "the recreated Ingress has its route")


def test_an_unready_canary_loses_traffic_immediately_with_an_event(world: World, controller: Program) -> None:
    shared(world, controller)
    tell_pods(world, "chat-canary", ready=False)
    controller.until(lambda: weights(world) == {}, "the canary gets no traffic")
    assert backend(world) == "chat"

    def told() -> bool:
        events = world.kube.list(path_of("Event", world.namespace))
        return any(event.get("reason") == "CanaryUnready" and event["type"] == "Warning" for event in events)

    controller.until(told, "an Event reports it")
    tell_pods(world, "chat-canary", ready=True)
    controller.until(lambda: weights(world) == SHARED, "the canary gets its share again")


def test_a_weight_change_is_one_write_of_the_ingress_and_weight_zero_is_a_plain_backend(
    world: World, controller: Program, control_plane: ControlPlane, controller_user: str
) -> None:
    shared(world, controller)
    # The audit log may lack requests that are not answered yet.
    controller.wait_idle()
    mark = control_plane.audit.mark()
    world.update_spec("chat", canary=canary(weight=35))
    controller.until(lambda: weights(world) == {"chat": 65, "chat-canary": 35}, "the weight is changed")
    world.update_spec("chat", canary=canary(weight=0))
    controller.until(lambda: backend(world) == "chat", "the canary gets no traffic")
    controller.wait_idle()
    assert weights(world) == {}
    assert world.replicas("chat-canary") == 1
    writes = [
        (call.verb, call.resource)
        for call in control_plane.audit.calls(mark, user=controller_user)
        if call.verb in {"create", "update", "patch", "delete"} and call.resource not in {"leases", "events"}
    ]
    assert writes == [("patch", "ingresses")] * 2


def test_a_canary_and_the_main_do_not_wait_for_one_another(world: World, controller: Program) -> None:
    running(world, controller)
    world.update_spec("chat", image="registry.example/serve:3.0-never-ready", canary=canary())
    controller.until(lambda: weights(world) == SHARED, "the canary serves while the main Deployment rolls out")
    controller.until(lambda: world.state("chat") == "updating", "updating is reported")
    world.update_spec("chat", image=MAIN, canary=canary("registry.example/serve:4.0-never-ready"))
    controller.until(
        lambda: world.state("chat") == "running", "the main Deployment runs, although the canary never becomes ready"
    )


def test_a_removed_canary_is_unrouted_drained_and_deleted(world: World, program: Callable[..., Program]) -> None:
    controller = program(CANARY_DRAIN_SECONDS="600").wait_working()
    shared(world, controller)
    uid = world.uid("Deployment", "chat-canary")
    world.update_spec("chat", canary=None)
    controller.until(lambda: weights(world) == {}, "its route is removed first")
    assert world.get("Deployment", "chat-canary") is not None
    world.update_spec("chat", canary=canary())
    controller.until(lambda: weights(world) == SHARED, "the canary is routed again")
    found = world.get("Deployment", "chat-canary")
    assert found is not None
    assert found["metadata"]["uid"] == uid
    ingress = world.get("Ingress", INGRESS)
    assert ingress is not None
    annotations = ingress["metadata"]["annotations"]
    assert names.DRAINING_SINCE_ANNOTATION not in annotations
    world.update_spec("chat", canary=None)
    controller.until(lambda: weights(world) == {}, "its route is removed again")
    controller.wait_idle()
    assert world.get("Deployment", "chat-canary") is not None
    # Simulates the elapsed time: the annotation is the only state.
    earlier = {"metadata": {"annotations": {names.DRAINING_SINCE_ANNOTATION: "2026-01-01T00:00:00+00:00"}}}
    world.kube.patch(path_of("Ingress", world.namespace, INGRESS), earlier)
    controller.until(
        lambda: not world.get("Deployment", "chat-canary") and not world.get("Service", "chat-canary"),
        "its objects are deleted after the drain",
    )


def test_a_promoted_canary_serves_at_its_weight_until_the_main_has_rolled_out(
    world: World, program: Callable[..., Program]
) -> None:
    controller = program(CANARY_DRAIN_SECONDS="1").wait_working()
    image = "registry.example/serve:5.0-never-ready"
    running(world, controller, canary=canary(image))
    controller.until(lambda: world.pods("chat-canary"), "the canary's pod exists")
    tell_pods(world, "chat-canary", ready=True)
    controller.until(lambda: weights(world) == SHARED, "the canary gets its share")
    world.update_spec("chat", image=image, canary=None)
    controller.until(lambda: world.container("chat")["image"] == image, "the main Deployment rolls out")
    controller.until(lambda: world.state("chat") == "updating", "updating is reported")
    assert weights(world) == SHARED
    controller.until(lambda: image in images(world, "chat"), "the new pod exists")
    tell_pods(world, "chat", ready=True)
    controller.until(lambda: weights(world) == {}, "the canary's route is removed after the rollout")
    assert world.state("chat") in {"updating", "running"}
    controller.until(lambda: world.get("Deployment", "chat-canary") is None, "the canary is deleted")


def test_a_canary_of_a_stopped_endpoint_has_no_pods_and_comes_back_with_it(world: World, controller: Program) -> None:
    shared(world, controller)
    world.set_desired_state("chat", "stopped")
    controller.until(lambda: world.state("chat") == "stopped", "stopped is reported")
    assert world.get("Ingress", INGRESS) is None
    assert (world.replicas("chat"), world.replicas("chat-canary")) == (0, 0)
    world.set_desired_state("chat", "deploying")
    controller.until(lambda: weights(world) == SHARED, "both serve again")


def test_a_canary_of_a_withdrawn_endpoint_has_no_traffic(world: World, program: Callable[..., Program]) -> None:
    controller = program(INFERENCE_UNHEALTHY_THRESHOLD_SECONDS="1").wait_working()
    shared(world, controller)
    tell_pods(world, "chat", ready=False)
    controller.until(lambda: world.get("Ingress", INGRESS) is None, "the Ingress is withdrawn")
    assert world.replicas("chat-canary") == 1
    tell_pods(world, "chat", ready=True)
    controller.until(lambda: weights(world) == SHARED, "both serve again")


def test_a_canary_runs_its_own_image_behind_the_mains_root_path(world: World, controller: Program) -> None:
    images = {world.region: "registry.example/vllm-regional:1.0"}
    running(
        world,
        controller,
        image="registry.example/vllm:1.0",
        region_image_uris=images,
        canary=canary("registry.example/vllm:2.0"),
    )
    controller.until(lambda: world.get("Deployment", "chat-canary"), "the canary exists")
    main, second = world.container("chat"), world.container("chat-canary")
    assert (main["image"], second["image"]) == (images[world.region], "registry.example/vllm:2.0")
    assert main["args"] == second["args"] == ["--root-path", "/inference/chat"]
    assert main["readinessProbe"]["httpGet"] == second["readinessProbe"]["httpGet"]
