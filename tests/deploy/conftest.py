"""Builds the parsers of tools/syntax once per machine (seconds), in the same cache as the control plane."""

import os
import shutil
from pathlib import Path

import pytest

from gco_stream.local.progress import Progress
from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.cache import Cache, default_cache, digest

MODULE = Path(__file__).parents[2] / "tools" / "syntax"


@pytest.fixture(scope="session")
def syntax_tools() -> Path:
    """Folder with `cmd`, the docker compose loader, and `hclfmt`, the Terraform formatter."""
    cache = Cache(default_cache(), Progress())

    def fill(staging: Path) -> None:
        go = toolchains.go(cache, toolchains.min_go_version(MODULE))
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly -trimpath -modcacherw",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }
        scratch = staging / "scratch"
        if go.brought:
            environment |= {"GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache"), "GOENV": "off"}
        toolchains.run(
            [go.command, "build", "-ldflags=-s -w", "-o", f"{staging}{os.sep}", "tool"],
            "Building parsers for compose files and Terraform",
            cwd=MODULE,
            env=environment,
        )
        shutil.rmtree(scratch, ignore_errors=True)

    inputs = ((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return cache.entry(
        "syntax", digest(*inputs, toolchains.this_machine()), "Building parsers for compose files and Terraform", fill
    )
