"""`gco-stream local`: an embedded Kubernetes and DynamoDB on this machine, up and down by command."""

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
        help="The control plane's folder: one for each that is to run at the same time.",
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
        bool, typer.Option("--detach", "-d", help="Leave it running and return when it is ready.")
    ] = False,
    controller: Annotated[bool, typer.Option("--controller", help="Run the controller beside it.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--setting",
            help="A setting of that controller; without it, the defaults. May be given several times.",
            metavar="NAME=VALUE",
        ),
    ] = None,
) -> None:
    """Start the control plane: kube-apiserver, controller-manager, scheduler, etcd, kwok and DynamoDB Local.

    The first time on a machine its parts are built, which takes some minutes; then it takes about five seconds.
    It runs until Ctrl-C, with --detach until `gco-stream local down`. Nothing is kept from one time to the next.

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
            progress.note(f"It runs in {folder} already.")


def _settings(controller: bool, given: list[str]) -> dict[str, str] | None:
    """The controller's settings, None for no controller."""
    for one in given:
        if "=" not in one:
            raise LocalError(f"--setting {one}: allowed: NAME=VALUE")
        if not controller:
            raise LocalError(f"--setting {one}: it is a setting of the controller, so give --controller too")
    return dict(one.split("=", 1) for one in given) if controller else None


def _run_in_foreground(folder: Path, progress: Progress, controller: dict[str, str] | None) -> None:
    # SIGINT too: whoever is started in the background by a shell inherits it as ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        with session.running_control_plane(folder, progress, controller) as plane:
            progress.note(f'Ready. Use it with: eval "$(gco-stream local env{_dir_option(folder)})"')
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
                progress.note(f"{server.name} has ended; its log: {server.log}")


def _detach(folder: Path, progress: Progress, controller: dict[str, str] | None) -> None:
    from gco_stream.local.toolchain.build import binaries
    from gco_stream.local.toolchain.cache import Cache, default_cache

    # Here and not in the process that is left, so that a person sees what is being built.
    binaries(Cache(default_cache(), progress))
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gco_stream.cli.commands.local", "up", "--dir", str(folder.absolute())]
    if controller is not None:
        command += ["--controller", *(f"--setting={name}={value}" for name, value in controller.items())]
    with (folder / "up.log").open("w+") as log, progress.step("Starting the control plane"):
        left = subprocess.Popen(  # noqa: S603 - this program
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if session.read(folder).pid == left.pid:
                    break
            except NotRunningError:
                pass
            if left.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise LocalError(f"it did not start:\n{log.read().strip()}")
            time.sleep(0.05)
    progress.note(f'Ready. Use it with: eval "$(gco-stream local env{_dir_option(folder)})"')


def _dir_option(folder: Path) -> str:
    return "" if folder == session.default_folder() else f" --dir {shlex.quote(str(folder))}"


@app.command()
def down(folder: Folder) -> None:
    """Stop a detached control plane. Its logs stay until the next start.

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
            "running" if memory is not None else "[red]ended[/red]",
            str(server.pids[-1]),
            str(server.port or ""),
            "" if memory is None else f"{memory >> 20} MiB",
        )
    console.print(table)
    console.print(f"up for {format_duration(time.time() - state.started)} in {folder}", highlight=False, soft_wrap=True)


def _memory(pids: tuple[int, ...]) -> int | None:
    """Resident bytes of a server and its supervisor; None if one of them is gone."""
    import psutil

    try:
        return sum(int(psutil.Process(pid).memory_info().rss) for pid in pids)
    except psutil.NoSuchProcess:
        return None


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A server's name as `status` shows it, or: audit.")],
    folder: Folder,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines; 0: all.")] = 100,
) -> None:
    """Show a server's log, also after it has ended.

    Examples:

      gco-stream local logs kube-apiserver

      gco-stream local logs audit --lines 5
    """
    with _one_line():
        files = session.log_files(folder)
        if name not in files:
            known = ", ".join(files) or "none, nothing has run there"
            raise LocalError(f"NAME={name}: no such log in {folder}; allowed: {known}")
    shown = files[name].read_text(errors="replace").splitlines()
    typer.echo("\n".join(shown[-lines:] if lines else shown))


@app.command()
def env(folder: Folder) -> None:
    """Print the environment variables that kubectl, the AWS CLI and this program need, for a shell to evaluate.

    Examples:

      eval "$(gco-stream local env)"
    """
    with _one_line():
        state = session.read(folder)
    for name, value in state.environment.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    app()
