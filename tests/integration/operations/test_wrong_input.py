"""Invalid settings, files and items: the error names the mistake, there is no traceback, and nothing else stops."""

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gco_stream.cli.errors import FAILED, NOT_FOUND, UNREACHABLE, USAGE
from gco_stream.local.control_plane import ControlPlane
from gco_stream.model import wire
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item
from tests.support.processes.forked_process import run_forked

pytestmark = pytest.mark.integration
Command = Callable[..., tuple[int, str, str]]
GPU_FREE = {"gpu_count": 0}


@pytest.fixture(autouse=True)
def no_traceback(tmp_path: Path) -> Iterator[None]:
    """Asserts that no program of the test has logged a traceback."""
    yield
    for log in tmp_path.glob("program-*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()[-5000:]


@pytest.fixture
def command(controller_env: dict[str, str]) -> Command:
    """Runs the program and returns exit code, standard output and standard error. A setting of None is unset."""

    def run(line: str, *more: str, **settings: str | None) -> tuple[int, str, str]:
        environment = {"PATH": os.environ["PATH"], **controller_env, **settings}
        known = {name: value for name, value in environment.items() if value is not None}
        done = run_forked(("gco_stream", *line.split(), *more), known, 60)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


def naming(lines: Sequence[str], *words: str) -> bool:
    """Returns whether one of the lines contains all the words."""
    return any(all(word in line for word in words) for line in lines)


def test_every_wrong_setting_is_listed_at_once_with_its_value_and_what_is_allowed(command: Command) -> None:
    wrong = {
        "HTTP_PORT": "99999",
        "LOG_LEVEL": "LOUD",
        "K8S_API_TIMEOUT": "0",
        "RECONCILE_WORKERS": "many",
        "INFERENCE_NAMESPACE": "Not_A_Namespace",
        "ALLOWED_NAMESPACES": "fine,Not-Fine",
        "INFERENCE_ENDPOINTS_TABLE_NAME": "a b",
        "STATUS_INTERVAL_SECONDS": "inf",
        "STATUS_HEARTBEAT_SECONDS": "-1",
        "CANARY_DRAIN_SECONDS": "nan",
        "HONOR_GPU_TYPE": "perhaps",
    }
    code, out, err = command("run", REGION=None, **wrong)
    assert (code, out) == (USAGE, "")
    lines = err.splitlines()
    assert naming(lines, "REGION", "not set")
    for name, value in wrong.items():
        assert naming(lines, f"{name}:", value.rpartition(",")[2]), (name, err)
    assert len(lines) == len(wrong) + 1


def test_lease_times_out_of_order_are_refused(command: Command) -> None:
    code, _, err = command("run", LEASE_DURATION_SECONDS="5", LEASE_RENEW_DEADLINE_SECONDS="5")
    assert code == USAGE
    assert "LEASE_RETRY_PERIOD_SECONDS < LEASE_RENEW_DEADLINE_SECONDS < LEASE_DURATION_SECONDS" in err


@pytest.mark.parametrize("absent", ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"])
@pytest.mark.parametrize("line", ["run", "run --dry-run", "explain --all"])
def test_an_endpoint_for_the_table_alone_or_its_stream_alone_is_refused(
    line: str, absent: str, command: Command
) -> None:
    code, _, err = command(line, **{absent: None})
    assert code == USAGE
    assert naming(err.splitlines(), "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "only one")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("does not exist",)),
        ("{: not yaml", ("is not valid YAML",)),
        ("apiVersion: v1\nkind: Config\n", ("cannot load kubeconfig",)),
        ("just text", ("cannot load kubeconfig",)),
        ("", ("cannot load kubeconfig",)),
    ],
    ids=["missing", "invalid YAML", "no context", "text", "empty"],
)
@pytest.mark.parametrize("line", ["run", "explain --all"])
def test_a_kubeconfig_that_cannot_be_used_is_one_line(
    line: str, content: str | None, words: tuple[str, ...], command: Command, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)
    code, _, err = command(line, KUBECONFIG=str(kubeconfig))
    assert code == FAILED
    (said,) = err.splitlines()
    assert naming([said], str(kubeconfig), *words)


def test_an_aws_endpoint_that_is_no_url_is_one_line(command: Command) -> None:
    for line in ("run", "explain --all"):
        code, _, err = command(line, AWS_ENDPOINT_URL_DYNAMODB="nonsense", AWS_ENDPOINT_URL_DYNAMODB_STREAMS="nonsense")
        assert code == FAILED
        (said,) = err.splitlines()
        assert "nonsense" in said


def test_an_http_port_that_is_taken_is_named(command: Command) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        code, _, err = command("run", HTTP_HOST="127.0.0.1", HTTP_PORT=port)
    assert code == FAILED
    assert naming([err.splitlines()[-1]], "HTTP_PORT", f"127.0.0.1:{port}", "in use")


def test_an_http_host_that_is_not_here_is_named(command: Command) -> None:
    code, _, err = command("run", HTTP_HOST="no-such-host.invalid")
    assert code == FAILED
    assert naming([err.splitlines()[-1]], "HTTP_HOST", "no-such-host.invalid")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: chat\nregions: [us-east-1\nimage: x\n", ("line 3", "invalid YAML")),
        ("name: chat\n\timage: x\n", ("line 2", "invalid YAML")),
        ("name: chat\nregions: [us-east-1]\nimage: x\nimage: y\n", ("line 4", "duplicate key")),
        ("name: chat\nregions: [us-east-1]\nimage: x\nport: eighty\n", ("spec.port", "'eighty'", "must be")),
        ("name: chat\nregions: []\nimage: x\n", ("target_regions", "must be a list of 1 to")),
        ("name: Chat_1\nregions: [us-east-1]\nimage: x\n", ("endpoint_name", "'Chat_1'", "lower-case")),
        ("name: chat\nregions: [us-east-1]\nimag: x\n", ("imag", "unknown field")),
        ("- 1\n", ("must be a map",)),
        ("", ("contains no endpoints",)),
        ("name: !!python/object:os.system {}\n", ("invalid YAML",)),
    ],
)
def test_errors_in_an_endpoints_file_name_the_line_or_field(
    text: str, words: tuple[str, ...], command: Command, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "endpoints.yaml"
    file.write_text(text)
    code, out, err = command("endpoint put -f", str(file))
    assert (code, out) == (USAGE, "")
    assert naming(err.splitlines(), str(file), *words), err
    assert list(world.user.scan()) == []


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("endpoint put -f no-such-file.yaml", USAGE, ("no-such-file.yaml", "No such file")),
        ("endpoint get nobody", NOT_FOUND, ("endpoint nobody does not exist",)),
        ("explain nobody", NOT_FOUND, ("endpoint nobody does not exist",)),
        ("explain", USAGE, ("--all",)),
        ("explain chat --all", USAGE, ("--all",)),
        ("explain chat -o xml", USAGE, ("--output", "'xml'", "json")),
        ("endpoint list --watch -o json", USAGE, ("--watch",)),
        ("endpoint list --state wrong", USAGE, ("--state", "wrong")),
        ("endpoint scale chat -- -1", USAGE, ("'N'", "greater than or equal to 0")),
        ("endpoint wait chat --timeout never", USAGE, ("'--timeout'", "valid number")),
        ("endpoint list --table a", USAGE, ("--table", "'a'")),
        ("explain --all --table x", USAGE, ("--table",)),
        ("nonsense", USAGE, ("nonsense",)),
    ],
)
def test_an_invalid_command_line_is_explained(line: str, code: int, words: tuple[str, ...], command: Command) -> None:
    ended, _, err = command(line)
    assert ended == code
    assert all(word in err for word in words), err


