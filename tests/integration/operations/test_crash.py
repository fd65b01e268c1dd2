"""SIGKILL at any moment: the next process finishes the work, repeats none of it, and restarts no pods."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import urllib3

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from tests.integration.support.crash_proxy import CrashGate, gate
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.states import promoted, weights
from tests.integration.support.harness.world import World
from tests.integration.support.leases import release_lease
from tests.support.items import item

pytestmark = pytest.mark.integration
QUICK = {"CANARY_DRAIN_SECONDS": "1"}
PATIENCE = 240.0
LIVES = 2
FIRST, SECOND = "registry.example/serve:1.0", "registry.example/serve:2.0"
CANARY = {"image": SECOND, "weight": 20, "replicas": 1}
SCALING = {"enabled": True, "min_replicas": 2, "max_replicas": 6}


@pytest.fixture
def watched(control_plane: ControlPlane, namespace: str, controller_user: str, tmp_path: Path) -> Iterator[CrashGate]:
    with gate(control_plane, namespace, controller_user, tmp_path) as one:
        yield one


def templates(world: World, app: str = "chat") -> int:
    """Returns the number of pod templates that the Deployment has had."""
    return len(world.kube.list(path_of("ReplicaSet", world.namespace), labels=f"app={app}"))


def scaled(world: World) -> bool:
    return world.replicas("chat") == 2 and world.get("HorizontalPodAutoscaler", "chat") is not None


def without_canary(world: World) -> bool:
    return weights(world) == {} and not any("canary" in name for name in world.objects())


def serves(world: World, image: str) -> bool:
    images = [pod["spec"]["containers"][0]["image"] for pod in world.pods("chat").values()]
    return world.state("chat") == "running" and images == [image]


def is_idle(one: Program) -> bool:
    """Returns whether the program has nothing left to do but wait for pods."""
    try:
        return one.is_idle()
    except (StopIteration, urllib3.exceptions.HTTPError):
        return False


def is_running(world: World) -> bool:
    return (world.item("chat") or {}).get("desired_state") == "running"


# The spec before the change (None: no endpoint), the change, the check that it is complete, and the number of pod
# templates by then.
STAGES: dict[str, tuple[dict[str, object] | None, Callable[[World], None], Callable[[World], object], int]] = {
    "creation": (None, lambda world: world.put(item(spec={"gpu_count": 0})), is_running, 1),
    "a rolling change": (
        {},
        lambda world: world.update_spec("chat", image=SECOND),
        lambda world: serves(world, SECOND) and is_running(world),
        2,
    ),
    "autoscaling": (
        {"replicas": 2},
        lambda world: world.update_spec("chat", autoscaling=SCALING),
        lambda world: scaled(world) and is_running(world),
        1,
    ),
    "no autoscaling": (
        {"replicas": 2, "autoscaling": SCALING},
        lambda world: world.update_spec("chat", autoscaling=None),
        lambda world: world.get("HorizontalPodAutoscaler", "chat") is None and is_running(world),
        1,
    ),
    "a canary": (
        {},
        lambda world: world.update_spec("chat", canary=CANARY),
        lambda world: weights(world) == {"chat": 80, "chat-canary": 20} and is_running(world),
        1,
    ),
    "a canary's removal": (
        {"canary": CANARY},
        lambda world: world.update_spec("chat", canary=None),
        lambda world: without_canary(world) and is_running(world),
        1,
    ),
    "a canary's promotion": (
        {"canary": CANARY},
        lambda world: world.update_spec("chat", canary=None, image=SECOND),
        lambda world: without_canary(world) and serves(world, SECOND) and is_running(world),
        2,
    ),
    "a stop": (
        {},
        lambda world: world.set_desired_state("chat", "stopped"),
        lambda world: world.state("chat") == "stopped" and world.replicas("chat") == 0,
        1,
    ),
    "a deletion": (
        {"canary": CANARY, "autoscaling": SCALING},
        lambda world: world.set_desired_state("chat", "deleted"),
        lambda world: world.item("chat") is None and not world.objects(),
        0,
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_finishes_although_the_program_is_killed_at_its_writes(
    stage: str, world: World, program: Callable[..., Program], watched: CrashGate, rng: random.Random
) -> None:
    before, ask, is_reached, wanted = STAGES[stage]
    one = program(AWS_ENDPOINT_URL_DYNAMODB=watched.proxy_url, **QUICK)
    if before is not None:
        world.put(item(spec={"gpu_count": 0, "image": FIRST, **before}))
        promoted(world, one)
        if "canary" in before:
            one.until(lambda: weights(world), "the canary is routed")
    watched.crossed.clear()
    kept = world.pods("chat").keys()
    deaths = 0
    for life in range(LIVES):
        watched.arm(one, passing=rng.randrange(2), lands=rng.random() < 0.5)
        if life == 0:
            ask(world)
        one.until(lambda: watched.struck.is_set() or is_reached(world), f"{stage}: killed or done", PATIENCE)
        if not watched.disarm():
            break
        one.until(watched.struck.is_set, "the program is killed")
        one.kill()
        release_lease(world.kube, world.namespace)
        deaths += 1
        # At no moment may traffic go to an object that does not exist.
        routed = weights(world)
        assert {f"{kind}/{name}" for name in routed for kind in ("Deployment", "Service")} <= world.objects().keys()
        one.start()
    assert deaths
    one.until(lambda: is_reached(world), f"{stage} is finished; writes: {watched.crossed}", PATIENCE)
    if wanted:
        assert templates(world) == wanted, watched.crossed
    if wanted == 1 and stage != "a stop":
        assert kept <= world.pods("chat").keys(), watched.crossed


def test_many_endpoints_survive_kills_at_random_moments(
    world: World, program: Callable[..., Program], rng: random.Random
) -> None:
    names = [f"e{number:02}" for number in range(30)]
    one = program(**QUICK)

    def all_run(image: str) -> bool:
        return all(
            (world.item(name) or {}).get("desired_state") == "running" and world.container(name)["image"] == image
            for name in names
        )

    def all_are_gone() -> bool:
        return not list(world.user.scan()) and not world.objects()

    def has_come(last: int) -> bool:
        return len(one.lines()) >= last or is_idle(one)

    def ask_of_all(ask: Callable[[str], None], is_reached: Callable[[], bool]) -> None:
        for name in names:
            ask(name)
        for _ in range(2):
            # The process is killed at a random future log line: while it starts, waits for the lease, or works.
            last = len(one.lines()) + rng.randrange(1, 40)
            one.until(partial(has_come, last), "the log line is written", PATIENCE)
            one.kill()
            release_lease(world.kube, world.namespace)
            one.start()
        one.until(is_reached, "all endpoints reach the desired state", PATIENCE)

    ask_of_all(lambda name: world.put(item(name, spec={"gpu_count": 0, "image": FIRST})), lambda: all_run(FIRST))
    assert {templates(world, name) for name in names} == {1}
    ask_of_all(lambda name: world.update_spec(name, image=SECOND), lambda: all_run(SECOND))
    assert {templates(world, name) for name in names} == {2}
    ask_of_all(lambda name: world.set_desired_state(name, "deleted"), all_are_gone)
