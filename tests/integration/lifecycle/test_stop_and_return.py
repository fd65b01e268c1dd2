"""Stop, start, deletion and leaving and rejoining a region, with every state that is reported in between.

The states are read from the table's stream afterwards, so that short-lived ones are included.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.watch_history import GONE, history
from tests.support.items import item

ELSEWHERE = "eu-west-1"
SERVING = "registry.example/serve:1.0"
NEVER_READY = "registry.example/serve:2.0-never-ready"
CANARY = {"image": "registry.example/serve:3.0", "weight": 20, "replicas": 2}
ROUTING = "alb.ingress.kubernetes.io/actions.weighted-routing"
HELD_BACK = "example.com/held-back"
WHOLE = {"Deployment/chat", "Service/chat", "Ingress/inference-chat"}


def promoted(world: World, controller: Program, name: str = "chat") -> None:
    controller.until(lambda: (world.item(name) or {}).get("desired_state") == "running", f"{name} is promoted")


def weights(world: World) -> dict[str, int]:
    """Returns the traffic weights in the Ingress, or {} if there are none."""
    ingress = world.get("Ingress", "inference-chat") or {"metadata": {}}
    routing = ingress["metadata"].get("annotations", {}).get(ROUTING)
    if routing is None:
        return {}
    return {group["serviceName"]: group["weight"] for group in json.loads(routing)["forwardConfig"]["targetGroups"]}


@dataclass
class EndpointRun:
    """Actions on the endpoint `chat` and waits for its states."""

    world: World
    controller: Program
    plane: ControlPlane

    def until(self, look: Callable[[], object], what: str) -> None:
        self.controller.until(look, what)

    def reported(self, state: str) -> None:
        self.until(lambda: self.world.state("chat") == state, f"{state} is reported")

    def on_the_way(self, ask: Callable[[], object], state: str, look: Callable[[], object] = lambda: None) -> None:
        """Makes a change and freezes the cluster's controllers until the intermediate state has been reported.

        `look` is called just before they are thawed.
        """
        controllers = self.plane.servers["kube-controller-manager"]
        controllers.freeze()
        try:
            ask()
            self.reported(state)
            look()
        finally:
            controllers.thaw()

    def begins(self, **spec: Any) -> None:
        self.on_the_way(lambda: self.world.put(item(spec={"gpu_count": 0, "image": SERVING, **spec})), "creating")

    def runs(self, **spec: Any) -> None:
        """Creates the endpoint and waits for its promotion."""
        self.begins(**spec)
        promoted(self.world, self.controller)

    def is_asked(self, state: str, on_the_way: str, look: Callable[[], object] = lambda: None) -> None:
        self.on_the_way(lambda: self.world.set_desired_state("chat", state), on_the_way, look)

    def stops(self) -> dict[str, Any]:
        """Stops the endpoint and returns its item."""
        self.is_asked("stopped", "stopping")
        self.reported("stopped")
        assert self.world.pods("chat") == {}
        return self.item()

    def item(self) -> dict[str, Any]:
        found = self.world.item("chat")
        assert found is not None
        return found

    def target(self, *regions: str) -> None:
        self.world.user.replace_spec(self.world.item_of("chat"), self.item()["spec"], target_regions=list(regions))

    def uid(self, kind: str, name: str = "chat") -> str:
        found = self.world.get(kind, name)
        assert found is not None, (kind, name)
        return str(found["metadata"]["uid"])

    def counted(self, name: str) -> int:
        """Returns the number of pods in a Deployment's status."""
        return int((self.world.get("Deployment", name) or {}).get("status", {}).get("replicas", 0))

    def pods_outlive_their_deletion(self) -> list[str]:
        """Adds a finalizer to the pods, which also blocks foreground deletion of the Deployment; returns the names."""
        pods = [pod["metadata"]["name"] for pod in self.world.pods("chat").values()]
        for pod in pods:
            self.patch_pod(pod, {"finalizers": [HELD_BACK]})
        return pods

    def patch_pod(self, name: str, metadata: dict[str, Any]) -> None:
        self.world.kube.patch(path_of("Pod", self.world.namespace, name), {"metadata": metadata})

    def versions(self) -> dict[str, str]:
        return {key: obj["metadata"]["resourceVersion"] for key, obj in self.world.objects().items()}

    def another_was_dealt_with(self) -> None:
        """Waits until an endpoint that is put now runs, which shows that all earlier changes have been processed."""
        self.world.put(item("other", spec={"gpu_count": 0}))
        promoted(self.world, self.controller, "other")

    def states(self) -> list[str]:
        return history(self.world, "chat")

    def states_after_running(self) -> list[str]:
        """Returns every state that follows the first "running"."""
        states = self.states()
        assert states[:3] == ["", "creating", "running"]
        return states[3:]


