import os
from pathlib import Path

import pytest

from gco_stream.local.errors import BuildError
from gco_stream.local.progress import Progress
from gco_stream.local.toolchain import build, toolchains
from gco_stream.local.toolchain.build import KUBERNETES_VERSION, binaries
from gco_stream.local.toolchain.cache import Cache
from tests.local.support.programs import following, program

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH is one folder. Variables name every binary except those of Kubernetes."""
    bin_ = tmp_path / "bin"
    jars = tmp_path / "jars"
    jars.mkdir()
    (jars / "DynamoDBLocal.jar").touch()
    program(bin_ / "java", 'openjdk version "21.0.1"')
    for name in ("KUBEBUILDER_ASSETS", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(bin_))
    monkeypatch.setenv("GCO_STREAM_KWOK", str(program(tmp_path / "own" / "kwok", "")))
    monkeypatch.setenv("GCO_STREAM_DYNAMODB_LOCAL", str(jars))
    return bin_


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", Progress(quiet=True))


def test_environment_variables_take_precedence_and_nothing_is_built(
    machine: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        program(tmp_path / "assets" / name, "")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    found = binaries(cache)
    assert found.kube_scheduler == tmp_path / "assets" / "kube-scheduler"
    assert found.kwok == tmp_path / "own" / "kwok"
    assert found.java == machine / "java"
    assert not cache.root.exists()


def test_a_binary_on_path_is_used_if_it_has_the_pinned_version(machine: Path, cache: Cache) -> None:
    program(machine / "etcd", f"etcd Version: {build.ETCD_VERSION}")
    for name in NAMES[1:]:
        program(machine / name, f"Kubernetes {KUBERNETES_VERSION}")
    assert binaries(cache).etcd == machine / "etcd"


def test_another_version_on_path_is_ignored(machine: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "etcd", f"etcd Version: {build.ETCD_VERSION}")
    for name in NAMES[1:]:
        program(machine / name, f"Kubernetes {KUBERNETES_VERSION}0")
    go = program(machine / "go", "go version go1.99.0 linux/amd64")
    go.write_text(go.read_text() + 'if [ "$1" = build ]; then exit 3; fi\n')
    monkeypatch.setenv("PATH", f"{machine}{os.pathsep}/bin")
    with pytest.raises(BuildError, match=r"Building Kubernetes and etcd failed \(exit status 3\)"):
        binaries(cache)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("KUBEBUILDER_ASSETS", "a folder with kube-apiserver"),
        ("GCO_STREAM_KWOK", "the path of kwok v"),
        ("GCO_STREAM_DYNAMODB_LOCAL", "a folder with the jars"),
    ],
)
def test_an_invalid_path_in_a_variable_is_reported_in_one_line(
    machine: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, variable: str, message: str
) -> None:
    program(machine / "etcd", f"etcd Version: {build.ETCD_VERSION}")
    for name in NAMES[1:]:
        program(machine / name, f"Kubernetes {KUBERNETES_VERSION}")
    monkeypatch.setenv(variable, "/nowhere")
    with pytest.raises(BuildError, match=rf"^{variable}: invalid value /nowhere: must be {message}.*$"):
        binaries(cache)


def test_an_old_java_is_ignored_and_java_home_takes_precedence_over_path(
    machine: Path, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    program(tmp_path / "home" / "bin" / "java", 'java version "1.8.0_400"')
    assert toolchains.java(cache) == machine / "java"
    program(tmp_path / "home" / "bin" / "java", 'openjdk version "17.0.1"')
    assert toolchains.java(cache) == tmp_path / "home" / "bin" / "java"


def test_every_pinned_file_has_a_hash_and_no_url() -> None:
    folder = toolchains.inputs()
    for name in ("go", "java", "maven"):
        text = (folder / "python" / f"{name}.txt").read_text()
        assert text.count("==") <= text.count("--hash=sha256:")
        assert "://" not in text
    for line in (folder / "dynamodb.lock").read_text().splitlines():
        checksum, coordinates = line.split()
        assert len(checksum) == 64
        assert coordinates.count(":") == 2


def test_the_pinned_modules_match_the_versions_in_the_code() -> None:
    folder = toolchains.inputs()
    modules = (folder / "go.mod").read_text().split()
    assert KUBERNETES_VERSION in following(modules, "k8s.io/kubernetes")
    assert f"v{build.ETCD_VERSION}" in following(modules, "go.etcd.io/etcd/server/v3")
    assert build.KWOK_VERSION in following((folder / "kwok" / "go.mod").read_text().split(), "sigs.k8s.io/kwok")


def test_a_build_counts_its_packages_and_reports_its_output_if_it_fails(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = program(machine / "go", "go version go1.99.0 linux/amd64")
    go.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "version) echo go version go1.99.0 linux/amd64 ;;\n"
        "*list*) echo go: downloading x; echo a; echo b; echo c ;;\n"
        "*build*) echo a; echo b >&2; echo the reason >&2; exit 3 ;;\n"
        "esac\n"
    )
    counts: list[tuple[int, int]] = []
    progress = Progress(quiet=True)
    monkeypatch.setattr(progress, "count", lambda _unit, done, total: counts.append((done, total)))
    with pytest.raises(BuildError, match=r"(?s)exit status 3.*the reason"):
        binaries(Cache(tmp_path / "cache", progress))
    assert counts == [(1, 3), (2, 3), (3, 3)]
