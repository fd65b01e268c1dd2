"""`explain` and `run --dry-run`: report state, planned changes and reasons, and change nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.commands import gco_stream
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.integration.support.leases import release_lease
from tests.support.items import item

_WRITES = {"create", "update", "patch", "delete", "deletecollection"}
ELSEWHERE = "eu-west-1"
FINALIZER = "example.org/slow"


def asked(name: str = "chat", *, spec: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    return item(name, spec={"gpu_count": 0, **(spec or {})}, **attributes)


class ExplainOutput:
    """The output of `explain` for the endpoints of a world."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def text(self, *arguments: str) -> str:
        """Runs the command and returns its lines with runs of spaces collapsed."""
        told = gco_stream(self._environment, *arguments)
        assert told.returncode == 0, told.stderr
        return "\n".join(" ".join(line.split()) for line in told.stdout.splitlines())

    def endpoint(self, name: str = "chat") -> dict[str, Any]:
        """Returns the JSON of one endpoint."""
        told = gco_stream(self._environment, "explain", name, "-o", "json")
        assert told.returncode == 0, told.stderr
        found: dict[str, Any] = orjson.loads(told.stdout)["endpoints"][name]
        return found

    def objects(self, name: str = "chat") -> dict[str, tuple[str, str]]:
        """Returns status and message by Kind/name."""
        found = self.endpoint(name)["objects"]
        return {f"{one['kind']}/{one['name']}": (one["status"], one["message"]) for one in found}


@pytest.fixture
def told(controller_env: dict[str, str]) -> ExplainOutput:
    return ExplainOutput(controller_env)