def test_explain_names_the_unreachable_service(command: Command) -> None:
    nobody = "http://127.0.0.1:1"
    code, _, err = command("explain --all", AWS_ENDPOINT_URL_DYNAMODB=nobody, AWS_ENDPOINT_URL_DYNAMODB_STREAMS=nobody)
    assert code == UNREACHABLE
    assert naming(err.splitlines(), "DynamoDB cannot be reached")
    code, _, err = command("explain --all", INFERENCE_ENDPOINTS_TABLE_NAME="no-such-table")
    assert code == NOT_FOUND
    assert naming(err.splitlines(), "table no-such-table", "does not exist")


@pytest.mark.parametrize("line", ["explain --all", "explain chat", "explain chat -o json", "run --dry-run"])
def test_no_changes_are_planned_for_an_unreachable_cluster(
    line: str, command: Command, controller_env: dict[str, str], world: World, tmp_path: Path
) -> None:
    world.put(item())
    kubeconfig = tmp_path / "kubeconfig"
    address = re.compile(r"https://127\.0\.0\.1:\d+")
    kubeconfig.write_text(address.sub("https://127.0.0.1:1", Path(controller_env["KUBECONFIG"]).read_text()))
    code, out, err = command(line, KUBECONFIG=str(kubeconfig))
    assert code == UNREACHABLE
    assert naming(err.splitlines(), "chat", "https://127.0.0.1:1", "is unreachable")
    assert "create" not in out


