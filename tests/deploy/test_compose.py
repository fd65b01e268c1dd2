"""docker-compose.yml is valid, and everything that it refers to exists."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import controller
from gco_stream.settings import Settings
from tools.localstack import host_mode

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"


@pytest.fixture(scope="module")
def loaded(syntax_tools: Path) -> dict[str, Any]:
    """The file as docker compose loads it, like the output of `docker compose config`."""
    done = subprocess.run([syntax_tools / "cmd", "-format", "json", FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_docker_compose_loads_the_file(loaded: dict[str, Any]) -> None:
    assert set(loaded["services"]) == {"localstack", "k3s", "controller"}
    assert loaded["services"]["controller"]["depends_on"]["k3s"]["condition"] == "service_healthy"


def test_docker_compose_rejects_an_unknown_key(syntax_tools: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace_periodd"))
    done = subprocess.run([syntax_tools / "cmd", wrong], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "stop_grace_periodd" in done.stderr


def test_every_image_is_pinned_and_localstack_needs_no_token(loaded: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in loaded["services"].items() if "image" in service}
    assert images["localstack"] == "localstack/localstack:4.14.0"
    assert "localstack-core==4.14.0" in host_mode.REQUIREMENTS.read_text()
    assert [image for image in images.values() if image.rpartition(":")[2] in {"", "latest"}] == []


def test_every_mounted_file_exists(loaded: dict[str, Any]) -> None:
    mounts = [mount for service in loaded["services"].values() for mount in service["volumes"]]
    files = [mount["source"] for mount in mounts if mount["type"] == "bind"]
    assert len(files) == 4
    assert [file for file in files if not Path(file).exists()] == []


def test_the_controller_gets_valid_settings(loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = loaded["services"]["controller"]["environment"]
    ours = {name for name in given if not name.startswith(("AWS_", "K3S_"))}
    assert ours <= {name.upper() for name in Settings.model_fields}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings().region == loaded["services"]["localstack"]["environment"]["REGION"]


def test_ports_are_published_on_localhost_only(loaded: dict[str, Any]) -> None:
    ports = [port for service in loaded["services"].values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_the_cluster_has_the_objects_that_endpoints_need() -> None:
    made = {
        (one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all((ROOT / "dev/k3s/gco.yaml").read_text())
    }
    assert made == {
        ("Namespace", "gco-inference"),
        ("ServiceAccount", "gco-service-account"),
        ("IngressClass", "alb"),
        ("PersistentVolumeClaim", "efs-claim"),
    }


def test_the_kubeconfig_of_k3s_gets_the_address_of_its_service() -> None:
    written = "clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n"
    assert controller.reachable(written, "https://k3s:6443") == "clusters:\n- cluster:\n    server: https://k3s:6443\n"


def test_host_mode_uses_the_same_settings_as_the_container(loaded: dict[str, Any], tmp_path: Path) -> None:
    in_container = loaded["services"]["localstack"]["environment"]
    on_host = host_mode.environment(tmp_path, 4566)
    assert {name: on_host.get(name) for name in in_container} == in_container
