"""The lifecycle of an endpoint on a real API server: one test for each improvement over GCO's monitor."""

from collections.abc import Set
from typing import Any

import pytest

from gco_stream.local.audit import Call
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.model import wire
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.states import promoted, running
from tests.integration.support.harness.world import World
from tests.integration.support.leases import release_lease
from tests.support.items import item


def make_ready(world: World, uids: Set[str]) -> None:
    for uid, pod in world.pods("chat").items():
        if uid in uids:
            path = path_of("Pod", world.namespace, pod["metadata"]["name"])
            world.kube.patch(path, {"metadata": {"annotations": {"gco.local/ready": "true"}}})


def test_create_makes_every_object_and_reports_creating_then_running(world: World, controller: Program) -> None:
    world.put(item(spec={"gpu_count": 0, "image": "registry.example/serve:1.0-never-ready"}))
    controller.until(lambda: world.state("chat") == "creating", "creating is reported")
    controller.until(lambda: world.pods("chat"), "a pod exists")
    controller.wait_idle()
    assert set(world.objects()) == {"Service/chat", "Deployment/chat"}
    make_ready(world, world.pods("chat").keys())
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    assert set(world.objects()) == {"Service/chat", "Ingress/inference-chat", "Deployment/chat"}
    report = world.report("chat")
    assert (report["replicas_ready"], report["replicas_desired"]) == (1, 1)
    assert report["intent"].startswith("1:")
    assert report["epoch"] > 0


def test_scaling_changes_the_replicas_and_keeps_the_pods_that_run(world: World, controller: Program) -> None:
    running(world, controller, replicas=2)
    before = world.pods("chat").keys()
    world.user.scale(world.item_of("chat"), 4)
    controller.until(lambda: world.replicas("chat") == 4, "4 replicas are requested")
    controller.until(lambda: world.report("chat").get("replicas_ready") == 4, "4 replicas are ready")
    assert before <= world.pods("chat").keys()


def test_an_image_change_rolls_out_and_is_running_only_when_no_old_pod_is_left(
    world: World, controller: Program
) -> None:
    running(world, controller)
    old, image = world.pods("chat"), "registry.example/serve:2.0-never-ready"
    world.update_spec("chat", image=image)
    controller.until(lambda: world.container("chat")["image"] == image, "the image rolls out")
    controller.until(lambda: world.state("chat") == "updating", "updating is reported")
    controller.until(lambda: world.pods("chat").keys() - old.keys(), "the new pod exists")
    assert world.pods("chat").keys() > old.keys()
    make_ready(world, world.pods("chat").keys() - old.keys())
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods("chat").values()} == {image}
    promoted(world, controller)


@pytest.mark.parametrize(
    ("kind", "name", "patch", "look", "wanted"),
    [
        ("Deployment", "chat", {"spec": {"replicas": 7}}, lambda o: o["spec"]["replicas"], 1),
        (
            "Deployment",
            "chat",
            {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [
                                {
                                    "name": "inference",
                                    "image": "evil.example/x:1",
                                    "env": [{"name": "A", "value": "changed"}],
                                }
                            ]
                        }
                    }
                }
            },
            lambda o: [(c["image"], c["env"][0]["value"]) for c in o["spec"]["template"]["spec"]["containers"]],
            [("registry.example/serve:1.0", "1")],
        ),
        ("Service", "chat", {"spec": {"selector": {"app": "other"}}}, lambda o: o["spec"]["selector"], {"app": "chat"}),
        (
            "Service",
            "chat",
            {"spec": {"ports": [{"port": 81, "targetPort": 1, "protocol": "TCP"}]}},
            lambda o: [(port["port"], port["targetPort"]) for port in o["spec"]["ports"]],
            [(80, 8000)],
        ),
        (
            "Ingress",
            "inference-chat",
            {"metadata": {"annotations": {"alb.ingress.kubernetes.io/healthcheck-path": "/x"}}},
            lambda o: o["metadata"]["annotations"]["alb.ingress.kubernetes.io/healthcheck-path"],
            "/health",
        ),
        (
            "Service",
            "chat",
            {"metadata": {"labels": {"project": None}}},
            lambda o: o["metadata"]["labels"].get("project"),
            "gco",
        ),
    ],
    ids=["replicas", "image and env", "selector", "service port", "annotation", "label"],
)
def test_drift_in_every_owned_field_is_restored(
    kind: str, name: str, patch: dict[str, Any], look: Any, wanted: object, world: World, controller: Program
) -> None:
    running(world, controller, env={"A": "1"})
    content_type = "application/merge-patch+json"
    if kind == "Deployment":
        content_type = "application/strategic-merge-patch+json"
    changed = world.kube.patch(path_of(kind, world.namespace, name), patch, content_type=content_type)
    assert look(changed) != wanted
    controller.until(lambda: look(world.get(kind, name)) == wanted, f"{kind} is restored")


