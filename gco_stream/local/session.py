"""Long-running control plane in a folder, where other commands can find it.

The folder contains `state.json`, which is written when all servers are ready, and a lock file. The owning process holds
the lock while it runs. Without the lock, `state.json` is ignored: it may be left over from a power failure, and its
process id may have been reused.
"""

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from gco_stream.local.errors import AlreadyRunningError, LocalError, NotRunningError
from gco_stream.local.progress import Progress

if TYPE_CHECKING:
    from gco_stream.local.control_plane import ControlPlane

_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_LOCK, _STATE, _PLANE = "lock", "state.json", "plane"
_OWN_FILES = {_LOCK, _STATE, _PLANE, f".{_STATE}", "up.log"}


def default_folder() -> Path:
    """Returns `$XDG_STATE_HOME/gco-stream/local`, by default `~/.local/state/gco-stream/local`."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "gco-stream" / "local"


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server of a running control plane. `pids`: ids of its supervisor and its own process after the start."""

    name: str
    pids: tuple[int, ...]
    port: int | None


@dataclass(frozen=True, slots=True)
class State:
    """A running control plane.

    `pid`: id of the owning process. `started`: start time in Unix seconds. `environment`: variables that connect
    gco-stream to it.
    """

    pid: int
    started: float
    environment: dict[str, str]
    servers: tuple[ServerState, ...]


@contextmanager
def running_control_plane(
    folder: Path, progress: Progress, controller: Mapping[str, str] | None = None
) -> "Iterator[ControlPlane]":
    """Runs a control plane with the endpoint table in `folder` while the block runs.

    The files of an earlier control plane are removed first. `controller`: settings of a controller to start as well,
    None for no controller.

    Raises:
        AlreadyRunningError: a control plane is already running in the folder.
        LocalError: the folder has other files, or any error of `ControlPlane.start`.
    """
    # These modules load botocore and cryptography, which would slow down `--help`.
    from gco_stream.local.control_plane import TABLE, ControlPlane  # noqa: PLC0415
    from gco_stream.local.controller import start_controller  # noqa: PLC0415
    from gco_stream.local.servers import dynamodb  # noqa: PLC0415
    from gco_stream.table.bootstrap import create  # noqa: PLC0415

    folder = folder.absolute()
    with _owned(folder):
        shutil.rmtree(folder / _PLANE, ignore_errors=True)
        plane = ControlPlane(folder / _PLANE, progress=progress)
        plane.prepare()
        with progress.step("Starting the control plane"):
            plane.start()
        try:
            client = dynamodb.client(plane.dynamodb_url)
            create(client, TABLE)
            client.close()
            if controller is not None:
                with progress.step("Starting the controller"):
                    start_controller(plane, **controller)
            _write_state(folder, plane)
            yield plane
        finally:
            (folder / _STATE).unlink(missing_ok=True)
            plane.stop()


def read(folder: Path) -> State:
    """Returns the state of the control plane that runs in `folder`.

    Raises:
        NotRunningError: no control plane is running, or it is not ready yet.
    """
    if owner(folder) is None:
        raise NotRunningError(f"no control plane is running in {folder}; start one with `gco-stream local up`")
    try:
        stored = orjson.loads((folder / _STATE).read_bytes())
    except FileNotFoundError as error:
        raise NotRunningError(f"the control plane in {folder} is still starting") from error
    servers = tuple(ServerState(s["name"], tuple(s["pids"]), s["port"]) for s in stored["servers"])
    return State(stored["pid"], stored["started"], stored["environment"], servers)


def owner(folder: Path) -> int | None:
    """Returns the id of the process that owns the control plane in `folder`, or None if none is running."""
    try:
        with (folder / _LOCK).open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
    except FileNotFoundError:
        pass
    return None


def end(folder: Path) -> None:
    """Stops the control plane in `folder` and waits until its owner has exited.

    Raises:
        NotRunningError: no control plane is running.
        LocalError: it did not stop.
    """
    pid = owner(folder)
    if pid is None:
        raise NotRunningError(f"no control plane is running in {folder}")
    for sent in (signal.SIGTERM, signal.SIGKILL):
        os.kill(pid, sent)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            if owner(folder) != pid:
                return
            time.sleep(_POLL_SECONDS)
    raise LocalError(f"the control plane in {folder} did not stop: process {pid} is still running")


def log_files(folder: Path) -> dict[str, Path]:
    """Returns the log files by server name, plus the audit log. Also works after the control plane has stopped."""
    logs = {path.stem: path for path in sorted((folder / _PLANE).glob("*/*.log"))}
    audit = folder / _PLANE / "audit.log"
    return logs | ({"audit": audit} if audit.exists() else {})


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    if any(path.name not in _OWN_FILES for path in folder.iterdir()):
        raise LocalError(f"--dir: invalid value {folder}: must be a new or empty folder, or one of a control plane")
    with (folder / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(
                f"a control plane is already running in {folder} (process {owner(folder)})"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _write_state(folder: Path, plane: "ControlPlane") -> None:
    servers = [{"name": s.name, "pids": s.pids, "port": s.port} for s in plane.servers.values()]
    state = {"pid": os.getpid(), "started": time.time(), "environment": plane.environment(), "servers": servers}
    written = folder / f".{_STATE}"
    written.touch(mode=0o600)
    written.write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
    written.replace(folder / _STATE)
