"""Cache of everything that is built or downloaded on this machine.

Each entry is a folder with the hash of its inputs in its name. It is filled in a staging folder under a file lock, and
renamed when it is complete. An entry is therefore either complete or absent, and two processes that need it at the same
time build it only once.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gco_stream.local.progress import Progress, format_duration

_DURATIONS = "durations.json"


def default_cache() -> Path:
    """Returns `$XDG_CACHE_HOME/gco-stream`, by default `~/.cache/gco-stream`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gco-stream"


def digest(*inputs: str | bytes) -> str:
    """Returns a short hash of `inputs`, which depends on their contents, their order and their boundaries."""
    hashed = hashlib.sha256()
    for value in inputs:
        data = value.encode() if isinstance(value, str) else value
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()[:16]


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Locks the file `path` while the block runs. Calls `waiting` first if another process holds the lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Cache:
    """The cache in the folder `root`, with the time that each entry took to build."""

    def __init__(self, root: Path, progress: Progress):
        self.root = root
        self.progress = progress

    def entry(self, name: str, key: str, title: str, fill: Callable[[Path], None]) -> Path:
        """Returns the folder of the entry `name` with the input hash `key`.

        If the entry does not exist, `fill` is called with an empty staging folder, and `title` is shown as progress. An
        exception raised by `fill` is propagated, and no entry is created.
        """
        path = self.root / f"{name}-{key}"
        if path.is_dir():
            return path
        waiting = f"{title}: waiting for another process to finish this"
        with locked(self.root / f"{name}-{key}.lock", lambda: self.progress.note(waiting)):
            if path.is_dir():
                return path
            staging = self.root / f".{name}-{key}"
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            began = time.monotonic()
            try:
                with self.progress.step(f"{title} ({self._expectation(name)})"):
                    fill(staging)
                staging.rename(path)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            self._remember(name, time.monotonic() - began)
        return path

    def _expectation(self, name: str) -> str:
        took = self._durations().get(name)
        return "first time on this machine" if took is None else f"took {format_duration(took)} last time"

    def _durations(self) -> dict[str, float]:
        try:
            stored = json.loads((self.root / _DURATIONS).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def _remember(self, name: str, seconds: float) -> None:
        with locked(self.root / f"{_DURATIONS}.lock"):
            durations = {**self._durations(), name: round(seconds, 1)}
            written = self.root / f".{_DURATIONS}"
            written.write_text(json.dumps(durations, indent=2, sort_keys=True) + "\n")
            written.replace(self.root / _DURATIONS)
