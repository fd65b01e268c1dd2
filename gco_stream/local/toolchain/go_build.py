"""Builds the programs that a Go module here names with its `tool` directives: once for each pin of them."""

import os
import shutil
from pathlib import Path
from typing import Final

from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.cache import Cache, digest

# Without symbols and debug information, of which nobody here has a use.
_STRIP_FLAGS: Final = "-s -w"


def go_build(cache: Cache, name: str, module: Path, title: str, flags: str, *, tags: str = "") -> Path:
    """The folder with the binaries of `module`'s tools; `flags` are the linker's, `tags` the compiler's.

    `title` tells a person what is made.

    Raises:
        BuildError: with the end of the tool's output.
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
            # Whoever has no Go has no use for its caches, which are larger than what is built.
            environment |= {"GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache"), "GOENV": "off"}
        out = staging / "bin"
        toolchains.run(
            [go.command, "build", "-tags", tags, "-ldflags", ldflags, "-o", f"{out}{os.sep}", "tool"],
            title,
            cwd=module,
            env=environment,
        )
        for binary in out.iterdir():
            # etcd's package is called server, and so is what Go makes of it.
            binary.rename(staging / ("etcd" if binary.name == "server" else binary.name))
        out.rmdir()
        shutil.rmtree(scratch, ignore_errors=True)

    return cache.entry(
        name,
        digest(*(source.read_bytes() for source in sources), ldflags, *tagged, toolchains.this_machine()),
        title,
        fill,
    )