@pytest.fixture
def life(world: World, controller: Program, control_plane: ControlPlane) -> EndpointRun:
    return EndpointRun(world, controller, control_plane)


@pytest.mark.parametrize("start", ["deploying", "running"])
def test_a_single_replica_endpoint_is_stopped_and_started_repeatedly(
    start: str, world: World, life: EndpointRun
) -> None:
    life.runs(replicas=1)
    kept = [life.uid("Deployment"), life.uid("Service")]
    for _ in range(2):
        life.stops()
        assert world.replicas("chat") == 0
        assert world.get("Ingress", "inference-chat") is None
        life.is_asked(start, "creating")
        life.reported("running")
        promoted(world, life.controller)
        assert world.replicas("chat") == 1
        assert set(world.objects()) == WHOLE
    assert [life.uid("Deployment"), life.uid("Service")] == kept
    once = ["stopping", "stopped", "creating", "running"]
    assert life.states() == ["", "creating", "running", *once, *once]


def test_a_stop_ends_a_rollout_and_the_next_start_runs_only_the_new_image(world: World, life: EndpointRun) -> None:
    life.runs()
    world.update_spec("chat", image=NEVER_READY)
    life.reported("updating")
    life.until(lambda: len(world.pods("chat")) == 2, "the old pod serves until the new one is ready")
    life.stops()
    life.is_asked("deploying", "creating")
    life.until(lambda: world.pods("chat"), "a pod starts")
    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods("chat").values()} == {NEVER_READY}
    for pod in world.pods("chat").values():
        life.patch_pod(pod["metadata"]["name"], {"annotations": {"gco.local/ready": "true"}})
    life.reported("running")
    assert life.states_after_running() == ["updating", "stopping", "stopped", "creating", "running"]


def test_an_endpoint_that_never_became_ready_can_be_stopped(life: EndpointRun) -> None:
    life.begins(image=NEVER_READY)
    # An endpoint that is stopped before its ReplicaSet has created the pod may count that pod afterwards.
    life.until(lambda: life.counted("chat") == 1, "the Deployment's status counts its pod")
    life.stops()
    assert life.states() == ["", "creating", "stopping", "stopped"]


def test_changes_made_while_stopped_apply_at_the_next_start(world: World, life: EndpointRun) -> None:
    life.runs()
    stopped = life.stops()
    world.put(stopped | {"spec": stopped["spec"] | {"image": "registry.example/serve:2.0", "replicas": 2}})
    life.until(lambda: world.container("chat")["image"].endswith(":2.0"), "the new template is applied")
    assert world.replicas("chat") == 0
    life.is_asked("deploying", "creating")
    promoted(world, life.controller)
    images = [pod["spec"]["containers"][0]["image"] for pod in world.pods("chat").values()]
    assert images == ["registry.example/serve:2.0"] * 2
    # The report may show a rollout of a Deployment without pods.
    assert set(life.states_after_running()[:-2]) == {"stopping", "stopped"}
    assert life.states_after_running()[-2:] == ["creating", "running"]


def test_a_stopped_item_that_is_deleted_and_restored_keeps_its_objects(world: World, life: EndpointRun) -> None:
    life.runs()
    stopped = life.stops()
    before = life.versions()
    world.table.client.delete_item(TableName=world.table.name, Key={"endpoint_name": {"S": "chat"}})
    life.another_was_dealt_with()
    assert world.item("chat") is None
    assert {key: version for key, version in life.versions().items() if key in before} == before
    kept = life.uid("Deployment")
    life.on_the_way(lambda: world.put(stopped | {"desired_state": "deploying", "region_status": {}}), "creating")
    promoted(world, life.controller)
    assert life.uid("Deployment") == kept
    assert life.states_after_running() == ["stopping", "stopped", GONE, "", "creating", "running"]


