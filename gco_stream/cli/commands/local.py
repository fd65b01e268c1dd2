"""`gco-stream local`: starts and stops an embedded Kubernetes control plane and DynamoDB on this machine."""

import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gco_stream.local import session
from gco_stream.local.errors import LocalError, NotRunningError
from gco_stream.local.progress import Progress, format_duration

if TYPE_CHECKING:
    from gco_stream.local.control_plane import ControlPlane

_START_SECONDS = 300.0
_POLL_SECONDS = 1.0

app = typer.Typer(
    name="local",
    help="An embedded Kubernetes and DynamoDB on this machine, for the demo, development and tests.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path,
    typer.Option(
        "--dir",
        default_factory=session.default_folder,
        show_default="~/.local/state/gco-stream/local",
        help="Folder of the control plane. Use a separate folder for each one that runs at the same time.",
    ),
]


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (LocalError, OSError) as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"Error: {error}", markup=False)
        raise typer.Exit(1) from None


@app.command()
def up(
    folder: Folder,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Run in the background, and return when it is ready.")
    ] = False,
    controller: Annotated[bool, typer.Option("--controller", help="Also run the controller.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--setting",
            help="Setting for the controller, which otherwise uses its default. Can be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
) -> None:
    """Start the control plane: kube-apiserver, controller-manager, scheduler, etcd, kwok and DynamoDB Local.

    The first start on a machine builds its components, which takes a few minutes. Later starts take about five seconds.
    The control plane runs until Ctrl-C, or with --detach until `gco-stream local down`. Its data is not kept.

    Examples:

      gco-stream local up --detach && eval "$(gco-stream local env)"

      gco-stream local up --controller --setting LOG_LEVEL=DEBUG
    """
    progress = Progress()
    with _one_line():
        wanted = _settings(controller, settings or [])
        if not detach:
            _run_in_foreground(folder, progress, wanted)
        elif session.owner(folder) is None:
            _detach(folder, progress, wanted)
        else:
            progress.note(f"The control plane is already running in {folder}.")


def _settings(controller: bool, given: list[str]) -> dict[str, str] | None:
    """Returns the settings for the controller, or None without one. Raises LocalError if a setting is invalid."""
    for one in given:
        if "=" not in one:
            raise LocalError(f"--setting: invalid value {one}: must have the form NAME=VALUE")
        if not controller:
            raise LocalError(f"--setting: invalid value {one}: requires --controller")
    return dict(one.split("=", 1) for one in given) if controller else None


def _run_in_foreground(folder: Path, progress: Progress, controller: dict[str, str] | None) -> None:
    # SIGINT also needs a handler, because a shell can start background processes with SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        with session.running_control_plane(folder, progress, controller) as plane:
            progress.note(f'Ready. To use it, run: eval "$(gco-stream local env{_dir_option(folder)})"')
            _watch(plane, progress)
    except KeyboardInterrupt:
        progress.note("Stopped.")


def _watch(plane: "ControlPlane", progress: Progress) -> None:
    ended: set[str] = set()
    pause = threading.Event()
    while not pause.wait(_POLL_SECONDS):
        for server in plane.servers.values():
            if not server.running and server.name not in ended:
                ended.add(server.name)
                progress.note(f"{server.name} exited; see {server.log}")


def _detach(folder: Path, progress: Progress, controller: dict[str, str] | None) -> None:
    from gco_stream.local.toolchain.build import binaries
    from gco_stream.local.toolchain.cache import Cache, default_cache

    # Built here rather than in the background process, so that the user sees the progress.
    binaries(Cache(default_cache(), progress))
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gco_stream.cli.commands.local", "up", "--dir", str(folder.absolute())]
    if controller is not None:
        command += ["--controller", *(f"--setting={name}={value}" for name, value in controller.items())]
    with (folder / "up.log").open("w+") as log, progress.step("Starting the control plane"):
        background = subprocess.Popen(  # noqa: S603 - this program
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if session.read(folder).pid == background.pid:
                    break
            except NotRunningError:
                pass
            if background.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise LocalError(f"the control plane did not start:\n{log.read().strip()}")
            time.sleep(0.05)
    progress.note(f'Ready. To use it, run: eval "$(gco-stream local env{_dir_option(folder)})"')


def _dir_option(folder: Path) -> str:
    return "" if folder == session.default_folder() else f" --dir {shlex.quote(str(folder))}"


@app.command()
def down(folder: Folder) -> None:
    """Stop a detached control plane. Its logs are kept until the next start.

    Examples:

      gco-stream local down
    """
    with _one_line():
        session.end(folder)


@app.command()
def status(folder: Folder) -> None:
    """Show the servers with their process ids, ports and memory.

    Examples:

      gco-stream local status
    """
    with _one_line():
        state = session.read(folder)
    console = Console()
    table = Table("server", "state", "process", "port", "memory")
    for server in state.servers:
        memory = _memory(server.pids)
        table.add_row(
            server.name,
            "running" if memory is not None else "[red]exited[/red]",
            str(server.pids[-1]),
            str(server.port or ""),
            "" if memory is None else f"{memory >> 20} MiB",
        )
    console.print(table)
    console.print(f"up for {format_duration(time.time() - state.started)} in {folder}", highlight=False, soft_wrap=True)


def _memory(pids: tuple[int, ...]) -> int | None:
    """Returns the resident memory of these processes in bytes, or None if one of them has exited."""
    import psutil

    try:
        return sum(int(psutil.Process(pid).memory_info().rss) for pid in pids)
    except psutil.NoSuchProcess:
        return None


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="Name of a server as shown by `status`, or audit.")],
    folder: Folder,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Number of lines to show; 0 shows all.")] = 100,
) -> None:
    """Show the last lines of a server's log. This also works after the server has exited.

    Examples:

      gco-stream local logs kube-apiserver

      gco-stream local logs audit --lines 5
    """
    with _one_line():
        files = session.log_files(folder)
        if name not in files:
            known = f"must be one of {', '.join(files)}" if files else f"there are no logs in {folder}"
            raise LocalError(f"NAME: invalid value {name}: {known}")
    shown = files[name].read_text(errors="replace").splitlines()
    typer.echo("\n".join(shown[-lines:] if lines else shown))


@app.command()
def env(folder: Folder) -> None:
    """Print shell commands that point kubectl, the AWS CLI and gco-stream at the control plane.

    Examples:

      eval "$(gco-stream local env)"
    """
    with _one_line():
        state = session.read(folder)
    for name, value in state.environment.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    app()