def test_fields_of_other_managers_are_kept(world: World, controller: Program) -> None:
    running(world, controller)
    world.kube.patch(
        path_of("Deployment", world.namespace, "chat"),
        {"metadata": {"annotations": {"team": "b"}}, "spec": {"revisionHistoryLimit": 2, "replicas": 5}},
    )
    controller.until(lambda: world.replicas("chat") == 1, "our field is restored")
    deployment = world.get("Deployment", "chat")
    assert deployment is not None
    assert deployment["spec"]["revisionHistoryLimit"] == 2
    assert deployment["metadata"]["annotations"]["team"] == "b"


def test_a_deleted_object_is_recreated(world: World, controller: Program) -> None:
    running(world, controller)
    for kind, name in (("Service", "chat"), ("Ingress", "inference-chat"), ("Deployment", "chat")):
        before = world.get(kind, name)
        assert before is not None
        world.kube.delete(path_of(kind, world.namespace, name))
        controller.until(
            lambda kind=kind, name=name, before=before: (
                (found := world.get(kind, name)) is not None and found["metadata"]["uid"] != before["metadata"]["uid"]
            ),
            f"{kind} is recreated",
        )


def test_an_env_variable_removed_from_the_item_is_removed_from_the_pods(world: World, controller: Program) -> None:
    running(world, controller, env={"A": "1", "B": "2"})
    world.update_spec("chat", env={"B": "2"})
    controller.until(
        lambda: world.container("chat").get("env") == [{"name": "B", "value": "2"}], "the variable is gone"
    )


def test_a_stopped_endpoint_has_no_ingress_and_starts_again_with_one_replica(world: World, controller: Program) -> None:
    running(world, controller, replicas=1)
    world.set_desired_state("chat", "stopped")
    controller.until(lambda: world.state("chat") == "stopped", "stopped is reported")
    assert world.replicas("chat") == 0
    assert world.get("Ingress", "inference-chat") is None
    assert world.pods("chat") == {}
    world.set_desired_state("chat", "running")
    controller.until(lambda: world.replicas("chat") == 1, "the endpoint starts")
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    assert world.get("Ingress", "inference-chat") is not None


def test_deleting_is_reported_until_everything_is_gone_and_then_the_item_is_purged(
    world: World, controller: Program
) -> None:
    running(world, controller, autoscaling={"enabled": True})
    path = path_of("Deployment", world.namespace, "chat")
    world.kube.patch(path, {"metadata": {"finalizers": ["example.com/hold"]}})
    world.set_desired_state("chat", "deleted")
    controller.until(lambda: world.state("chat") == "deleting", "deleting is reported")
    controller.until(lambda: set(world.objects()) == {"Deployment/chat"}, "everything else is gone")
    assert world.state("chat") == "deleting"
    world.kube.patch(path, {"metadata": {"finalizers": None}})
    controller.until(lambda: world.item("chat") is None, "the item is purged")
    assert world.objects() == {}


