"""Builds the programs that a Go module lists in its `tool` directives, once per pinned version."""

import os
import shutil
from pathlib import Path
from typing import Final

from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.cache import Cache, digest

# Strips symbols and debug information, which are not needed here.
_STRIP_FLAGS: Final = "-s -w"


def go_build(cache: Cache, name: str, module: Path, title: str, flags: str, *, tags: str = "") -> Path:
    """Folder with the binaries of the tools of `module`. `flags` are linker flags, `tags` build tags.

    `title` is the progress message.

    Raises:
        BuildError: the build failed; the message has the end of its output.
    """
    sources = (module / "go.mod", module / "go.sum", *sorted(module.rglob("*.go")))
    ldflags, tagged = f"{_STRIP_FLAGS} {flags}", (tags,) if tags else ()

    def fill(staging: Path) -> None:
        go = toolchains.go(cache, toolchains.min_go_version(module))
        scratch = staging / "scratch"
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly -trimpath -modcacherw",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GO111MODULE": "on",
        }
        if go.brought:
            # A machine without Go does not need Go's caches, which are larger than the binaries.
            environment |= {"GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache"), "GOENV": "off"}
        out = staging / "bin"
        toolchains.run(
            [go.command, "build", "-tags", tags, "-ldflags", ldflags, "-o", f"{out}{os.sep}", "tool"],
            title,
            cwd=module,
            env=environment,
        )
        for binary in out.iterdir():
            # etcd's package is called server, and Go names the binary after it.
            binary.rename(staging / ("etcd" if binary.name == "server" else binary.name))
        out.rmdir()
        shutil.rmtree(scratch, ignore_errors=True)

    return cache.entry(
        name,
        digest(*(source.read_bytes() for source in sources), ldflags, *tagged, toolchains.this_machine()),
        title,
        fill,
    )
