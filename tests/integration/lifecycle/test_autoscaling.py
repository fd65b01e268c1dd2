"""Autoscaling on a real API server; a watch records every replica count of a Deployment."""

import copy
from pathlib import Path
from typing import Any

import pytest

from gco_stream.local.audit import Call
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.watch_history import WatchHistory, history
from tests.support.items import item, parity_item, parity_objects

OURS = ("gco-stream", "Apply")
GCO = "OpenAPI-Generator"
_ASSIGNED = ("clusterIP", "clusterIPs")


def promoted(world: World, controller: Program, name: str = "chat") -> None:
    controller.until(lambda: (world.item(name) or {}).get("desired_state") == "running", f"{name} is promoted")


def running(world: World, controller: Program, **spec: Any) -> None:
    """Puts an endpoint and waits for its promotion."""
    world.put(item(spec={"gpu_count": 0, **spec}))
    promoted(world, controller)


def between(low: int, high: int, *metrics: tuple[str, int]) -> dict[str, Any]:
    scaling: dict[str, Any] = {"enabled": True, "min_replicas": low, "max_replicas": high}
    if metrics:
        scaling["metrics"] = [{"type": type_, "target": target} for type_, target in metrics]
    return scaling


def hpa(world: World, name: str = "chat") -> dict[str, Any] | None:
    found = world.get("HorizontalPodAutoscaler", name)
    return None if found is None else dict(found["spec"])


def bounds(world: World, name: str = "chat") -> tuple[int, int] | None:
    spec = hpa(world, name)
    return None if spec is None else (spec["minReplicas"], spec["maxReplicas"])


def metrics(world: World) -> dict[str, int]:
    """Returns the HPA's utilization targets in percent, by resource."""
    spec = hpa(world) or {"metrics": []}
    return {
        metric["resource"]["name"]: metric["resource"]["target"]["averageUtilization"] for metric in spec["metrics"]
    }


def choose(world: World, count: int, name: str = "chat") -> None:
    """Sets the replicas through the scale subresource, as an HPA does."""
    path = f"{path_of('Deployment', world.namespace, name)}/scale"
    # Without a resourceVersion: the status may be updated at any moment.
    world.kube.patch(path, {"spec": {"replicas": count}}, fieldManager="kube-controller-manager")


def ready(world: World, controller: Program, count: int, name: str = "chat") -> None:
    """Waits until this number of replicas is desired, ready and reported."""
    controller.until(
        lambda: (
            [world.report(name).get(key) for key in ("state", "replicas_ready", "replicas_desired")]
            == ["running", count, count]
        ),
        f"{count} replicas run",
    )


def owners(world: World, field: str, name: str = "chat") -> set[tuple[str, str]]:
    """Returns the manager and operation of each owner of a field of the Deployment's spec."""
    found = world.get("Deployment", name)
    assert found is not None
    return {
        (entry["manager"], entry["operation"])
        for entry in found["metadata"]["managedFields"]
        if field in entry["fieldsV1"].get("f:spec", {})
    }


def handed_over(world: World, controller: Program, name: str = "chat") -> None:
    """Waits until the HPA exists and this controller no longer owns the replicas."""
    controller.until(lambda: hpa(world, name) is not None, "the HPA exists")
    controller.until(lambda: OURS not in owners(world, "f:replicas", name), "the replicas are not ours any more")


