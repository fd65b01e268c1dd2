"""Finds promtool, or makes it: GCO_STREAM_PROMTOOL, PATH (exactly the pinned version), the cache, at last a build.

Only a checkout has its Go module, as it has the alerts that are tested with it.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from gco_stream.local import toolchains
from gco_stream.local.cache import Cache
from gco_stream.local.errors import BuildError
from gco_stream.local.go_build import go_build

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
