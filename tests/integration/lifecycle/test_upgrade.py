"""Pod templates of several versions side by side: pods restart only when their endpoint is upgraded."""

import os
import subprocess
from collections.abc import Callable

import pytest

from gco_stream.planning.resources.pod_template import RENDERINGS
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.legacy_objects import create_as_gco, edit, replica_sets, small
from tests.integration.support.two_renderings import GRACE_SECONDS
from tests.support.processes.forked_process import run_forked

pytestmark = pytest.mark.integration

NEWEST, LATER_VERSION = str(RENDERINGS.current), str(RENDERINGS.current + 1)
LATER = ("tests.integration.support.two_renderings", "run")
EARLIER = ("tests.integration.support.two_renderings", "run-first")


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_forked(arguments, {"PATH": os.environ["PATH"], **environment}, 60)


def upgrade(environment: dict[str, str], *arguments: str) -> str:
    done = command(environment, "gco_stream", "endpoint", "upgrade", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def version(world: World, name: str) -> str:
    found = world.get("Deployment", name)
    assert found is not None
    return str(found["metadata"]["annotations"].get("gco.io/template-version", ""))


def all_run(world: World, controller: Program, *names: str) -> None:
    """Waits until all of them have rolled out and report running; a report alone may precede the last change."""
    for name in names:
        controller.until(
            lambda name=name: has_rolled_out(world, name) and world.state(name) == "running", f"{name} runs"
        )


def has_rolled_out(world: World, name: str) -> bool:
    found = world.get("Deployment", name)
    if found is None:
        return False
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
    return status.get("observedGeneration") == found["metadata"]["generation"] and counts == {wanted}


def test_adopted_deployments_are_upgraded_a_few_at_a_time_and_only_their_pods_restart(
    world: World, program: Callable[..., Program], controller_env: dict[str, str]
) -> None:
    names = [create_as_gco(world, "vllm-llama", f"llm-{letter}") for letter in "abc"]
    for name in names:
        world.kube.wait_for(lambda name=name: world.pods(name), what="its pods exist")
    controller = program().wait_working()
    all_run(world, controller, *names)
    for name in names:
        controller.until(lambda name=name: version(world, name) == "0", f"{name} is adopted")
    before = {name: world.pods(name).keys() for name in names}

    told = upgrade(controller_env, "--all", "--max", "2", "--dry-run")
    assert "llm-a would be upgraded" in told
    assert "spec.template.spec.initContainers[model-sync].command" in told
    assert told.endswith("2 would be upgraded, 0 still rolling out, 1 left\n")
    assert {name: version(world, name) for name in names} == dict.fromkeys(names, "0")

    told = upgrade(controller_env, "--all", "--max", "1")
    assert told.endswith("1 upgraded, 0 still rolling out, 2 left\n")
    controller.until(lambda: version(world, "llm-a") == NEWEST, "the first endpoint is upgraded")
    told = upgrade(controller_env, "--all", "--max", "1")
    if "still rolling out: llm-a" in told:
        assert "0 upgraded, 1 still rolling out, 2 left" in told
        assert version(world, "llm-b") == "0"

    def rolled() -> bool:
        done = upgrade(controller_env, "--all", "--max", "1")
        return done.endswith("0 upgraded, 0 still rolling out, 0 left\n")

    controller.until(rolled, "all endpoints are upgraded, one after another")
    all_run(world, controller, *names)
    for name in names:
        assert version(world, name) == NEWEST
        assert not before[name] & world.pods(name).keys()
    assert "llm-a unchanged: no Deployment here has a pod template older" in upgrade(controller_env, "llm-a")


def test_one_adopted_endpoint_is_upgraded_and_the_pods_of_the_others_stay(
    world: World, program: Callable[..., Program], controller_env: dict[str, str]
) -> None:
    names = [create_as_gco(world, "vllm-llama", name) for name in ("one", "two")]
    controller = program().wait_working()
    all_run(world, controller, *names)
    before = {name: world.pods(name).keys() for name in names}
    upgrade(controller_env, "one")
    controller.until(lambda: version(world, "one") == NEWEST, "the endpoint is upgraded")
    controller.until(lambda: not before["one"] & world.pods("one").keys(), "its pods are replaced")
    world.user.scale(world.item_of("two"), 2)
    controller.until(lambda: world.report("two").get("replicas_ready") == 2, "the other endpoint is scaled")
    assert before["two"] <= world.pods("two").keys()
    assert version(world, "two") == "0"


def test_an_upgrade_that_changes_nothing_of_the_pods_restarts_nothing(
    world: World, program: Callable[..., Program], controller_env: dict[str, str]
) -> None:
    create_as_gco(world, "cpu-only", "chat")
    edit(world, "Deployment", "chat", {"spec": {"template": {"spec": {"enableServiceLinks": False}}}})
    world.kube.wait_for(lambda: has_rolled_out(world, "chat"), what="the edited Deployment has rolled out")
    controller = program().wait_working()
    all_run(world, controller, "chat")
    before, live_sets = world.pods("chat").keys(), replica_sets(world, "chat")
    assert "no changes to its pods" in upgrade(controller_env, "chat", "--dry-run")
    upgrade(controller_env, "chat")
    controller.until(lambda: version(world, "chat") == NEWEST, "the endpoint is upgraded")
    world.user.scale(world.item_of("chat"), 2)
    controller.until(lambda: world.report("chat").get("replicas_ready") == 2, "the endpoint is scaled")
    assert before <= world.pods("chat").keys()
    assert replica_sets(world, "chat") == live_sets


def test_endpoints_with_template_version_1_stay_unchanged_until_they_are_changed_or_upgraded(
    world: World, program: Callable[..., Program], controller_env: dict[str, str]
) -> None:
    names = ["changed", "stays", "upgraded"]
    for name in names:
        world.put(small(name))
    earlier = program(EARLIER).wait_working()
    all_run(world, earlier, *names)
    assert earlier.stop() == 0
    before = {key: obj["metadata"]["resourceVersion"] for key, obj in world.objects().items()}

    today = program().wait_working()
    today.until(
        lambda: any(one.get("message") == "table scanned" for one in today.lines()), "the first resync has ended"
    )
    world.update_spec("changed", env={"A": "1"})
    today.until(lambda: version(world, "changed") == NEWEST, "the newest template is used")
    upgrade(controller_env, "upgraded")
    today.until(lambda: version(world, "upgraded") == NEWEST, "the endpoint is upgraded")
    all_run(world, today, *names)
    links = {
        name: world.objects()[f"Deployment/{name}"]["spec"]["template"]["spec"].get("enableServiceLinks")
        for name in names
    }
    assert links == {"changed": False, "stays": None, "upgraded": False}
    after = {key: obj["metadata"]["resourceVersion"] for key, obj in world.objects().items()}
    assert {key for key, seen in after.items() if seen == before[key]} >= {
        key for key in before if key.endswith("stays")
    }


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("nobody",), "endpoint nobody does not exist", 3),
        ((), "pass either NAME or --all", 2),
        (("chat", "--all"), "pass either NAME or --all", 2),
        (("--all",), "--max: missing required value", 2),
        (("chat", "--max", "2"), "--max requires --all", 2),
    ],
)
def test_invalid_arguments_are_a_one_line_error(
    world: World, controller_env: dict[str, str], arguments: tuple[str, ...], words: str, code: int
) -> None:
    done = command(controller_env, "gco_stream", "endpoint", "upgrade", *arguments)
    assert done.returncode == code
    assert words in done.stderr


