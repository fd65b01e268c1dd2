"""`gco-stream doctor` with real components, each of them broken in turn: the failed check and its fix."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gco_stream.cli.errors import FAILED, USAGE
from gco_stream.cluster.leaderelection.record import micro_time
from gco_stream.cluster.permissions import required_permissions
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.pytest_plugin import Table
from gco_stream.settings import LEASE_NAME
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.shell import Shell
from tests.integration.support.rights import may

RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
def surroundings(shell: Shell, controller_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a controller, also set for commands in this process."""
    for variable, value in controller_env.items():
        monkeypatch.setenv(variable, value)
    return controller_env


def examined(shell: Shell) -> dict[str, dict[str, str]]:
    """Runs the doctor and returns its findings by check."""
    shell("doctor -o json")
    return {finding["check"]: finding for finding in json.loads(shell.out)}


@contextmanager
def allowed(kube: KubeApi, namespace: str, user: str, *forbidden: str) -> Iterator[None]:
    """Grants the user the permissions that the controller needs, except these verbs on Ingresses."""
    rules = [
        {
            "apiGroups": [one.group],
            "resources": [f"{one.resource}/{one.subresource}" if one.subresource else one.resource],
            "verbs": [one.verb],
            **({"resourceNames": [one.name]} if one.name else {}),
        }
        for one in required_permissions((namespace,), namespace, LEASE_NAME)
        if not (one.resource == "ingresses" and one.verb in forbidden)
    ]
    subject = {"kind": "User", "name": user, "apiGroup": RBAC}
    kube.create(path_of("Role", namespace), {"metadata": {"name": "doctor"}, "rules": rules})
    binding = {"roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "doctor"}, "subjects": [subject]}
    kube.create(path_of("RoleBinding", namespace), {"metadata": {"name": "doctor"}, **binding})
    kube.wait_for(lambda: may(kube, user, namespace, rules), what="the API server enforces the Role")
    yield


def as_user(plane: ControlPlane, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig_for(user, ())))


def test_all_checks_pass_in_a_healthy_environment(
    shell: Shell, surroundings: dict[str, str], controller: Program, table: Table
) -> None:
    assert shell("doctor") == 0
    assert "FAIL" not in shell.out
    assert "WARN" not in shell.out
    for words in (
        f"OK    table: {table.arn}: active",
        "OK    table calls: allowed: Scan, GetItem, UpdateItem, DeleteItem",
        "OK    stream: enabled, NEW_AND_OLD_IMAGES",
        "OK    permissions: all ",
        "renewed ",
    ):
        assert words in shell.out, shell.out
    # The server's date has whole seconds, and its answer may take another one.
    assert re.search(r"^OK    clock: within \d+ s of ", shell.out, re.MULTILINE), shell.out
    assert table.client.scan(TableName=table.name)["Count"] == 0


def test_a_table_without_a_stream_is_a_warning_and_the_command_fixes_it(
    shell: Shell, surroundings: dict[str, str], table: Table
) -> None:
    table.client.update_table(TableName=table.name, StreamSpecification={"StreamEnabled": False})
    assert shell("doctor") == 0
    assert "WARN  stream: disabled: changes are found by scans every" in shell.out
    assert "      fix: gco-stream table enable-stream\n" in shell.out
    assert shell("table enable-stream") == 0
    assert examined(shell)["stream"]["status"] == "ok"


def test_a_missing_table_is_a_failure(
    shell: Shell, surroundings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERENCE_ENDPOINTS_TABLE_NAME", "no-such-table")
    assert shell("doctor") == FAILED
    assert "FAIL  table: table no-such-table" in shell.out
    assert "      fix: gco-stream table create" in shell.out
    assert "permissions" in shell.out
    assert re.fullmatch(r"gco-stream: 1 of \d+ checks failed\n", shell.err)


def test_servers_that_cannot_be_reached_are_one_line_each(
    shell: Shell, surroundings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    config: dict[str, Any] = json.loads(Path(surroundings["KUBECONFIG"]).read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(elsewhere))
    found = examined(shell)
    assert {check: one["status"] for check, one in found.items()} == {
        "settings": "ok",
        "table": "fail",
        "cluster": "fail",
    }
    assert all(one["fix"] for one in found.values() if one["status"] == "fail")


def test_a_missing_namespace_is_a_failure(
    shell: Shell, surroundings: dict[str, str], control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A user whose Roles are all in other namespaces may not read whether this one exists.
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    monkeypatch.setenv("ALLOWED_NAMESPACES", f"{surroundings['INFERENCE_NAMESPACE']},nowhere")
    found = examined(shell)["namespace nowhere"]
    assert (found["status"], found["message"]) == ("fail", "does not exist")
    assert found["fix"] == "kubectl create namespace nowhere"


def test_the_permissions_on_the_list_are_enough_and_a_missing_one_is_named(
    shell: Shell,
    surroundings: dict[str, str],
    kube: KubeApi,
    namespace: str,
    control_plane: ControlPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = f"doctor-{namespace}"
    as_user(control_plane, user, monkeypatch)
    nothing = examined(shell)
    assert nothing[f"namespace {namespace}"]["status"] == "warn"
    assert "create leases" in nothing[f"permissions in {namespace}"]["message"]
    with allowed(kube, namespace, user, "patch", "delete"):
        found = examined(shell)
        missing = found[f"permissions in {namespace}"]
        assert (missing["status"], missing["message"]) == ("fail", "not allowed: patch ingresses, delete ingresses")
        assert found[f"namespace {namespace}"]["status"] == "ok"


@pytest.mark.parametrize(
    ("holder", "ago", "words"),
    [
        ("inference-monitor-6d5f7c9b8-x2x4q", 1, "which is not gco-stream"),
        ("pod_0f8fad5b-d9cb-469f-a165-70867728950e", 90, "has expired"),
    ],
)
def test_another_kind_of_leader_and_an_expired_lease_are_warnings(
    shell: Shell, surroundings: dict[str, str], kube: KubeApi, namespace: str, holder: str, ago: int, words: str
) -> None:
    stamp = micro_time(time.time_ns() // 1000 - ago * 1_000_000)
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": stamp, "renewTime": stamp}
    kube.create(path_of("Lease", namespace), {"metadata": {"name": LEASE_NAME}, "spec": spec})
    found = examined(shell)["leader"]
    assert found["status"] == "warn"
    assert words in found["message"]
    assert found["fix"]


def test_the_permissions_on_the_list_are_enough_for_the_controller(
    program: Callable[..., Program], kube: KubeApi, namespace: str, control_plane: ControlPlane
) -> None:
    user = f"granted-{namespace}"
    with allowed(kube, namespace, user):
        program(KUBECONFIG=str(control_plane.kubeconfig_for(user, ()))).wait_working()


def test_an_invalid_output_format_is_rejected(shell: Shell, surroundings: dict[str, str]) -> None:
    assert shell("doctor -o xml") == USAGE
    assert "--output: invalid value 'xml': must be text or json" in shell.err
