"""Builds the programs in the `tool` directives of a Go module, and caches the binaries."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from gco_stream.local.progress import Progress
from gco_stream.local.toolchain import toolchains
from gco_stream.local.toolchain.cache import Cache, digest

# Omits the symbol table and debug information, to keep the binaries small.
_STRIP_FLAGS: Final = "-s -w"
# Debug information would be omitted anyway, so the compiler need not create it.
_COMPILER_FLAGS: Final = "all=-dwarf=false"
# Listing the packages downloads the modules.
_LIST_SECONDS: Final = 900.0


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
            # The compilers are short-lived, so collecting garbage less often saves time.
            "GOGC": "400",
        }
        if go.brought:
            # Go's caches are larger than the binaries and useless on a machine without Go: delete them with `scratch`.
            environment |= {"GOPATH": str(scratch / "path"), "GOCACHE": str(scratch / "cache"), "GOENV": "off"}
        out = staging / "bin"
        options = ("-tags", tags, "-ldflags", ldflags, "-gcflags", _COMPILER_FLAGS, "-o", f"{out}{os.sep}")
        toolchains.run(
            [go.command, "build", "-v", *options, "tool"],
            title,
            cwd=module,
            env=environment,
            on_line=_package_counter(cache.progress, go.command, module, environment, tags),
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


def _package_counter(
    progress: Progress, go: Path, module: Path, environment: Mapping[str, str], tags: str
) -> Callable[[str], None]:
    """Returns a function that counts the packages which `go build -v` lists as it compiles them.

    Without the number of all packages, it does nothing. Packages that are already compiled are not listed.
    """
    listed = toolchains.answer([go, "-C", module, "list", "-deps", "-tags", tags, "tool"], environment, _LIST_SECONDS)
    # Go reports downloads in lines of its own.
    total, done = sum(not line.startswith("go: ") for line in listed.splitlines()), 0

    def count(_package: str) -> None:
        nonlocal done
        done += 1
        if done <= total:
            progress.count("packages", done, total)

    return count
