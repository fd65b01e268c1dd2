"""Other controllers that keep overwriting fields, on a real API server: a mutating webhook and an image updater."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.legacy_objects import edit, small
from tests.integration.support.webhook import Webhook

pytestmark = pytest.mark.integration

THEIRS = "registry.example/theirs:9"
OURS = "registry.example/serve:1.0"
MARK = "gco.io/contested"
_MARK_PATH = "/metadata/annotations/gco.io~1contested"
Json = dict[str, Any]


def insists_on_the_image(obj: Json, _operation: str) -> list[Json]:
    if obj["metadata"]["name"] != "chat":
        return []
    return [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": THEIRS}]


def insists_on_the_interval(_obj: Json, _operation: str) -> list[Json]:
    path = "/metadata/annotations/alb.ingress.kubernetes.io~1healthcheck-interval-seconds"
    return [{"op": "replace", "path": path, "value": "99"}]


def annotation(world: World, kind: str, name: str) -> str:
    found = world.get(kind, name)
    assert found is not None
    return str(found["metadata"]["annotations"].get(MARK, ""))


class Writes:
    """Counts the controller's writes to one kind of resource from now on."""

    def __init__(self, plane: ControlPlane, user: str, resource: str) -> None:
        self._plane, self._user, self._resource = plane, user, resource
        self._mark = plane.audit.mark()

    def count(self) -> int:
        calls = self._plane.audit.calls(self._mark, user=self._user)
        return sum(call.resource == self._resource and call.verb in {"patch", "update", "delete"} for call in calls)


@pytest.fixture
def writes(control_plane: ControlPlane, controller_user: str) -> Callable[[str], Writes]:
    return lambda resource: Writes(control_plane, controller_user, resource)


def runs(world: World, controller: Program, **spec: Any) -> None:
    world.put(small(**spec))
    controller.until(lambda: (world.item("chat") or {}).get("desired_state") == "running", "the endpoint is promoted")


def test_a_webhook_wins_an_image_after_three_applies_even_across_a_restart(
    world: World, controller: Program, webhook: Callable[..., Webhook], writes: Callable[[str], Writes]
) -> None:
    runs(world, controller)
    sent = writes("deployments")
    hook = webhook(insists_on_the_image, "deployments")
    edit(world, "Deployment", "chat", {"metadata": {"labels": {"team": "b"}}})
    controller.until(lambda: annotation(world, "Deployment", "chat").startswith("template "), "the object is contested")
    controller.until(lambda: world.state("chat") == "error", "the conflict is reported")
    assert world.report("chat")["reason"] == "Contested"
    error = world.report("chat")["error"]
    assert f"Deployment {world.namespace}/chat" in error
    assert f"containers[inference].image: is '{THEIRS}', should be '{OURS}'" in error
    assert sent.count() == 4  # three applies and the annotation

    # The rest of the endpoint still works, and none of it touches the Deployment's template.
    world.user.scale(world.item_of("chat"), 2)
    controller.until(lambda: world.report("chat").get("replicas_ready") == 2, "the endpoint is scaled")
    world.update_spec("chat", canary={"image": "registry.example/serve:2.0"})
    controller.until(lambda: world.get("Deployment", "chat-canary"), "the canary is created")
    marked = annotation(world, "Deployment", "chat")
    controller.until(lambda: rolled_out(world), "the Deployment has rolled out")
    pods = world.pods("chat").keys()
    assert controller.stop() == 0
    controller.start().wait_working()
    world.put(small("after"))
    controller.until(lambda: world.state("after") == "running", "the next endpoint runs")
    assert annotation(world, "Deployment", "chat") == marked
    assert world.pods("chat").keys() == pods
    assert [call for call in hook.asked if call.name == "chat" and call.operation == "DELETE"] == []

    # Without the webhook, a changed item is applied and the annotation is removed.
    hook.change = lambda *_: []
    world.update_spec("chat", image="registry.example/serve:3.0")
    controller.until(lambda: world.container("chat")["image"] == "registry.example/serve:3.0", "the image is applied")
    controller.until(lambda: annotation(world, "Deployment", "chat") == "", "the annotation is gone")
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    controller.until(lambda: not world.report("chat").keys() & {"error", "reason"}, "no error is reported")