def test_explain_names_a_forbidden_namespace(command: Command, control_plane: ControlPlane, world: World) -> None:
    world.put(item())
    nobody = control_plane.kubeconfig_for(f"nobody:{world.namespace}", groups=())
    code, _, err = command("explain chat", KUBECONFIG=str(nobody))
    assert code == UNREACHABLE
    assert naming(err.splitlines(), "chat", world.namespace, "forbidden")


# The invalid attributes, merged into a valid item, and the words that the region's error must contain.
MALFORMED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "spec-missing": ({"spec": None}, ("spec", "missing")),
    "spec-text": ({"spec": "an image"}, ("spec", "a map")),
    "spec-empty": ({"spec": {}}, ("spec.image", "missing")),
    "image-list": ({"spec": {"image": ["x"]}}, ("spec.image", "['x']")),
    "image-blank": ({"spec": {"image": "a b"}}, ("spec.image", "'a b'")),
    "image-endless": ({"spec": {"image": "x" * 100_000}}, ("spec.image", "x…")),
    "port-text": ({"spec": {"image": "x", "port": "http"}}, ("spec.port", "'http'", "65535")),
    "port-high": ({"spec": {"image": "x", "port": 70_000}}, ("spec.port", "70000", "65535")),
    "replicas-negative": ({"spec": {"image": "x", "replicas": -1}}, ("spec.replicas", "-1")),
    "replicas-half": ({"spec": {"image": "x", "replicas": "1.5"}}, ("spec.replicas", "1.5")),
    "env-list": ({"spec": {"image": "x", "env": ["A=1"]}}, ("spec.env", "map")),
    "env-nested": ({"spec": {"image": "x", "env": {"A": {"B": "secret"}}}}, ("spec.env.A",)),
    "env-name": ({"spec": {"image": "x", "env": {"A\tB": "1"}}}, ("spec.env", "A\\tB")),
    "command-text": ({"spec": {"image": "x", "command": "run it"}}, ("spec.command", "list")),
    "toleration": ({"spec": {"image": "x", "tolerations": [{"operator": "Perhaps"}]}}, ("tolerations[0]", "Exists")),
    "quantity": ({"spec": {"image": "x", "resources": {"limits": {"cpu": "lots"}}}}, ("limits.cpu", "'lots'")),
    "capacity": ({"spec": {"image": "x", "capacity_type": "cheap"}}, ("spec.capacity_type", "spot")),
    "scaling": (
        {"spec": {"image": "x", "autoscaling": {"enabled": True, "min_replicas": 5, "max_replicas": 2}}},
        ("autoscaling", "min_replicas (5)"),
    ),
    "regions-text": ({"target_regions": "us-east-1,eu-west-1"}, ("target_regions", "'us-east-1,eu-west-1'", "a list")),
    "state": ({"desired_state": "paused"}, ("desired_state", "'paused'", "stopped")),
    "state-number": ({"desired_state": 1}, ("desired_state", "1")),
    "namespace": ({"namespace": "Not_One"}, ("namespace", "'Not_One'")),
    "namespace-foreign": ({"namespace": "kube-system"}, ("namespace", "'kube-system'", "ALLOWED_NAMESPACES")),
    "path": ({"ingress_path": "no slash"}, ("ingress_path", "'no slash'")),
    "status-text": ({"region_status": "running", "spec": {}}, ("spec.image",)),
    "status-list": ({"region_status": ["us-east-1"], "spec": {}}, ("spec.image",)),
    "status-entry": ({"region_status": {"us-east-1": "running"}, "spec": {}}, ("spec.image",)),
    "status-epoch": ({"region_status": {"us-east-1": {"state": "x", "epoch": "y"}}, "spec": {}}, ("spec.image",)),
    "Upper": ({}, ("endpoint_name", "'Upper'")),
    "1st": ({}, ("endpoint_name", "'1st'")),
    "a b": ({}, ("endpoint_name",)),
    "../above": ({}, ("endpoint_name",)),
    "ünïcode ✓": ({}, ("endpoint_name",)),
    "dash-": ({}, ("endpoint_name",)),
    "n" * 64: ({}, ("endpoint_name", "at most 63")),
    "o" * 1024: ({}, ("endpoint_name", "at most 63")),
}
# No region is a valid target, so none reports.
NOT_REPORTED: dict[str, dict[str, Any]] = {
    "regions-missing": {"target_regions": None},
    "regions-empty": {"target_regions": []},
    "regions-numbers": {"target_regions": [1, 2]},
}


