"""`gco-stream demo`: the main job on the embedded control plane, told in a terminal."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer
from rich.console import Console

from gco_stream.cli.errors import CommandError

_KEEP = "DEMO_KEEP"


def demo() -> None:
    """Show the main job: endpoint items become Kubernetes objects, each step with its milliseconds.

    Starts a Kubernetes API server and a DynamoDB of its own on this machine; nothing else is touched. The first line is
    the address of the status page, which shows the same as it happens from when the controller runs. With DEMO_KEEP=1
    everything is left running afterwards, and the last lines say how to play on.

    Examples:

      gco-stream demo

      DEMO_KEEP=1 gco-stream demo
    """
    console = Console(soft_wrap=not sys.stdout.isatty())
    if os.environ.get(_KEEP, "") in {"", "0"}:
        _run_temporary(console)
    else:
        _run_kept(console)


def _run_temporary(console: Console) -> None:
    from gco_stream.cli.commands.demo_scenario import SETTINGS
    from gco_stream.local.controller import log_of
    from gco_stream.local.progress import Progress
    from gco_stream.local.session import running_control_plane

    with ExitStack() as stack:
        port = stack.enter_context(_reserved_port())
        _announce(console, port)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gco-stream-demo-")))
        plane = stack.enter_context(
            running_control_plane(folder / "local", Progress(), {**SETTINGS, "HTTP_PORT": str(port)})
        )
        try:
            _print_next_steps(console, plane.environment())
        except CommandError:
            console.print("The end of the controller's log:", style="red")
            console.print("\n".join(log_of(plane).read_text().splitlines()[-15:]), markup=False, highlight=False)
            raise


def _run_kept(console: Console) -> None:
    from gco_stream.cli.commands.demo_scenario import SETTINGS
    from gco_stream.local.controller import NAME
    from gco_stream.local.session import default_folder, owner, read

    is_there = owner(default_folder()) is not None
    if not is_there:
        with _reserved_port() as chosen:
            _announce(console, chosen)
            _start_kept({**SETTINGS, "HTTP_PORT": str(chosen)})
    state = read(default_folder())
    port = next((server.port for server in state.servers if server.name == NAME), None)
    if port is None:
        raise CommandError("a control plane without a controller is running; `gco-stream local down` ends it")
    if is_there:
        _announce(console, port)
    _print_next_steps(console, state.environment)
    console.print("\nEverything is still running. To play on:", style="bold")
    console.print(f"  {_address(port)}", style="cyan", highlight=False)
    console.print("      the status page, in a browser", highlight=False)
    for command, why in (
        ('eval "$(gco-stream local env)"', "point kubectl, the AWS CLI and gco-stream at it"),
        ("gco-stream endpoint list --watch", "in another terminal: see the endpoints change"),
        ("kubectl -n gco-inference get deployments,services,ingresses -w", "and the objects"),
        ("gco-stream endpoint put -f examples/chat.yaml", "write an endpoint"),
        ("gco-stream explain chat", "what the controller would do about it, and why"),
        ("gco-stream local logs controller", "what it has done"),
        ("gco-stream local down", "end it all"),
    ):
        console.print(f"  {command}", style="cyan", markup=False, highlight=False)
        console.print(f"      {why}", markup=False, highlight=False)
    typer.echo("(gco-stream is .venv/bin/gco-stream in a checkout)")


def _start_kept(settings: dict[str, str]) -> None:
    """Starts what stays. Raises Failure."""
    given = [f"--setting={name}={value}" for name, value in settings.items()]
    up = [sys.executable, "-m", "gco_stream", "local", "up", "--detach", "--controller", *given]
    if subprocess.run(up, check=False).returncode:  # noqa: S603 - our own program
        raise CommandError("the control plane was not started")


@contextmanager
def _reserved_port() -> Iterator[int]:
    """A port that no other control plane takes while the block runs, so that it can be told before it is used."""
    from gco_stream.local.ports import Ports
    from gco_stream.local.toolchain.cache import default_cache

    ports = Ports(default_cache() / "ports")
    try:
        yield ports.reserve()
    finally:
        ports.release()


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}/"


def _announce(console: Console, port: int) -> None:
    console.print(f"The status page shows all of it as it happens: [bold cyan]{_address(port)}[/]", highlight=False)


def _print_next_steps(console: Console, environment: dict[str, str]) -> None:
    from gco_stream.cli.commands.demo_scenario import DemoScenario
    from gco_stream.local.kube_api import KubeApi
    from gco_stream.local.servers.dynamodb import client
    from gco_stream.table.sync_table import SyncEndpointTable

    console.print("The controller leads. What it does next, it does because the table changed.")
    dynamodb = client(environment["AWS_ENDPOINT_URL_DYNAMODB"])
    kube = KubeApi.from_kubeconfig(environment["KUBECONFIG"])
    try:
        DemoScenario(
            console,
            SyncEndpointTable(dynamodb, environment["INFERENCE_ENDPOINTS_TABLE_NAME"]),
            kube,
            environment["INFERENCE_NAMESPACE"],
            environment["REGION"],
        ).run()
    finally:
        kube.close()
        dynamodb.close()