@pytest.fixture
def kubeconfig(control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig


def test_the_hpa_follows_the_item(world: World, controller: Program, kubeconfig: Path) -> None:
    running(world, controller, replicas=2, autoscaling=between(2, 8, ("cpu", 60), ("memory", 80)))
    handed_over(world, controller)
    spec = hpa(world)
    assert spec is not None
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
    pods = world.pods("chat").keys()
    with WatchHistory(kubeconfig, world, "chat") as watched:
        world.update_spec("chat", autoscaling=between(1, 8, ("cpu", 60), ("memory", 80)))
        controller.until(lambda: bounds(world) == (1, 8), "the minimum is updated")
        world.update_spec("chat", autoscaling=between(1, 5, ("cpu", 60), ("memory", 80)))
        controller.until(lambda: bounds(world) == (1, 5), "the maximum is updated")
        world.update_spec("chat", autoscaling=between(1, 5, ("cpu", 55), ("memory", 80)))
        controller.until(lambda: metrics(world) == {"cpu": 55, "memory": 80}, "the target is updated")
        world.update_spec("chat", autoscaling=between(1, 5, ("memory", 80)))
        controller.until(lambda: metrics(world) == {"memory": 80}, "the dropped metric is removed")
        world.update_spec("chat", autoscaling={"enabled": True})
        controller.until(lambda: (bounds(world), metrics(world)) == ((1, 10), {"cpu": 70}), "the defaults are restored")
        world.update_spec("chat", autoscaling={"enabled": False})
        controller.until(lambda: hpa(world) is None, "the HPA is deleted when autoscaling is disabled")
        world.update_spec("chat", autoscaling=between(2, 4))
        controller.until(lambda: bounds(world) == (2, 4), "the HPA is recreated")
        world.update_spec("chat", autoscaling=None)
        controller.until(lambda: hpa(world) is None, "the HPA is deleted with the autoscaling field")
        promoted(world, controller)
        assert (watched.replicas(), watched.sets()) == ([2], [[2]])
    assert world.pods("chat").keys() == pods


def test_an_edited_or_deleted_hpa_is_restored(world: World, controller: Program) -> None:
    running(world, controller, autoscaling=between(1, 4, ("cpu", 60)))
    handed_over(world, controller)
    path = path_of("HorizontalPodAutoscaler", world.namespace, "chat")
    world.kube.patch(path, {"spec": {"maxReplicas": 50, "minReplicas": 3, "metrics": []}})
    controller.until(lambda: (bounds(world), metrics(world)) == ((1, 4), {"cpu": 60}), "the HPA is restored")
    world.kube.delete(path)
    controller.until(lambda: bounds(world) == (1, 4), "the HPA is recreated")


def test_replicas_move_to_the_hpa_and_back_without_an_intermediate_count(
    world: World, controller: Program, kubeconfig: Path
) -> None:
    running(world, controller, replicas=4)
    pods = world.pods("chat").keys()
    with WatchHistory(kubeconfig, world, "chat") as watched:
        world.update_spec("chat", replicas=2, autoscaling=between(2, 8))
        handed_over(world, controller)
        promoted(world, controller)
        controller.wait_idle()
        assert (watched.replicas(), watched.sets()) == ([4], [[4]])
        choose(world, 6)
        ready(world, controller, 6)
        assert watched.replicas() == [4, 6]
        world.update_spec("chat", replicas=3, autoscaling=None)
        controller.until(lambda: world.replicas("chat") == 3, "the item sets the replicas again")
        ready(world, controller, 3)
        assert hpa(world) is None
        # A template change in the same update is rolled out at the same count.
        world.update_spec("chat", replicas=1, image="registry.example/serve:2.0", autoscaling=between(1, 4))
        handed_over(world, controller)
        promoted(world, controller)
        controller.wait_idle()
        assert watched.replicas() == [4, 6, 3]
        assert watched.sets()[0] == [4, 6, 3, *watched.sets()[0][3:]]
        assert max(max(counts) for counts in watched.sets()) == 6
    assert len(pods) == 4
    assert world.replicas("chat") == 3


def test_the_count_is_brought_within_bounds_in_one_step_as_it_is_handed_over(
    world: World, controller: Program, kubeconfig: Path
) -> None:
    world.put(item("low", spec={"gpu_count": 0, "replicas": 1}))
    world.put(item("high", spec={"gpu_count": 0, "replicas": 5}))
    promoted(world, controller, "low")
    promoted(world, controller, "high")
    with WatchHistory(kubeconfig, world, "low") as low, WatchHistory(kubeconfig, world, "high") as high:
        for name in ("low", "high"):
            world.update_spec(name, autoscaling=between(3, 4))
            handed_over(world, controller, name)
            promoted(world, controller, name)
        controller.wait_idle()
        assert (low.replicas(), low.sets()) == ([1, 3], [[1, 3]])
        assert (high.replicas(), high.sets()) == ([5, 4], [[5, 4]])


def as_gco_made_it(kube: KubeApi, world: World, case: str, replicas: int) -> None:
    """POSTs the objects of a case with the default field manager of the Python client, as GCO does."""
    for key, obj in parity_objects(case).items():
        body = copy.deepcopy(obj)
        body["metadata"]["namespace"] = world.namespace
        if key.startswith("Deployment/"):
            body["spec"]["replicas"] = replicas
        for assigned in _ASSIGNED:
            body["spec"].pop(assigned, None)
        kube.request("POST", path_of(key.partition("/")[0], world.namespace), body, query={"fieldManager": GCO})


def test_an_adopted_deployment_moves_to_an_hpa_and_back_without_a_third_count(
    world: World, program: Any, kubeconfig: Path
) -> None:
    name = "autoscaled"
    as_gco_made_it(world.kube, world, name, replicas=2)
    world.kube.wait_for(lambda: len(world.pods(name)) == 2, what="both pods exist")
    pods = world.pods(name).keys()
    with WatchHistory(kubeconfig, world, name) as watched:
        world.put(parity_item(name))
        controller = program().wait_working()
        promoted(world, controller, name)
        controller.wait_idle()
        assert (watched.replicas(), watched.sets()) == ([2], [[2]])
        choose(world, 5, name)
        ready(world, controller, 5, name)
        scaling = parity_item(name)["spec"]["autoscaling"]
        world.update_spec(name, replicas=3, autoscaling=None)
        controller.until(lambda: hpa(world, name) is None, "the HPA is deleted")
        ready(world, controller, 3, name)
        promoted(world, controller, name)
        assert watched.replicas() == [2, 5, 3]
        world.update_spec(name, replicas=7, autoscaling=scaling)
        controller.until(lambda: bounds(world, name) == (2, 8), "the HPA exists again")
        promoted(world, controller, name)
        controller.wait_idle()
        assert (watched.replicas(), watched.sets()) == ([2, 5, 3], [[2, 5, 3]])
        assert len(pods & world.pods(name).keys()) >= 1
        # Until here the adopted template was left alone; a template change takes over the whole object.
        assert OURS not in owners(world, "f:template", name)
        world.update_spec(name, image="registry.example/serve:2.0")
        controller.until(lambda: OURS in owners(world, "f:template", name), "the template is taken over")
        ready(world, controller, 3, name)
        promoted(world, controller, name)
        assert OURS not in owners(world, "f:replicas", name)
        assert watched.replicas() == [2, 5, 3]
        world.update_spec(name, replicas=4, autoscaling=None)
        ready(world, controller, 4, name)
        assert watched.replicas() == [2, 5, 3, 4]


def test_an_adopted_deployment_whose_template_changes_is_taken_over_without_a_dip(
    world: World, program: Any, kubeconfig: Path
) -> None:
    name = "autoscaled"
    as_gco_made_it(world.kube, world, name, replicas=6)
    world.kube.wait_for(lambda: len(world.pods(name)) == 6, what="six pods exist")
    plain = parity_item(name)
    with WatchHistory(kubeconfig, world, name) as watched:
        world.put(plain | {"spec": plain["spec"] | {"image": "registry.example/serve:2.0"}})
        controller = program().wait_working()
        promoted(world, controller, name)
        controller.wait_idle()
        assert watched.replicas() == [6]
        ready(world, controller, 6, name)
    assert OURS in owners(world, "f:template", name)
    assert OURS not in owners(world, "f:replicas", name)


def test_bounds_in_the_wrong_order_are_an_error_that_names_both_and_changes_nothing(
    world: World, controller: Program
) -> None:
    running(world, controller, replicas=2, autoscaling=between(2, 8))
    handed_over(world, controller)
    before = world.objects()
    world.update_spec("chat", port=9000, autoscaling=between(9, 4))
    controller.until(lambda: world.state("chat") == "error", "the error is reported")
    error = world.report("chat")["error"]
    assert "spec.autoscaling" in error
    assert "min_replicas (9) must not be greater than max_replicas (4)" in error
    controller.wait_idle()
    after = world.objects()
    assert {key: obj["spec"] for key, obj in after.items()} == {key: obj["spec"] for key, obj in before.items()}
    assert {key: obj["metadata"]["uid"] for key, obj in after.items()} == {
        key: obj["metadata"]["uid"] for key, obj in before.items()
    }
    # The endpoint can still be stopped, and it starts once the spec is fixed.
    world.set_desired_state("chat", "stopped")
    controller.until(lambda: world.state("chat") == "stopped", "stopped is reported")
    assert (hpa(world), world.replicas("chat")) == (None, 0)
    world.update_spec("chat", autoscaling=between(3, 4))
    ready(world, controller, 3)
    assert bounds(world) == (3, 4)
    # Pods may be gone before a report is due, so "stopping" may be missing.
    assert [state for state in history(world, "chat") if state in {"error", "stopped"}] == ["error", "stopped"]


def test_unknown_metrics_are_ignored_and_cpu_is_the_fallback(world: World, controller: Program) -> None:
    running(world, controller, autoscaling=between(1, 4, ("gpu", 50), ("memory", 80)))
    controller.until(lambda: metrics(world) == {"memory": 80}, "the HPA uses the known metric")
    world.update_spec("chat", autoscaling=between(1, 4, ("gpu", 50)))
    controller.until(lambda: metrics(world) == {"cpu": 70}, "the HPA falls back to cpu")
    promoted(world, controller)
    assert world.state("chat") == "running"


def test_a_stopped_endpoint_has_no_hpa_and_starts_within_its_bounds(
    world: World, controller: Program, kubeconfig: Path
) -> None:
    running(world, controller, replicas=1, autoscaling=between(2, 8))
    handed_over(world, controller)
    choose(world, 5)
    ready(world, controller, 5)
    with WatchHistory(kubeconfig, world, "chat") as watched:
        world.set_desired_state("chat", "stopped")
        controller.until(lambda: world.state("chat") == "stopped", "stopped is reported")
        assert (hpa(world), world.get("Ingress", "inference-chat")) == (None, None)
        world.set_desired_state("chat", "deploying")
        handed_over(world, controller)
        ready(world, controller, 2)
        promoted(world, controller)
        assert (watched.replicas(), watched.sets()) == ([5, 0, 2], [[5, 0, 2]])
    assert bounds(world) == (2, 8)


def writes_to_the_deployment(calls: list[Call]) -> list[tuple[str, str]]:
    return [
        (call.verb, call.subresource)
        for call in calls
        if call.resource == "deployments" and call.verb not in {"get", "list", "watch"}
    ]


def test_a_replica_count_set_by_the_hpa_is_not_drift(
    world: World, controller: Program, control_plane: ControlPlane, controller_user: str, kubeconfig: Path
) -> None:
    running(world, controller, replicas=2, autoscaling=between(2, 8))
    handed_over(world, controller)
    controller.wait_idle()
    mark = control_plane.audit.mark()
    with WatchHistory(kubeconfig, world, "chat") as watched:
        for count in (7, 3, 5):
            choose(world, count)
            ready(world, controller, count)
        # A restart of the program, which checks every object, does not change the count either.
        assert controller.stop() == 0
        controller.start().wait_working()
        controller.wait_idle()
        assert writes_to_the_deployment(control_plane.audit.calls(mark, user=controller_user)) == []
        # Other drift is repaired without touching the count, and so is a new template.
        edit = {"metadata": {"labels": {"project": "other"}}}
        world.kube.patch(path_of("Deployment", world.namespace, "chat"), edit)
        controller.until(
            lambda: (world.get("Deployment", "chat") or {})["metadata"]["labels"]["project"] == "gco",
            "the label is restored",
        )
        world.update_spec("chat", image="registry.example/serve:2.0")
        controller.until(lambda: world.container("chat")["image"].endswith(":2.0"), "the new template is applied")
        promoted(world, controller)
        ready(world, controller, 5)
        assert watched.replicas() == [2, 7, 3, 5]
    assert [state for state in history(world, "chat") if state not in {"", "creating", "running", "updating"}] == []


@pytest.mark.parametrize(("asked", "started"), [(0, 2), (3, 3), (9, 4)])
def test_an_autoscaled_deployment_with_zero_replicas_is_scaled_into_bounds(
    asked: int, started: int, world: World, controller: Program, kubeconfig: Path
) -> None:
    running(world, controller, replicas=asked, autoscaling=between(2, 4))
    handed_over(world, controller)
    with WatchHistory(kubeconfig, world, "chat") as watched:
        assert watched.replicas() == [started]
        choose(world, 0)
        controller.until(lambda: world.replicas("chat") == started, "the replicas are restored")
        ready(world, controller, started)
        # The Deployment may be restored before the ReplicaSet has been scaled down, or observed at all.
        controller.until(lambda: watched.sets()[0][-1] == started, "its ReplicaSet is scaled")
        assert watched.replicas() == [started, 0, started]
        assert watched.sets() in ([[started, 0, started]], [[started]])
    assert world.get("Ingress", "inference-chat") is not None


def test_a_maximum_below_the_present_count_is_left_to_the_hpa(
    world: World, controller: Program, control_plane: ControlPlane, controller_user: str, kubeconfig: Path
) -> None:
    running(world, controller, replicas=2, autoscaling=between(2, 8))
    handed_over(world, controller)
    choose(world, 6)
    ready(world, controller, 6)
    controller.wait_idle()
    mark = control_plane.audit.mark()
    with WatchHistory(kubeconfig, world, "chat") as watched:
        world.update_spec("chat", autoscaling=between(1, 3))
        controller.until(lambda: bounds(world) == (1, 3), "the HPA is updated")
        # The HPA controller runs every 15 s and enforces the maximum without metrics.
        controller.until(lambda: world.replicas("chat") == 3, "the HPA scales down")
        ready(world, controller, 3)
        assert (watched.replicas(), watched.sets()) == ([6, 3], [[6, 3]])
    assert writes_to_the_deployment(control_plane.audit.calls(mark, user=controller_user)) == []
    promoted(world, controller)
