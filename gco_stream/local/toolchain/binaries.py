"""Finds helm and kubectl, or makes them: a variable, PATH (exactly the pinned version), the cache, at last a build.

GCO_STREAM_HELM and GCO_STREAM_KUBECTL name the binaries. Only a checkout has their Go module, as it has the
chart and the documentation that are tested with them; the control plane needs neither.

Finds promtool, or makes it: GCO_STREAM_PROMTOOL, PATH (exactly the pinned version), the cache, at last a build.

Only a checkout has its Go module, as it has the alerts that are tested with it.
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
    """The helm binary; the first time on a machine this takes minutes. Raises BuildError: it could not be had."""
    return _client(cache, "helm", HELM_VERSION, ("version", "--short"))


def kubectl(cache: Cache) -> Path:
    """The kubectl binary; as `helm`, and built together with it. Raises BuildError: it could not be had."""
    return _client(cache, "kubectl", KUBECTL_VERSION, ("version", "--client"))


def _client(cache: Cache, name: str, version: str, version_arguments: Sequence[str]) -> Path:
    variable = f"GCO_STREAM_{name.upper()}"
    given = os.environ.get(variable)
    if given:
        if not os.access(given, os.X_OK):
            raise BuildError(f"{variable}={given}: not a program; allowed: the path of {name} {version}")
        return Path(given).resolve()
    found = shutil.which(name)
    # Helm's own builds say v4.3.1+g1234567.
    if found and version in toolchains.answer([found, *version_arguments]).replace("+", " ").split():
        return Path(found)
    module = toolchains.inputs().parent / "helm"
    if not (module / "go.mod").is_file():
        raise BuildError(f"the Go module of {name} is missing: only a checkout has it")
    return go_build(cache, "clients", module, "Building helm and kubectl", _VERSION_FLAGS) / name


PROMTOOL_VERSION: Final = "3.10.0"
"""Prometheus' own; its Go module calls the same v0.310.0."""

_VERSION_FLAG: Final = f"-X github.com/prometheus/common/version.Version={PROMTOOL_VERSION}"
# The clients of two dozen clouds, which find what to scrape, are most of what would be compiled.
_TAGS: Final = "remove_all_sd"


def promtool(cache: Cache) -> Path:
    """The promtool binary; the first time on a machine this takes minutes. Raises BuildError: it could not be had."""
    given = os.environ.get("GCO_STREAM_PROMTOOL")
    if given:
        if not os.access(given, os.X_OK):
            raise BuildError(f"GCO_STREAM_PROMTOOL={given}: not a program; allowed: the path of {PROMTOOL_VERSION}")
        return Path(given).resolve()
    found = shutil.which("promtool")
    if found and f"version {PROMTOOL_VERSION} " in toolchains.answer([found, "--version"]):
        return Path(found)
    module = toolchains.inputs().parent / "promtool"
    if not (module / "go.mod").is_file():
        raise BuildError("the Go module of promtool is missing: only a checkout has it")
    return go_build(cache, "promtool", module, "Building promtool", _VERSION_FLAG, tags=_TAGS) / "promtool"
