"""`gco-stream demo`: shows how endpoint items become Kubernetes objects, on an embedded control plane."""

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
    """Show how endpoint items become Kubernetes objects, and how many milliseconds each step takes.

    The demo starts its own Kubernetes API server and DynamoDB on this machine and touches nothing else. Its first line
    is the URL of the status page, which shows the fleet live once the controller runs. With DEMO_KEEP=1, everything
    keeps running afterwards, and the last lines suggest what to try next.

    Examples:

      gco-stream demo

      DEMO_KEEP=1 gco-stream demo
    """
    console = Console(soft_wrap=not sys.stdout.isatty())
    if os.environ.get(_KEEP, "") in {"", "0"}:
        _run_and_remove(console)
    else:
        _run_and_keep(console)


def _run_and_remove(console: Console) -> None:
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
            _run_story(console, plane.environment())
        except CommandError:
            console.print("Last lines of the controller's log:", style="red")
            console.print("\n".join(log_of(plane).read_text().splitlines()[-15:]), markup=False, highlight=False)
            raise


def _run_and_keep(console: Console) -> None:
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
        raise CommandError("the running control plane has no controller; stop it with `gco-stream local down`")
    if is_there:
        _announce(console, port)
    _run_story(console, state.environment)
    console.print("\nEverything is still running. Try it:", style="bold")
    console.print(f"  {_address(port)}", style="cyan", highlight=False)
    console.print("      open the status page in a browser", highlight=False)
    for command, why in (
        ('eval "$(gco-stream local env)"', "point kubectl, the AWS CLI and gco-stream at this control plane"),
        ("gco-stream endpoint list --watch", "watch the endpoints, in another terminal"),
        ("kubectl -n gco-inference get deployments,services,ingresses -w", "watch the objects"),
        ("gco-stream endpoint put -f examples/chat.yaml", "create an endpoint"),
        ("gco-stream explain chat", "see what the controller would do, and why"),
        ("gco-stream local logs controller", "see what the controller has done"),
        ("gco-stream local down", "stop everything"),
    ):
        console.print(f"  {command}", style="cyan", markup=False, highlight=False)
        console.print(f"      {why}", markup=False, highlight=False)
    typer.echo("(In a checkout, gco-stream is .venv/bin/gco-stream.)")


def _start_kept(settings: dict[str, str]) -> None:
    """Starts the control plane in the background. Raises CommandError if it does not start."""
    given = [f"--setting={name}={value}" for name, value in settings.items()]
    up = [sys.executable, "-m", "gco_stream", "local", "up", "--detach", "--controller", *given]
    if subprocess.run(up, check=False).returncode:  # noqa: S603 - our own program
        raise CommandError("the control plane did not start")


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Reserves a port while the block runs, so the demo can print the URL before the controller starts."""
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
    console.print(f"Follow the demo on the status page: [bold cyan]{_address(port)}[/]", highlight=False)


def _run_story(console: Console, environment: dict[str, str]) -> None:
    from gco_stream.cli.commands.demo_scenario import DemoScenario
    from gco_stream.local.kube_api import KubeApi
    from gco_stream.local.servers.dynamodb import client
    from gco_stream.table.sync_table import SyncEndpointTable

    console.print("The controller is running. From now on, you see each change and what the controller does about it.")
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
