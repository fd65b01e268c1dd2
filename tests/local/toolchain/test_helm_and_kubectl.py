"""Where helm and kubectl come from: a variable, PATH, the cache, or a build."""

from pathlib import Path

import pytest

from gco_stream.local.errors import BuildError
from gco_stream.local.progress import Progress
from gco_stream.local.toolchain import binaries as clients
from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.binaries import HELM_VERSION, KUBECTL_VERSION, helm, kubectl
from gco_stream.local.toolchain.cache import Cache
from tests.local.support.programs import following, program


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH is one folder."""
    for name in ("GCO_STREAM_HELM", "GCO_STREAM_KUBECTL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", Progress(quiet=True))


def test_an_environment_variable_takes_precedence(
    machine: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(machine / "helm", HELM_VERSION)
    monkeypatch.setenv("GCO_STREAM_HELM", str(program(tmp_path / "own" / "helm", "")))
    assert helm(cache) == tmp_path / "own" / "helm"


def test_a_binary_on_path_is_used_if_it_has_the_pinned_version(machine: Path, cache: Cache) -> None:
    program(machine / "helm", f"{HELM_VERSION}+g1234567")
    program(machine / "kubectl", f"Client Version: {KUBECTL_VERSION}")
    assert (helm(cache), kubectl(cache)) == (machine / "helm", machine / "kubectl")
    assert not cache.root.exists()


def test_another_version_on_path_is_ignored(
    machine: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(machine / "helm", f"{HELM_VERSION}0+g1234567")
    built = tmp_path / "built"
    monkeypatch.setattr(clients, "go_build", lambda *_: built)
    assert helm(cache) == built / "helm"


def test_an_invalid_path_in_a_variable_is_reported_in_one_line(
    machine: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCO_STREAM_KUBECTL", "/nowhere")
    with pytest.raises(BuildError, match=r"^GCO_STREAM_KUBECTL: invalid value /nowhere: must be the path of kubectl v"):
        kubectl(cache)


def test_the_pinned_modules_match_the_versions_in_the_code() -> None:
    modules = (toolchains.inputs().parent / "helm" / "go.mod").read_text().split()
    assert HELM_VERSION in following(modules, "helm.sh/helm/v4")
    # k8s.io/kubectl v0.37.1 is kubectl v1.37.1.
    assert KUBECTL_VERSION.replace("v1.", "v0.") in following(modules, "k8s.io/kubectl")