@pytest.fixture
def left(world: World, controller: Program) -> Iterator[Callable[..., None]]:
    """Returns `left(items...)`, which puts the items, waits until they run, and kills the program."""

    def leave(*items: dict[str, Any]) -> None:
        for one in items:
            world.put(one)
        names = [one["endpoint_name"] for one in items]
        controller.until(lambda: {world.state(name) for name in names} == {"running"}, f"{names} are running")
        controller.kill()
        release_lease(world.kube, world.namespace)

    yield leave
    for key in world.objects():
        kind, _, name = key.partition("/")
        world.kube.patch(path_of(kind, world.namespace, name), {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("command", [("explain", "chat"), ("explain", "--all"), ("run", "--dry-run")])
def test_explain_lists_planned_changes_and_changes_nothing(
    command: tuple[str, ...],
    world: World,
    told: ExplainOutput,
    control_plane: ControlPlane,
    controller_user: str,
) -> None:
    world.put(asked())
    before, mark = world.item("chat"), control_plane.audit.mark()
    text = told.text(*command)
    for sentence in (
        "chat: needs attention: Deployment chat would be created: it does not exist",
        "Deployment chat would be created: it does not exist",
        "Service chat would be created: it does not exist",
        "report would be written: creating, 0 of 1 ready",
    ):
        assert sentence in text
    assert "Ingress inference-chat would be created" not in text
    assert "\x1b" not in text
    calls = control_plane.audit.calls(mark, user=controller_user)
    assert calls
    assert [call for call in calls if call.verb in _WRITES] == []
    assert (world.item("chat"), world.objects()) == (before, {})


def test_explain_reports_an_endpoint_in_sync(world: World, controller: Program, told: ExplainOutput) -> None:
    world.put(asked())
    controller.until(lambda: (world.item("chat") or {}).get("desired_state") == "running", "the endpoint is promoted")
    text = told.text("explain", "chat")
    assert text.splitlines()[0] == "chat: running here, as desired"
    for line in (
        "image registry.example/serve:1.0",
        "Deployment chat in sync",
        "Service chat in sync",
        "Ingress inference-chat in sync",
        "report up to date: running, 1 of 1 ready",
        "next check on the next change or resync",
    ):
        assert line in text.splitlines()
    every = told.text("explain", "--all").splitlines()
    assert every[0] == "chat: running here, as desired"
    assert every[1].startswith("1 endpoint: 1 in the desired state, 0 need attention")
    assert "Service chat in sync" in told.text("explain", "--all", "--details")
    dry = told.text("run", "--dry-run")
    assert dry.splitlines() == ["0 of 1 endpoints would change (dry run)"]


def test_unknown_spec_values_are_warnings_in_the_json(world: World, controller_env: dict[str, str]) -> None:
    world.put(item(spec={"gpu_count": 0, "autoscaling": {"enabled": True, "metrics": [{"type": "gpu"}]}}))
    told = gco_stream(controller_env, "explain", "--all", "-o", "json")
    chat = orjson.loads(told.stdout)["endpoints"]["chat"]
    assert not chat["in_sync"]
    # Service, Deployment and HPA; the Ingress waits for a ready pod.
    assert len(chat["steps"]) == 3
    assert {warning["reason"] for warning in chat["warnings"]} == {"UnknownMetric"}
    assert any("'gpu'" in warning["message"] for warning in chat["warnings"])


def test_every_field_that_somebody_changed_is_a_line(
    world: World, left: Callable[..., None], told: ExplainOutput
) -> None:
    left(asked(spec={"env": {"TOKEN": "s3cret"}}))
    template = {"containers": [{"name": "inference", "image": "x:2", "args": ["--fast"], "env": []}]}
    world.kube.patch(
        path_of("Deployment", world.namespace, "chat"),
        {"spec": {"replicas": 3, "template": {"spec": template}}},
        content_type="application/strategic-merge-patch+json",
    )
    world.kube.delete(path_of("Service", world.namespace, "chat"))
    text = told.text("explain", "chat")
    for line in (
        "spec.replicas: is 3, should be 1",
        "spec.template.spec.containers[inference].image: is 'x:2', should be 'registry.example/serve:1.0'",
        "Service chat would be created: it does not exist",
        "Ingress inference-chat in sync",
    ):
        assert line in text.splitlines()
    assert text.startswith("chat: needs attention: Deployment chat would change: spec.")
    assert "s3cret" not in text


def test_explain_lists_the_changes_that_a_hold_prevents(
    world: World, left: Callable[..., None], told: ExplainOutput
) -> None:
    left(asked())
    world.put((world.item("chat") or {}) | asked(spec={"replicas": 3}, hold="the night of the launch"))
    text = told.text("explain", "chat")
    assert text.startswith("chat: needs attention: held (the night of the launch): Deployment chat would change: spec.")
    assert "Deployment chat held: the night of the launch\nif not held, it would change:\n" in text
    assert "spec.replicas: is 1, should be 3" in text.splitlines()
    found = told.endpoint()
    assert (found["reason"], found["steps"]) == ("Held", [])
    assert any(step.startswith("apply Deployment") for step in found["withheld"])
    dry = told.text("run", "--dry-run").splitlines()
    assert "1 of 1 endpoints are held" in dry
    assert "spec.replicas: is 1, should be 3" in dry


def test_an_invalid_spec_or_item_keeps_live_objects_unchanged(
    world: World, left: Callable[..., None], told: ExplainOutput
) -> None:
    left(asked(), asked("odd"))
    world.put(asked(spec={"replicas": "many"}))
    world.put(asked("odd", desired_state="sideways"))
    for name, reason, field in (("chat", "InvalidSpec", "spec.replicas"), ("odd", "InvalidItem", "desired_state")):
        found = told.endpoint(name)
        assert found["reason"] == reason
        assert field in found["headline"]
        assert {(one["status"], one["reason"]) for one in found["objects"]} == {("Held", reason)}


def test_an_object_that_is_not_ours_is_named(world: World, told: ExplainOutput) -> None:
    foreign = {"metadata": {"name": "chat"}, "spec": {"ports": [{"port": 1}], "selector": {"app": "theirs"}}}
    foreign["metadata"] |= {"labels": {"project": "gco", "gco.io/type": "inference", "app": "theirs"}}
    world.kube.create(path_of("Service", world.namespace), foreign)
    world.put(asked())
    objects = told.objects()
    assert objects["Service/chat"][0] == "NotOwned"
    assert objects["Deployment/chat"][0] == "Held"
    assert told.endpoint()["reason"] == "ObjectNotOwned"
    assert f"Service {world.namespace}/chat" in told.text("explain", "chat").splitlines()[0]


def test_a_stopped_endpoint_is_in_its_desired_state_without_an_ingress(
    world: World, controller: Program, told: ExplainOutput
) -> None:
    world.put(asked())
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    world.set_desired_state("chat", "stopped")
    controller.until(lambda: world.state("chat") == "stopped", "stopped is reported")
    assert told.text("explain", "chat").startswith("chat: stopped here, as desired\n")
    assert told.objects()["Ingress/inference-chat"] == ("NotNeeded", "the endpoint is stopped")


def test_explain_lists_the_remaining_objects_of_a_deleted_endpoint(
    world: World, left: Callable[..., None], told: ExplainOutput
) -> None:
    left(asked(target_regions=[world.region]))
    path = path_of("Deployment", world.namespace, "chat")
    world.kube.patch(path, {"metadata": {"finalizers": [FINALIZER]}})
    world.kube.delete(path)
    assert "it is recreated once it is gone" in told.text("explain", "chat")
    world.set_desired_state("chat", "deleted")
    objects = told.objects()
    assert objects["Deployment/chat"][0] == "Terminating"
    assert objects["Service/chat"] == ("WouldDelete", "the endpoint is deleted")
    found = told.endpoint()
    assert (found["pending_table_change"], found["report"]) == ("purge", "deleting, 0 of 0 ready")
    assert [waits.partition(":")[0] for waits in found["waits_for"]] == [world.region]


def test_the_regions_that_promotion_waits_for_are_named(
    world: World, left: Callable[..., None], told: ExplainOutput
) -> None:
    left(asked(target_regions=[world.region, ELSEWHERE]))
    text = told.text("explain", "chat")
    assert text.startswith("chat: running here, as desired\n")
    assert f"promotion waits for {ELSEWHERE}: has not reported" in text.splitlines()
    assert f"{ELSEWHERE} has not reported" in text.splitlines()


def test_a_canary_that_is_not_ready_is_the_first_reason(world: World, controller: Program, told: ExplainOutput) -> None:
    canary = {"image": "registry.example/serve:2.0-never-ready", "weight": 20, "replicas": 1}
    world.put(asked(spec={"canary": canary}))
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    text = told.text("explain", "chat").splitlines()
    assert text[0].startswith("chat: needs attention: the canary of chat has no ready replica")
    assert told.endpoint()["reason"] == "CanaryNotReady"
    assert "Deployment chat-canary in sync" in text


def test_a_pod_that_cannot_start_is_named_with_its_reason(
    world: World, controller: Program, told: ExplainOutput
) -> None:
    world.put(asked(spec={"image": "registry.example/serve:1.0-image-pull-error"}))
    controller.until(lambda: world.state("chat") == "creating", "creating is reported")
    controller.until(lambda: "ImagePullBackOff" in told.text("explain", "chat").splitlines()[0], "the reason is shown")
    found = told.endpoint()
    assert (found["reason"], found["report"].partition(":")[0]) == ("Progressing", "creating, 0 of 1 ready")
    assert told.objects()["Ingress/inference-chat"] == (
        "NotNeeded",
        "the Ingress is created once a pod's containers are ready",
    )


def test_an_adopted_deployment_is_left_alone_and_its_upgrade_is_shown(
    world: World, left: Callable[..., None], program: Callable[..., Program], told: ExplainOutput
) -> None:
    left(asked())
    made = world.get("Deployment", "chat")
    assert made is not None
    path = path_of("Deployment", world.namespace, "chat")
    world.kube.delete(path)
    world.kube.wait_for(lambda: world.get("Deployment", "chat") is None, what="the Deployment is gone")
    made["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] = 33
    body = {"metadata": {"name": "chat", "labels": made["metadata"]["labels"]}, "spec": made["spec"]}
    collection = path_of("Deployment", world.namespace)
    world.kube.request("POST", collection, body, query={"fieldManager": "OpenAPI-Generator"})
    world.kube.wait_for(lambda: world.kube.get(path).get("status", {}).get("readyReplicas"), what="its pod is ready")
    upgrade = (
        "an upgrade would restart its pods and change:\n"
        "spec.template.spec.containers[inference].readinessProbe.periodSeconds: is 33, should be 10"
    )
    before = told.text("run", "--dry-run")
    assert "Deployment chat would change: adopted without a restart" in before
    assert upgrade in before
    controller = program().wait_working()

    def adopted() -> bool:
        annotations = world.kube.get(path)["metadata"].get("annotations", {})
        return "gco.io/template-version" in annotations and controller.is_idle() and world.state("chat") == "running"

    controller.until(adopted, "the Deployment is adopted and reported")
    assert told.objects()["Deployment/chat"][0] == "LeftAlone"
    after = told.text("run", "--dry-run")
    assert upgrade in after
    assert after.splitlines()[-1] == "0 of 1 endpoints would change (dry run)"
    assert "1 of 1 endpoints have an older pod template" in after


def test_removals_beyond_the_limit_are_held_and_those_within_it_are_not(
    world: World, left: Callable[..., None], controller_env: dict[str, str]
) -> None:
    left(asked("a"), asked("b"), asked("c"))
    for name in ("a", "b", "c"):
        world.put(asked(name, target_regions=[ELSEWHERE]))
    limited = controller_env | {"MASS_DELETE_LIMIT": "1"}
    told = gco_stream(limited, "explain", "--all", "-o", "json")
    found = orjson.loads(told.stdout)["endpoints"]
    statuses = [{one["status"] for one in found[name]["objects"]} for name in ("a", "b", "c")]
    assert sorted(map(sorted, statuses)) == [["Held"], ["Held"], ["WouldDelete"]]
    assert sorted(found[name]["reason"] or "" for name in ("a", "b", "c")) == [
        *("OutOfSync", "RemovalLimitReached", "RemovalLimitReached")
    ]
    assert "the limit on removals per hour is reached" in gco_stream(limited, "run", "--dry-run").stdout


def test_explain_lists_objects_without_an_item_and_their_planned_deletion(
    world: World, left: Callable[..., None], told: ExplainOutput, controller_env: dict[str, str]
) -> None:
    left(asked(), asked("lost"))
    world.table.client.delete_item(TableName=world.table.name, Key={"endpoint_name": {"S": "lost"}})
    text = told.text("explain", "--all")
    assert "lost: the table has no such item, but its objects exist here" in text.splitlines()
    assert f"would delete Deployment {world.namespace}/lost: the table has no such item" in text.splitlines()
    alone = gco_stream(controller_env, "explain", "lost")
    assert alone.returncode == 3
    assert "would delete Ingress" in alone.stdout


def test_an_endpoint_that_is_not_in_the_table_is_an_exit_code_of_its_own(
    world: World, controller_env: dict[str, str]
) -> None:
    told = gco_stream(controller_env, "explain", "nobody")
    assert (told.returncode, told.stderr.strip()) == (3, "gco-stream: endpoint nobody does not exist")
    assert world.objects() == {}