def test_an_endpoint_is_deleted_while_it_is_being_created(world: World, life: EndpointRun) -> None:
    life.begins(image=NEVER_READY, canary={"image": NEVER_READY, "weight": 20}, autoscaling={"enabled": True})
    life.until(lambda: "Deployment/chat-canary" in world.objects(), "the canary is also being created")
    life.is_asked("deleted", "deleting")
    life.until(lambda: world.item("chat") is None, "the item is purged")
    assert world.objects() == {}
    assert world.pods("chat") | world.pods("chat-canary") == {}
    assert life.states() == ["", "creating", "deleting", "deleted", GONE]


@pytest.mark.parametrize("again", ["a new item", "the same item"])
def test_a_recreated_endpoint_waits_until_the_old_one_is_gone(again: str, world: World, life: EndpointRun) -> None:
    life.runs()
    old = life.uid("Deployment")
    pods = life.pods_outlive_their_deletion()
    life.is_asked("deleted", "deleting")
    life.until(lambda: set(world.objects()) == {"Deployment/chat"}, "only the Deployment is left")
    life.until(
        lambda: not (world.get("Deployment", "chat") or {})["status"].get("readyReplicas"), "no replica is ready"
    )
    if again == "a new item":
        world.put(item(spec={"gpu_count": 0, "env": {"SECOND": "1"}}))
    else:
        world.set_desired_state("chat", "deploying")
    life.reported("creating")
    # The Service can be created; there is nothing to route to. The report comes before any write.
    life.until(lambda: set(world.objects()) == {"Deployment/chat", "Service/chat"}, "the Service is created")
    assert life.uid("Deployment") == old
    assert world.report("chat").get("error") is None
    for pod in pods:
        life.patch_pod(pod, {"finalizers": None})
    life.reported("running")
    promoted(world, life.controller)
    assert life.uid("Deployment") != old
    assert set(world.objects()) == WHOLE
    if again == "a new item":
        assert world.container("chat")["env"] == [{"name": "SECOND", "value": "1"}]
        assert life.states_after_running() == ["deleting", "", "creating", "running"]
    else:
        assert life.states_after_running() == ["deleting", "creating", "running"]


def test_a_region_that_is_left_and_regained_is_emptied_and_filled_again(world: World, life: EndpointRun) -> None:
    life.runs(canary=CANARY, autoscaling={"enabled": True})
    life.until(lambda: weights(world), "the canary is routed")
    old = life.uid("Deployment")
    life.on_the_way(lambda: life.target(ELSEWHERE), "deleting")
    life.reported("deleted")
    assert world.objects() == {}
    # From here on, only another region acts on this item.
    world.update_spec("chat", replicas=2)
    life.another_was_dealt_with()
    assert not any("chat" in key for key in world.objects())
    life.on_the_way(lambda: life.target(world.region), "creating")
    promoted(world, life.controller)
    assert life.uid("Deployment") != old
    assert world.replicas("chat") == 2
    assert life.states_after_running() == ["deleting", "deleted", "creating", "running"]


def test_a_region_that_is_regained_before_it_is_empty_is_filled_once_it_is(world: World, life: EndpointRun) -> None:
    life.runs()
    old = life.uid("Deployment")
    pods = life.pods_outlive_their_deletion()
    life.on_the_way(lambda: life.target(ELSEWHERE), "deleting")
    life.target(ELSEWHERE, world.region)
    life.reported("creating")
    assert life.uid("Deployment") == old
    for pod in pods:
        life.patch_pod(pod, {"finalizers": None})
    life.reported("running")
    assert life.uid("Deployment") != old
    assert life.states_after_running() == ["deleting", "creating", "running"]


def test_a_stopped_endpoint_that_comes_back_to_a_region_is_stopped_there_and_can_be_started(
    world: World, life: EndpointRun
) -> None:
    life.runs()
    stopped = life.stops()
    life.on_the_way(lambda: world.put(stopped | {"target_regions": [ELSEWHERE]}), "deleting")
    life.reported("deleted")
    assert world.objects() == {}
    world.put(life.item() | {"target_regions": [world.region]})
    life.reported("stopped")
    assert world.objects() == {}
    life.is_asked("deploying", "creating")
    promoted(world, life.controller)
    assert set(world.objects()) == WHOLE
    assert life.states_after_running() == [
        *("stopping", "stopped", "deleting", "deleted", "stopped", "creating", "running"),
    ]