def test_a_contested_annotation_is_reported_and_retried_later(
    world: World, controller: Program, webhook: Callable[..., Webhook], writes: Callable[[str], Writes]
) -> None:
    runs(world, controller)
    hook = webhook(insists_on_the_interval, "ingresses")
    sent = writes("ingresses")
    edit(world, "Ingress", "inference-chat", {"metadata": {"labels": {"team": "b"}}})
    controller.until(lambda: "Ingress" in world.report("chat").get("error", ""), "the conflict is reported")
    assert (world.state("chat"), world.report("chat")["reason"]) == ("running", "Contested")
    marked = annotation(world, "Ingress", "inference-chat")
    assert marked.startswith("object ")
    assert sent.count() == 4
    # Simulates that a minute has passed: the annotation is the only state.
    hook.change = lambda *_: []
    earlier = " ".join([*marked.split()[:3], "2026-01-01T00:00:00+00:00"])
    edit(world, "Ingress", "inference-chat", {"metadata": {"annotations": {MARK: earlier}}})
    controller.until(lambda: annotation(world, "Ingress", "inference-chat") == "", "the retry succeeds")
    controller.until(lambda: "error" not in world.report("chat"), "no error is reported")
    assert (
        world.objects()["Ingress/inference-chat"]["metadata"]["annotations"][
            "alb.ingress.kubernetes.io/healthcheck-interval-seconds"
        ]
        == "15"
    )


@pytest.mark.parametrize("how", ["strips", "forbids"])
def test_a_webhook_that_blocks_the_contested_annotation_causes_no_loop(
    how: str, world: World, controller: Program, webhook: Callable[..., Webhook], writes: Callable[[str], Writes]
) -> None:
    def change(obj: Json, operation: str) -> list[Json]:
        patch = insists_on_the_image(obj, operation)
        if patch and MARK in obj["metadata"].get("annotations", {}):
            # A webhook that raises rejects the write.
            assert how == "strips", "the annotation is not allowed"
            patch.append({"op": "remove", "path": _MARK_PATH})
        return patch

    runs(world, controller)
    webhook(change, "deployments")
    sent = writes("deployments")
    edit(world, "Deployment", "chat", {"metadata": {"labels": {"team": "b"}}})
    controller.until(lambda: world.state("chat") == "error", "the conflict is reported")
    assert world.report("chat")["reason"] == "Contested"
    assert "Deployment" in world.report("chat")["error"]
    for name in ("one", "two", "three"):
        world.put(small(name))
        controller.until(lambda name=name: world.state(name) == "running", f"{name} is running")
    edit(world, "Deployment", "chat", {"metadata": {"labels": {"team": "c"}}})
    world.put(small("four"))
    controller.until(lambda: world.state("four") == "running", "the last endpoint is running")
    assert sent.count() <= 16


@contextmanager
def updater(world: World) -> Iterator[None]:
    """Sets its image shortly after another field manager has set a different one."""
    stop = threading.Event()
    path = path_of("Deployment", world.namespace, "chat")

    def look() -> None:
        while not stop.wait(0.7):
            if world.container("chat")["image"] != THEIRS:
                containers = [{"name": "inference", "image": THEIRS}]
                edit(world, "Deployment", "chat", {"spec": {"template": {"spec": {"containers": containers}}}})

    thread = threading.Thread(target=look)
    assert world.kube.find(path)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def rolled_out(world: World) -> bool:
    found = world.get("Deployment", "chat")
    assert found is not None
    status, wanted = found["status"], found["spec"]["replicas"]
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return status.get("observedGeneration") == found["metadata"]["generation"] and counts == {wanted}


def images(world: World) -> list[str]:
    """Returns the images of the pods."""
    return [pod["spec"]["containers"][0]["image"] for pod in world.pods("chat").values()]


