"""Runs the controller as another server of the local control plane."""

import os
import sys
import time
from pathlib import Path

import orjson
import urllib3

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.servers.processes import Recipe, Server

NAME = "controller"
_READY_SECONDS = 120.0


def controller(plane: ControlPlane, port: int, **settings: str) -> Server:
    """Returns the server that runs `gco-stream run`, not started yet. `settings` override its environment variables."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        **plane.environment(),
        "HOSTNAME": "local",
        "LOG_FORMAT": "json",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        **settings,
    }
    return Server(
        Recipe(
            name=NAME,
            command=[sys.executable, "-m", "gco_stream", "run"],
            folder=plane.folder / NAME,
            port=port,
            ready=lambda: leads(port),
            environment=environment,
        )
    )


def start_controller(plane: ControlPlane, **settings: str) -> Server:
    """Starts the controller and waits until it is the leader and reconciles. It stops together with the control plane.

    It listens on the port in the setting HTTP_PORT, or on a free port if that is unset.

    Raises:
        StartError: the controller exited, or was not ready within two minutes.
    """
    port = int(settings.get("HTTP_PORT") or plane.free_port())
    server = plane.servers[NAME] = controller(plane, port, **settings)
    server.start()
    server.wait_ready(time.monotonic() + _READY_SECONDS)
    return server


def leads(port: int) -> bool:
    """Returns whether the controller on `port` is the leader and reconciles."""
    try:
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}/status", timeout=2.0, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200 and bool(orjson.loads(answer.data).get("working"))


def log_of(plane: ControlPlane) -> Path:
    """Returns the path of the controller's log."""
    return plane.folder / NAME / f"{NAME}.log"