def test_neither_a_newer_nor_an_older_program_changes_pod_templates_by_itself(
    world: World, program: Callable[..., Program], controller_env: dict[str, str]
) -> None:
    names = ["a", "b", "c"]
    for name in names:
        world.put(small(name))
    today = program().wait_working()
    all_run(world, today, *names)
    before = {name: world.pods(name).keys() for name in names}
    assert today.stop() == 0

    later = program(LATER).wait_working()
    # Drift is repaired with the template version of the Deployment, and a new replica matches the existing ones.
    edit(world, "Deployment", "a", {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}})
    later.until(lambda: account(world, "a") == "gco-service-account", "the drift is repaired")
    world.user.scale(world.item_of("b"), 2)
    later.until(lambda: world.report("b").get("replicas_ready") == 2, "the endpoint is scaled")
    assert before["b"] <= world.pods("b").keys()
    assert before["c"] == world.pods("c").keys()
    assert {version(world, name) for name in names} == {NEWEST}
    assert {grace(world, name) for name in names} == {30}

    all_run(world, later, *names)
    standing = {name: world.pods(name).keys() for name in names}
    told = command(controller_env, "tests.integration.support.two_renderings", "upgrade", "1")
    assert told.stdout == "a\n2 left\n", told.stderr
    later.until(lambda: version(world, "a") == LATER_VERSION, "the endpoint is upgraded")
    later.until(lambda: not standing["a"] & world.pods("a").keys(), "its pods are replaced")
    all_run(world, later, "a")
    assert (grace(world, "a"), grace(world, "b")) == (GRACE_SECONDS, 30)
    upgraded = world.pods("a").keys()

    # A change of the pod template uses the newest version.
    world.update_spec("c", env={"A": "1"})
    later.until(lambda: version(world, "c") == LATER_VERSION, "the newest template is used")
    all_run(world, later, *names)
    pods = {name: world.pods(name).keys() for name in names}
    assert later.stop() == 0

    again = program().wait_working()
    world.user.scale(world.item_of("a"), 2)
    again.until(lambda: world.report("a").get("replicas_ready") == 2, "the newer program's Deployment is scaled")
    assert upgraded <= world.pods("a").keys()
    assert (version(world, "a"), grace(world, "a")) == (LATER_VERSION, GRACE_SECONDS)
    assert pods["b"] == world.pods("b").keys()
    assert pods["c"] == world.pods("c").keys()


def grace(world: World, name: str) -> int:
    found = world.get("Deployment", name)
    assert found is not None
    return int(found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])


def account(world: World, name: str) -> str:
    found = world.get("Deployment", name)
    assert found is not None
    return str(found["spec"]["template"]["spec"]["serviceAccountName"])