def test_an_image_updater_wins_after_three_restarts(world: World, controller: Program) -> None:
    runs(world, controller)
    with updater(world):
        controller.until(
            lambda: annotation(world, "Deployment", "chat").startswith("template "), "the object is contested"
        )
        controller.until(lambda: world.state("chat") == "error", "the conflict is reported")
        applied = [
            step
            for line in controller.lines()
            for step in line.get("steps", ())
            if step.startswith("apply Deployment") and line.get("endpoint") == "chat"
        ]
        assert len(applied) == 3
        controller.until(lambda: images(world) == [THEIRS], "their image has rolled out")
        pods = world.pods("chat").keys()
        assert controller.stop() == 0
        controller.start().wait_working()
        world.put(small("after"))
        controller.until(lambda: world.state("after") == "running", "the next endpoint runs")
        assert (world.pods("chat").keys(), world.container("chat")["image"]) == (pods, THEIRS)
    # A user removes the annotation after the updater is gone.
    edit(world, "Deployment", "chat", {"metadata": {"annotations": {MARK: None}}})
    controller.until(lambda: world.container("chat")["image"] == OURS, "our image is restored")
    controller.until(lambda: world.state("chat") == "running", "running is reported")


def test_a_contested_object_stays_contested_across_a_hold(
    world: World, controller: Program, webhook: Callable[..., Webhook], writes: Callable[[str], Writes]
) -> None:
    runs(world, controller)
    webhook(insists_on_the_image, "deployments")
    edit(world, "Deployment", "chat", {"metadata": {"labels": {"team": "b"}}})
    controller.until(lambda: annotation(world, "Deployment", "chat").startswith("template "), "the object is contested")
    controller.until(lambda: world.report("chat").get("reason") == "Contested", "the conflict is reported")
    controller.until(lambda: rolled_out(world) and images(world) == [THEIRS], "their image has rolled out")
    controller.wait_idle()
    marked, pods, sent = annotation(world, "Deployment", "chat"), world.pods("chat").keys(), writes("deployments")

    world.user.hold(world.item_of("chat"), "incident 12")
    controller.until(lambda: world.report("chat").get("reason") == "Held", "the hold is reported")
    # The next process knows of the conflict only from the object's annotation.
    assert controller.stop() == 0
    controller.start().wait_working()
    world.user.release(world.item_of("chat"))
    controller.until(lambda: world.report("chat").get("reason") == "Contested", "the conflict is reported again")
    assert world.state("chat") == "error"
    world.put(small("after"))
    controller.until(lambda: world.state("after") == "running", "the next endpoint runs")
    controller.wait_idle()
    assert annotation(world, "Deployment", "chat") == marked
    assert (world.pods("chat").keys(), images(world)) == (pods, [THEIRS])
    # The only write is to the other endpoint's Deployment.
    assert sent.count() == 1


def test_a_contested_object_is_reported_by_an_event(
    world: World, controller: Program, webhook: Callable[..., Webhook]
) -> None:
    runs(world, controller)
    webhook(insists_on_the_image, "deployments")
    edit(world, "Deployment", "chat", {"metadata": {"labels": {"team": "b"}}})

    def told() -> bool:
        return any(
            event["reason"] == "Contested" and event["type"] == "Warning" and THEIRS in event["note"]
            for event in world.kube.list(path_of("Event", world.namespace))
            if event.get("reportingController") == "gco-stream"
        )

    controller.until(told, "an Event reports the conflict")


def test_a_write_rejected_by_a_webhook_is_not_contested(
    world: World, controller: Program, webhook: Callable[..., Webhook]
) -> None:
    def refuse(obj: Json, _operation: str) -> list[Json]:
        raise ValueError(obj["metadata"]["name"])

    runs(world, controller)
    webhook(refuse, "ingresses")
    with pytest.raises(KubeError):
        edit(world, "Ingress", "inference-chat", {"metadata": {"labels": {"team": "b"}}})
    world.update_spec("chat", port=9000, health_check_path="/other")
    controller.until(lambda: world.state("chat") == "error", "the error is reported")
    assert world.report("chat")["reason"] in {"Rejected", "APIError"}
    assert "failed calling webhook" in world.report("chat")["error"]
    assert annotation(world, "Ingress", "inference-chat") == ""
