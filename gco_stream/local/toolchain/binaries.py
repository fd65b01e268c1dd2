"""Finds or builds helm, kubectl and promtool, which some tests need but the control plane does not.

The order is: environment variable (GCO_STREAM_HELM, GCO_STREAM_KUBECTL or GCO_STREAM_PROMTOOL, the path of the binary),
PATH (exact version only), cache, build. The Go modules of these tools exist only in a checkout, like the chart, the
documentation and the alerts that are tested with them.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gco_stream.local.errors import BuildError
from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.cache import Cache
from gco_stream.local.toolchain.go_build import go_build

HELM_VERSION: Final = "v4.3.1"
KUBECTL_VERSION: Final = "v1.37.1"

_VERSION_FLAGS: Final = (
    f"-X helm.sh/helm/v4/internal/version.version={HELM_VERSION} "
    f"-X k8s.io/component-base/version.gitVersion={KUBECTL_VERSION}"
)


def helm(cache: Cache) -> Path:
    """Returns the path of helm. The first build on a machine takes minutes. Raises BuildError if it fails."""
    return _client(cache, "helm", HELM_VERSION, ("version", "--short"))


def kubectl(cache: Cache) -> Path:
    """Returns the path of kubectl, which is built together with helm. Raises BuildError if the build fails."""
    return _client(cache, "kubectl", KUBECTL_VERSION, ("version", "--client"))


def _client(cache: Cache, name: str, version: str, version_command: Sequence[str]) -> Path:
    variable = f"GCO_STREAM_{name.upper()}"
    given = os.environ.get(variable)
    if given:
        if not os.access(given, os.X_OK):
            raise BuildError(f"{variable}: invalid value {given}: must be the path of {name} {version}")
        return Path(given).resolve()
    found = shutil.which(name)
    # Official builds of Helm append the commit: v4.3.1+g1234567.
    if found and version in toolchains.answer([found, *version_command]).replace("+", " ").split():
        return Path(found)
    module = toolchains.inputs().parent / "helm"
    if not (module / "go.mod").is_file():
        raise BuildError(f"cannot build {name}: its Go module exists only in a checkout of gco-stream")
    return go_build(cache, "clients", module, "Building helm and kubectl", _VERSION_FLAGS) / name


PROMTOOL_VERSION: Final = "3.10.0"
"""Version of Prometheus. Its Go module calls the same release v0.310.0."""

_VERSION_FLAG: Final = f"-X github.com/prometheus/common/version.Version={PROMTOOL_VERSION}"
# Leaves out the clients for service discovery, which are most of the code to compile.
_TAGS: Final = "remove_all_sd"


def promtool(cache: Cache) -> Path:
    """Returns the path of promtool. The first build on a machine takes minutes. Raises BuildError if it fails."""
    given = os.environ.get("GCO_STREAM_PROMTOOL")
    if given:
        if not os.access(given, os.X_OK):
            raise BuildError(
                f"GCO_STREAM_PROMTOOL: invalid value {given}: must be the path of promtool {PROMTOOL_VERSION}"
            )
        return Path(given).resolve()
    found = shutil.which("promtool")
    if found and f"version {PROMTOOL_VERSION} " in toolchains.answer([found, "--version"]):
        return Path(found)
    module = toolchains.inputs().parent / "promtool"
    if not (module / "go.mod").is_file():
        raise BuildError("cannot build promtool: its Go module exists only in a checkout of gco-stream")
    return go_build(cache, "promtool", module, "Building promtool", _VERSION_FLAG, tags=_TAGS) / "promtool"