def test_objects_left_without_a_deployment_are_deleted_too(world: World, controller: Program) -> None:
    running(world, controller)
    controller.kill()
    release_lease(world.kube, world.namespace)
    world.kube.delete(path_of("Deployment", world.namespace, "chat"))
    world.set_desired_state("chat", "deleted")
    controller.start().wait_working()
    controller.until(lambda: world.item("chat") is None, "the item is purged")
    assert world.objects() == {}


def test_an_endpoint_is_promoted_only_when_every_target_region_runs_the_current_spec(
    world: World, controller: Program
) -> None:
    world.put(item(spec={"gpu_count": 0}, target_regions=["us-east-1", "eu-west-1"]))
    controller.until(lambda: world.state("chat") == "running", "this region reports running")
    asked = world.item("chat")
    assert asked is not None
    assert asked["desired_state"] == "deploying"
    # The test plays the other region's controller; the last region to report promotes the endpoint.
    other = {"state": "running", "replicas_ready": 1, "replicas_desired": 1, "last_sync": "x", "intent": "1:older"}
    write_status(world, "eu-west-1", other)
    world.user.scale(world.item_of("chat"), 2)
    controller.until(lambda: world.report("chat").get("replicas_ready") == 2, "this region runs the latest spec")
    asked = world.item("chat")
    assert asked is not None
    assert asked["desired_state"] == "deploying"
    write_status(world, "eu-west-1", other | {"intent": world.report("chat")["intent"]})
    world.kube.patch(path_of("Deployment", world.namespace, "chat"), {"spec": {"replicas": 3}})
    promoted(world, controller)


def write_status(world: World, region: str, status: dict[str, Any]) -> None:
    world.table.client.update_item(
        TableName=world.table.name,
        Key={"endpoint_name": {"S": "chat"}},
        UpdateExpression="SET region_status.#r = :s",
        ExpressionAttributeNames={"#r": region},
        ExpressionAttributeValues={":s": wire.encode_value(status)},
    )


def test_status_is_written_only_on_change_and_an_idle_program_makes_no_calls(
    world: World, controller: Program, control_plane: ControlPlane, controller_user: str
) -> None:
    running(world, controller)

    def calls(mark: int, renewals: int) -> list[Call]:
        """Returns the calls made while the lease was renewed this number of times."""

        def made() -> list[Call]:
            return control_plane.audit.calls(mark, user=controller_user)

        controller.until(lambda: sum(call.resource == "leases" for call in made()) >= renewals, "the lease is renewed")
        return [call for call in made() if call.resource != "leases" and call.verb != "watch"]

    # Events and the watch events of its own writes arrive after the writes.
    controller.until(lambda: not calls(control_plane.audit.mark(), 1), "the program is idle")
    before = world.item("chat")
    assert calls(control_plane.audit.mark(), 3) == []
    assert world.item("chat") == before


def test_with_autoscaling_the_hpa_owns_the_replicas(world: World, controller: Program) -> None:
    running(world, controller, replicas=2, autoscaling={"enabled": True, "min_replicas": 2, "max_replicas": 8})
    world.kube.patch(f"{path_of('Deployment', world.namespace, 'chat')}/scale", {"spec": {"replicas": 5}})
    world.update_spec("chat", autoscaling={"enabled": True, "min_replicas": 2, "max_replicas": 9})
    controller.until(
        lambda: (world.get("HorizontalPodAutoscaler", "chat") or {"spec": {}})["spec"].get("maxReplicas") == 9,
        "the HPA follows the item",
    )
    assert world.replicas("chat") == 5
    world.update_spec("chat", autoscaling=None, replicas=3)
    controller.until(lambda: world.get("HorizontalPodAutoscaler", "chat") is None, "the HPA is deleted")
    controller.until(lambda: world.replicas("chat") == 3, "the item sets the replicas again")