def test_a_canary_stops_and_starts_with_its_endpoint_and_is_routed_again(world: World, life: EndpointRun) -> None:
    life.runs(canary=CANARY)
    life.until(lambda: weights(world) == {"chat": 80, "chat-canary": 20}, "the canary is routed")
    kept = [life.uid(kind, name) for kind in ("Deployment", "Service") for name in ("chat", "chat-canary")]
    life.stops()
    assert world.pods("chat-canary") == {}
    assert (world.replicas("chat"), world.replicas("chat-canary")) == (0, 0)
    assert world.get("Ingress", "inference-chat") is None
    routed = []
    life.is_asked("deploying", "creating", lambda: routed.append(weights(world)))
    assert routed == [{}]
    life.until(lambda: weights(world) == {"chat": 80, "chat-canary": 20}, "the canary is routed again")
    promoted(world, life.controller)
    assert (world.replicas("chat"), world.replicas("chat-canary")) == (1, 2)
    assert [life.uid(kind, name) for kind in ("Deployment", "Service") for name in ("chat", "chat-canary")] == kept
    assert life.states_after_running() == ["stopping", "stopped", "creating", "running"]


def test_a_canary_removed_from_a_stopped_endpoint_is_deleted_immediately(world: World, life: EndpointRun) -> None:
    life.runs(canary=CANARY)
    life.until(lambda: weights(world), "the canary is routed")
    stopped = life.stops()
    del stopped["spec"]["canary"]
    world.put(stopped)
    life.until(lambda: set(world.objects()) == {"Deployment/chat", "Service/chat"}, "the canary is gone")
    life.is_asked("deploying", "creating")
    promoted(world, life.controller)
    assert set(world.objects()) == WHOLE
    assert weights(world) == {}


ASKED_WHILE_HELD: list[tuple[str, list[str]]] = [
    ("stopped", ["stopping", "stopped"]),
    ("deleted", ["deleting", "deleted", GONE]),
]


@pytest.mark.parametrize(("asked", "after"), ASKED_WHILE_HELD, ids=["stop", "delete"])
def test_a_hold_wins_over_stop_and_delete_until_it_is_released(
    asked: str, after: list[str], world: World, life: EndpointRun
) -> None:
    life.runs(canary=CANARY)
    life.until(lambda: weights(world), "the canary is routed")
    life.until(lambda: world.report("chat").get("replicas_ready") == 1, "one ready replica is reported")
    world.user.hold(world.item_of("chat"), "incident 12")
    life.until(lambda: world.report("chat").get("reason") == "Held", "the hold is reported")
    assert world.report("chat")["error"] == "held: incident 12"
    assert world.state("chat") == "running"
    before = {key: obj["spec"] for key, obj in world.objects().items()}
    world.set_desired_state("chat", asked)
    life.reported("pending")
    assert world.report("chat")["error"] == "held: incident 12"
    life.another_was_dealt_with()
    assert {key: obj["spec"] for key, obj in world.objects().items() if key in before} == before
    life.on_the_way(lambda: world.user.release(world.item_of("chat")), after[0])
    life.until(lambda: life.states()[-1] == after[-1], f"{asked} is carried out")
    assert life.states_after_running() == ["pending", *after]


def test_an_endpoint_whose_region_is_left_while_held_stays_until_it_is_released(
    world: World, life: EndpointRun
) -> None:
    life.runs()
    world.user.hold(world.item_of("chat"), "incident 12")
    life.target(ELSEWHERE)
    life.reported("pending")
    assert set(world.objects()) == WHOLE
    life.on_the_way(lambda: world.user.release(world.item_of("chat")), "deleting")
    life.reported("deleted")
    assert life.states_after_running() == ["pending", "deleting", "deleted"]


def test_a_stop_that_is_reverted_immediately_ends_up_running(world: World, life: EndpointRun) -> None:
    life.runs()
    for state in ("stopped", "deploying") * 4:
        world.set_desired_state("chat", state)
    life.another_was_dealt_with()
    # What ran before may have counted for the promotion, while it stopped and started again.
    promoted(world, life.controller)
    life.until(
        lambda: (world.state("chat"), world.replicas("chat"), len(world.pods("chat"))) == ("running", 1, 1),
        "one pod runs",
    )
    life.until(lambda: {key for key in world.objects() if "chat" in key} == WHOLE, "all its objects exist")
