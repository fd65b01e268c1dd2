"""`explain` and `run --dry-run`: what would be done and why, acting on nothing."""

import os
import subprocess
import sys

import orjson
import pytest

from gco_stream.local.plane import ControlPlane
from tests.integration.conftest import Program, World
from tests.items import item

_WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def gco_stream(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gco_stream", *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", [("explain", "chat"), ("explain", "--all"), ("run", "--dry-run")])
def test_it_says_what_would_be_done_and_does_nothing(
    command: tuple[str, ...],
    world: World,
    controller_env: dict[str, str],
    control_plane: ControlPlane,
    controller_user: str,
) -> None:
    world.put(item(spec={"gpu_count": 0}))
    before, mark = world.item("chat"), control_plane.audit.mark()
    told = gco_stream(controller_env, *command)
    assert told.returncode == 0, told.stderr
    for sentence in (
        f"create Service {world.namespace}/chat: it is missing",
        f"create Ingress {world.namespace}/inference-chat: it is missing",
        f"create Deployment {world.namespace}/chat: it is missing",
        "report creating, 0 of 1 ready",
    ):
        assert sentence in told.stdout
    calls = control_plane.audit.calls(mark, user=controller_user)
    assert calls
    assert [call for call in calls if call.verb in _WRITES] == []
    assert (world.item("chat"), world.objects()) == (before, {})


def test_an_endpoint_in_sync_is_said_to_be_so(
    world: World, controller: Program, controller_env: dict[str, str]
) -> None:
    world.put(item(spec={"gpu_count": 0}))
    controller.until(lambda: (world.item("chat") or {}).get("desired_state") == "running", "it is promoted")
    told = gco_stream(controller_env, "explain", "chat")
    assert "objects: as they should be" in told.stdout
    assert "reported running, 1 of 1 ready" in told.stdout
    dry = gco_stream(controller_env, "run", "--dry-run")
    assert dry.stdout.splitlines()[-1] == "0 of 1 endpoints would change; nothing was done"


def test_a_difference_is_told_field_by_field_and_as_json(world: World, controller_env: dict[str, str]) -> None:
    world.put(item(spec={"gpu_count": 0, "autoscaling": {"enabled": True, "metrics": [{"type": "gpu"}]}}))
    told = gco_stream(controller_env, "explain", "--all", "-o", "json")
    chat = orjson.loads(told.stdout)["endpoints"]["chat"]
    assert not chat["in_sync"]
    assert len(chat["steps"]) == 4
    assert any("'gpu' is not known" in warning for warning in chat["warnings"])


def test_an_endpoint_that_is_not_in_the_table_is_an_exit_code_of_its_own(
    world: World, controller_env: dict[str, str]
) -> None:
    told = gco_stream(controller_env, "explain", "nobody")
    assert (told.returncode, told.stderr.strip()) == (3, "gco-stream: endpoint nobody: the table has no such item")
    assert world.objects() == {}