def reports(world: World, name: str, state: str) -> Callable[[], bool]:
    return lambda: world.state(name) == state


def complains(world: World, name: str, words: str) -> Callable[[], bool]:
    return lambda: words in world.report(name).get("error", "")


def malformed(name: str, wrong: dict[str, Any], namespace: str) -> wire.WireItem:
    plain = {**item(name), "namespace": namespace, **wrong}
    return wire.encode({key: value for key, value in plain.items() if value is not None})


def test_malformed_items_are_reported_and_affect_no_other_endpoint(world: World, controller: Program) -> None:
    def put(name: str, wrong: dict[str, Any]) -> None:
        world.table.client.put_item(TableName=world.table.name, Item=malformed(name, wrong, world.namespace))

    world.put(item("good-before", spec=GPU_FREE))
    for name, (wrong, _) in MALFORMED.items():
        put(name, wrong)
    for name, wrong in NOT_REPORTED.items():
        put(name, wrong)
    world.put(item("good-after", spec=GPU_FREE))
    for name in ("good-before", "good-after"):
        controller.until(reports(world, name, "running"), f"{name} is running")
    for name, (_, words) in MALFORMED.items():
        controller.until(reports(world, name, "error"), f"{name} reports an error")
        said = world.report(name)["error"]
        assert all(word in said for word in words), (name, said)
        assert len(said) < 1000, name
        assert "secret" not in said
    assert {obj.rpartition("/")[2].removeprefix("inference-") for obj in world.objects()} == {
        "good-before",
        "good-after",
    }
    # A program that starts reads all of them at once, and the valid items are not affected.
    assert controller.stop() == 0
    world.update_spec("good-after", replicas=2)
    controller.start().wait_working()
    controller.until(lambda: world.replicas("good-after") == 2, "the valid endpoint is scaled")
    assert controller.status()["endpoints"] == 2 + len(MALFORMED) + len(NOT_REPORTED)


def test_an_invalid_change_leaves_a_running_endpoint_alone(world: World, controller: Program) -> None:
    world.put(item(spec=GPU_FREE))
    controller.until(lambda: (world.item("chat") or {}).get("desired_state") == "running", "the endpoint is promoted")
    before = {name: obj["metadata"]["uid"] for name, obj in world.objects().items()}
    generation = world.objects()["Deployment/chat"]["metadata"]["generation"]
    for wrong, words in (
        ({"spec": {"image": "y", "port": "http"}}, "spec.port"),
        ({"desired_state": "gone"}, "desired_state"),
        ({"namespace": "Not_One"}, "namespace"),
        ({"target_regions": []}, "target_regions"),
    ):
        stored = {**(world.item("chat") or {}), **wrong}
        world.table.client.put_item(TableName=world.table.name, Item=wire.encode(stored))
        controller.until(complains(world, "chat", words), f"the report names {words}")
        assert {name: obj["metadata"]["uid"] for name, obj in world.objects().items()} == before
        assert world.objects()["Deployment/chat"]["metadata"]["generation"] == generation
        world.put(item(spec=GPU_FREE, region_status=(world.item("chat") or {})["region_status"]))
        controller.until(lambda: world.state("chat") == "running", "running is reported again")
