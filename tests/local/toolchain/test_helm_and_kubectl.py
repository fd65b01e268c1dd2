"""helm and kubectl: a variable, PATH, the cache; a build is only what is left."""

from pathlib import Path

import pytest

from gco_stream.local.errors import BuildError
from gco_stream.local.progress import Progress
from gco_stream.local.toolchain import binaries as clients
from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.binaries import HELM_VERSION, KUBECTL_VERSION, helm, kubectl
from gco_stream.local.toolchain.cache import Cache
from tests.local.toolchain.test_build import following, program


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


def test_a_variable_comes_first(machine: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "helm", HELM_VERSION)
    monkeypatch.setenv("GCO_STREAM_HELM", str(program(tmp_path / "own" / "helm", "")))
    assert helm(cache) == tmp_path / "own" / "helm"


def test_path_counts_where_it_has_exactly_the_pinned_version(machine: Path, cache: Cache) -> None:
    program(machine / "helm", f"{HELM_VERSION}+g1234567")
    program(machine / "kubectl", f"Client Version: {KUBECTL_VERSION}")
    assert (helm(cache), kubectl(cache)) == (machine / "helm", machine / "kubectl")
    assert not cache.root.exists()


def test_another_version_on_path_does_not_count(
    machine: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(machine / "helm", f"{HELM_VERSION}0+g1234567")
    built = tmp_path / "built"
    monkeypatch.setattr(clients, "go_build", lambda *_: built)
    assert helm(cache) == built / "helm"


def test_a_variable_that_names_nothing_is_one_clear_line(
    machine: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCO_STREAM_KUBECTL", "/nowhere")
    with pytest.raises(
        BuildError, match=r"^GCO_STREAM_KUBECTL=/nowhere: not a program; allowed: the path of kubectl v"
    ):
        kubectl(cache)


def test_the_pinned_modules_are_the_versions_that_the_code_asks_for() -> None:
    modules = (toolchains.inputs().parent / "helm" / "go.mod").read_text().split()
    assert HELM_VERSION in following(modules, "helm.sh/helm/v4")
    # k8s.io/kubectl v0.37.1 is kubectl v1.37.1.
    assert KUBECTL_VERSION.replace("v1.", "v0.") in following(modules, "k8s.io/kubectl")
