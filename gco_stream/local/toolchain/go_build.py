"""Builds the programs in the `tool` directives of a Go module, and caches the binaries."""

import os
import shutil
from pathlib import Path
from typing import Final

from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.cache import Cache, digest

# Omits the symbol table and debug information, to keep the binaries small.
_STRIP_FLAGS: Final = "-s -w"


def go_build(cache: Cache, name: str, module: Path, title: str, flags: str, *, tags: str = "") -> Path:
    """Returns the folder with the binaries of the tools of `module`, built if the cache does not have them.

    `name`: name of the cache entry. `title`: progress message. `flags`: linker flags. `tags`: build tags.

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
            # Go's caches are larger than the binaries and useless on a machine without Go: delete them with `scratch`.
            environment |= {"GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache"), "GOENV": "off"}
        out = staging / "bin"
        toolchains.run(
            [go.command, "build", "-tags", tags, "-ldflags", ldflags, "-o", f"{out}{os.sep}", "tool"],
            title,
            cwd=module,
            env=environment,
        )
        for binary in out.iterdir():
            # Go names the binary after its package, and etcd's package is named server.
            binary.rename(staging / ("etcd" if binary.name == "server" else binary.name))
        out.rmdir()
        shutil.rmtree(scratch, ignore_errors=True)

    return cache.entry(
        name,
        digest(*(source.read_bytes() for source in sources), ldflags, *tagged, toolchains.this_machine()),
        title,
        fill,
    )