def test_names_that_collide_or_are_too_long_are_refused_with_a_clear_error(world: World, controller: Program) -> None:
    running(world, controller, canary={"image": "registry.example/serve:2.0"})
    world.put(item("chat-canary"))
    controller.until(lambda: world.state("chat-canary") == "error", "the second owner is rejected")
    assert world.report("chat-canary")["reason"] == "ObjectNotOwned"
    assert "belongs to the endpoint chat" in world.report("chat-canary")["error"]
    long = "a" * 60
    world.put(item(long, spec={"canary": {"image": "registry.example/serve:2.0"}}))
    controller.until(lambda: world.report(long).get("reason") == "InvalidSpec", "the canary is rejected")
    assert "at most 63 characters (56 with a canary)" in world.report(long)["error"]


def test_an_object_that_is_not_ours_is_left_alone_and_named(world: World, controller: Program) -> None:
    foreign = {"metadata": {"name": "chat"}, "spec": {"ports": [{"port": 1}], "selector": {"app": "theirs"}}}
    before = world.kube.create(path_of("Service", world.namespace), foreign)
    world.put(item())
    controller.until(lambda: world.state("chat") == "error", "the error is reported")
    assert world.report("chat")["reason"] == "ObjectNotOwned"
    assert "Service" in world.report("chat")["error"]
    world.set_desired_state("chat", "deleted")
    controller.until(lambda: world.item("chat") is None, "the item is purged")
    assert world.get("Service", "chat") == before


def test_objects_of_the_former_system_are_adopted_without_a_restart(world: World, controller: Program) -> None:
    running(world, controller)
    controller.kill()
    release_lease(world.kube, world.namespace)
    before = world.pods("chat").keys()
    objects = world.objects()
    world.kube.delete(path_of("Deployment", world.namespace, "chat"))
    world.kube.delete(path_of("Service", world.namespace, "chat"))
    world.kube.wait_for(lambda: "Deployment/chat" not in world.objects(), what="the Deployment is gone")
    for kind in ("Deployment", "Service"):
        plain = objects[f"{kind}/chat"]
        body = {
            "metadata": {"name": "chat", "labels": plain["metadata"]["labels"]},
            "spec": {key: value for key, value in plain["spec"].items() if key not in {"clusterIP", "clusterIPs"}},
        }
        world.kube.request("POST", path_of(kind, world.namespace), body, query={"fieldManager": "OpenAPI-Generator"})
    # The pods of the deleted Deployment disappear a while after it.
    world.kube.wait_for(
        lambda: len(world.pods("chat").keys() - before) == len(world.pods("chat")) == 1, what="its pod exists"
    )
    pods = world.pods("chat").keys()
    controller.start().wait_working()
    controller.until(
        lambda: "gco.io/template-version" in world.objects()["Deployment/chat"]["metadata"].get("annotations", {}),
        "the Deployment is adopted",
    )
    world.user.scale(world.item_of("chat"), 2)
    controller.until(lambda: world.report("chat").get("replicas_ready") == 2, "the Deployment is scaled")
    assert pods <= world.pods("chat").keys()
    service = world.get("Service", "chat")
    assert service is not None
    managers = {(entry["manager"], entry["operation"]) for entry in service["metadata"]["managedFields"]}
    assert managers == {("gco-stream", "Apply")}


def test_changes_and_errors_are_reported_by_events(world: World, controller: Program) -> None:
    running(world, controller)

    def told(type_: str, reason: str, words: str) -> bool:
        events = world.kube.list(path_of("Event", world.namespace))
        return any(
            (event["type"], event["reason"]) == (type_, reason)
            and words in event["note"]
            and event["regarding"]["name"] == "chat"
            for event in events
            if event.get("reportingController") == "gco-stream"
        )

    world.user.scale(world.item_of("chat"), 2)
    controller.until(
        lambda: told("Normal", "Updated", "spec.replicas: is 1, should be 2"), "an Event reports the change"
    )
    world.update_spec("chat", port=99999)
    controller.until(
        lambda: told("Warning", "InvalidSpec", "spec.port: invalid value 99999"), "an Event reports the error"
    )
