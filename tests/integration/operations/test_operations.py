"""What operators rely on: health checks, metrics, lease handover and the demo."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item
from tests.support.processes.child_process import IGNORING_SIGINT

LEASE = "inference-monitor-leader"


def holder(world: World) -> str:
    lease = world.kube.find(path_of("Lease", world.namespace, LEASE))
    return str(lease["spec"].get("holderIdentity", "")) if lease else ""


def test_health_readiness_and_metrics_are_served(world: World, controller: Program) -> None:
    world.put(item(spec={"gpu_count": 0}))
    promoted = 'gco_stream_table_writes_total{kind="promotion"} 1.0'
    controller.until(lambda: promoted in controller.http("/metrics")[1], "the endpoint is promoted")
    assert controller.http("/healthz") == (200, "ok\n")
    assert controller.http("/readyz") == (200, "ok\n")
    for sample in (
        f'leader_election_master_status{{name="{LEASE}"}} 1.0',
        'gco_stream_mode{mode="stream"} 1.0',
        'gco_stream_steps_total{kind="Deployment",step="Create"} 1.0',
        "gco_stream_endpoints 1.0",
        'workqueue_depth{name="endpoints"} 0.0',
    ):
        # Work that follows from the last write may still be in flight.
        controller.until(lambda sample=sample: sample in controller.http("/metrics")[1], sample)
    code, text = controller.http("/metrics")
    assert code == 200
    assert "chat" not in text


def test_a_standby_is_ready_and_leads_once_the_lease_is_released(
    world: World, controller: Program, program: Callable[..., Program]
) -> None:
    first = holder(world)
    standby = program()
    standby.until(lambda: any(line.get("message") == "started" for line in standby.lines()), "the standby has started")
    standby.until(lambda: standby.http("/readyz")[0] == 200, "the standby is ready")
    assert not standby.status()["working"]
    assert controller.stop() == 0
    standby.wait_working()
    assert holder(world) not in {"", first}
    world.put(item(spec={"gpu_count": 0}))
    standby.until(lambda: world.state("chat") == "running", "the new leader processes the endpoint")


def test_sigterm_releases_the_lease_and_exits_cleanly(world: World, controller: Program) -> None:
    assert holder(world)
    assert controller.stop() == 0
    assert holder(world) == ""
    assert "Traceback" not in controller.log.read_text()


def test_sigint_stops_it_if_it_inherited_the_signal_as_ignored(program: Callable[..., Program]) -> None:
    one = program(command=[*IGNORING_SIGINT, sys.executable, "-m", "gco_stream", "run"]).wait_working()
    one.signal(signal.SIGINT)
    assert one.wait() == 0


def test_the_demo_runs_without_a_terminal_and_cleans_up(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DEMO_KEEP"}
    told = subprocess.run(
        [sys.executable, "-m", "gco_stream", "demo"],
        env=environment | {"TMPDIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    assert told.returncode == 0, told.stdout
    assert told.stdout.startswith("Follow the demo on the status page: http://127.0.0.1:")
    for words in (
        "Create two endpoints",
        "Add a canary",
        "chat: restored to 4 replicas",
        "chat: item deleted",
        "median",
    ):
        assert words in told.stdout
    assert list(tmp_path.iterdir()) == []
