"""Finds, builds or downloads the binaries of the control plane. Order: environment variable, PATH, cache, build.

KUBEBUILDER_ASSETS is a folder with any of kube-apiserver, kube-controller-manager, kube-scheduler and etcd.
GCO_STREAM_KWOK is the path of kwok, and GCO_STREAM_DYNAMODB_LOCAL is a folder with the jars of DynamoDB Local. A binary
on PATH is used only if it has exactly the pinned version.
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gco_stream.local.errors import BuildError
from gco_stream.local.toolchain import maven_fetch, toolchains
from gco_stream.local.toolchain.cache import Cache, digest
from gco_stream.local.toolchain.go_build import go_build

KUBERNETES_VERSION = "v1.34.4"
ETCD_VERSION = "3.6.4"
KWOK_VERSION = "v0.8.0"

_KUBERNETES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_VERSION_FLAG = f"-X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"


@dataclass(frozen=True, slots=True)
class Binaries:
    """Paths of the binaries of a control plane."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path
    kwok: Path
    java: Path
    dynamodb: Path
    """Folder with the jars of DynamoDB Local."""


def binaries(cache: Cache) -> Binaries:
    """Finds or builds all binaries. The first build on a machine takes minutes.

    Raises:
        BuildError: a binary could not be built; the message has the reason and the end of the tool's output.
    """
    kubernetes = _kubernetes(cache)
    return Binaries(
        etcd=kubernetes["etcd"],
        kube_apiserver=kubernetes["kube-apiserver"],
        kube_controller_manager=kubernetes["kube-controller-manager"],
        kube_scheduler=kubernetes["kube-scheduler"],
        kwok=_kwok(cache),
        java=toolchains.java(cache),
        dynamodb=_dynamodb(cache),
    )


def _kubernetes(cache: Cache) -> dict[str, Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and not Path(assets).is_dir():
        raise BuildError(
            f"KUBEBUILDER_ASSETS: invalid value {assets}: must be a folder with kube-apiserver, etcd and the like"
        )
    found = {name: path for name in _KUBERNETES if (path := _given(name, assets) or _on_path(name))}
    if len(found) == len(_KUBERNETES):
        return found
    folder = go_build(cache, "kubernetes", toolchains.inputs(), "Building Kubernetes and etcd", _VERSION_FLAG)
    return {name: folder / name for name in _KUBERNETES} | found


def _given(name: str, assets: str | None) -> Path | None:
    if assets and os.access(path := Path(assets, name), os.X_OK):
        return path.resolve()
    return None


def _on_path(name: str) -> Path | None:
    version = {"etcd": f"etcd Version: {ETCD_VERSION}\n", "kwok": KWOK_VERSION}.get(name, f"{KUBERNETES_VERSION}\n")
    found = shutil.which(name)
    return Path(found) if found and version in toolchains.answer([found, "--version"]) else None


def _kwok(cache: Cache) -> Path:
    given = os.environ.get("GCO_STREAM_KWOK")
    if given:
        if not os.access(given, os.X_OK):
            raise BuildError(f"GCO_STREAM_KWOK: invalid value {given}: must be the path of kwok {KWOK_VERSION}")
        return Path(given).resolve()
    if found := _on_path("kwok"):
        return found
    return go_build(cache, "kwok", toolchains.inputs() / "kwok", "Building kwok", _VERSION_FLAG) / "kwok"


def _dynamodb(cache: Cache) -> Path:
    given = os.environ.get("GCO_STREAM_DYNAMODB_LOCAL")
    if given:
        if not any(Path(given).glob("*.jar")):
            raise BuildError(
                f"GCO_STREAM_DYNAMODB_LOCAL: invalid value {given}: must be a folder with the jars of DynamoDB Local"
            )
        return Path(given).resolve()
    lock = toolchains.inputs() / "dynamodb.lock"
    title = "Downloading DynamoDB Local"

    def fill(staging: Path) -> None:
        site = toolchains.python_packages(cache, "maven", "Downloading a Maven client")
        repository = staging / "repository"
        toolchains.run(
            [sys.executable, maven_fetch.__file__, lock, repository], title, env={**os.environ, "PYTHONPATH": str(site)}
        )
        for line in lock.read_text().splitlines():
            expected, coordinates = line.split()
            jar = _in_repository(repository, coordinates)
            if hashlib.sha256(jar.read_bytes()).hexdigest() != expected:
                raise BuildError(f"{title} failed: the checksum of {coordinates} does not match {lock.name}")
            jar.rename(staging / jar.name)
        shutil.rmtree(repository)

    return cache.entry("dynamodb", digest(lock.read_bytes()), title, fill)


def _in_repository(repository: Path, coordinates: str) -> Path:
    group, artifact, version = coordinates.split(":")
    return repository.joinpath(*group.split("."), artifact, version, f"{artifact}-{version}.jar")
