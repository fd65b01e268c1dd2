"""`gco-stream endpoint canary|promote|rollback` on a real DynamoDB, with a controller that acts on the changes."""

from typing import Any

import pytest

from gco_stream.cli.errors import CONFLICT, NOT_FOUND, USAGE
from gco_stream.local.pytest_plugin import Table
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.shell import Shell, put, stored
from tests.integration.support.harness.world import World
from tests.support.items import item

NEW = "registry.example/serve:2.0"
ELSEWHERE = "eu-west-1"


def spec_of(table: Table) -> dict[str, Any]:
    found = stored(table)
    assert found is not None
    return dict(found["spec"])


def test_a_canary_is_added_changed_and_removed(shell: Shell, table: Table) -> None:
    put(table, desired_state="running")
    before = spec_of(table)
    assert shell(f"endpoint canary chat --image {NEW}") == 0
    assert shell.out == f"chat: canary {NEW} with 10% of the traffic\n"
    assert spec_of(table) == {**before, "canary": {"image": NEW}}
    assert shell("endpoint canary chat --weight 50 --replicas 2") == 0
    assert spec_of(table) == {**before, "canary": {"image": NEW, "weight": 50, "replicas": 2}}
    found = stored(table)
    assert found is not None
    assert found["desired_state"] == "deploying"
    assert (shell("endpoint canary chat --weight 50"), shell.out) == (
        0,
        f"chat unchanged: canary {NEW} with 50% of the traffic\n",
    )
    assert stored(table) == found
    assert shell("endpoint rollback chat") == 0
    assert spec_of(table) == before
    assert (shell("endpoint rollback chat"), shell.out) == (0, "chat unchanged: it has no canary\n")


def test_promote_sets_the_canarys_image_in_every_region(shell: Shell, table: Table) -> None:
    own = {ELSEWHERE: "elsewhere.example/serve:2.0"}
    canary = {"image": NEW, "weight": 50, "region_image_uris": own}
    put(table, spec={"region_image_uris": {ELSEWHERE: "elsewhere.example/serve:1.0"}, "canary": canary, "port": 9000})
    before = spec_of(table)
    assert shell("endpoint promote chat") == 0
    assert shell.out == f"chat promoted to {NEW} (was {before['image']})\n"
    del before["canary"]
    assert spec_of(table) == {**before, "image": NEW, "region_image_uris": own}


def test_without_images_of_its_own_for_regions_the_canarys_image_is_every_regions(shell: Shell, table: Table) -> None:
    put(table, spec={"region_image_uris": {ELSEWHERE: "elsewhere.example/serve:1.0"}, "canary": {"image": NEW}})
    assert shell("endpoint promote chat") == 0
    assert "region_image_uris" not in spec_of(table)
    assert spec_of(table)["image"] == NEW


@pytest.mark.parametrize(
    ("state", "command", "code", "word"),
    [
        ("running", "canary chat --weight 5", USAGE, "--image"),
        ("running", "canary chat --image :latest", USAGE, "spec.canary.image"),
        ("running", "canary chat --weight 101", USAGE, "--weight"),
        ("running", "promote chat", CONFLICT, "no canary to promote"),
        ("stopped", f"canary chat --image {NEW}", CONFLICT, "gco-stream endpoint start chat"),
        ("deleted", "promote chat", CONFLICT, "gco-stream endpoint start chat"),
        ("stopped", "rollback chat", CONFLICT, "gco-stream endpoint start chat"),
        ("running", "promote nobody", NOT_FOUND, "endpoint nobody does not exist"),
    ],
)
def test_an_invalid_command_is_a_one_line_error_and_writes_nothing(
    shell: Shell, table: Table, state: str, command: str, code: int, word: str
) -> None:
    put(table, desired_state=state)
    assert shell(f"endpoint {command}") == code
    assert word in shell.err
    assert stored(table) == item(desired_state=state)


def test_a_canary_is_tried_and_promoted_by_commands_alone(world: World, controller: Program, shell: Shell) -> None:
    def serves(image: str, app: str) -> bool:
        found = world.get("Deployment", app) or {"spec": {}, "status": {}}
        ready = found["status"].get("readyReplicas", 0) and found["status"].get("updatedReplicas", 0)
        return bool(ready) and world.container(app)["image"] == image

    world.put(item(spec={"gpu_count": 0}))
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    assert shell(f"endpoint canary chat --image {NEW} --weight 25") == 0
    controller.until(lambda: serves(NEW, "chat-canary"), "the canary is ready")
    assert shell("endpoint promote chat") == 0
    controller.until(lambda: serves(NEW, "chat"), "the main Deployment runs the canary's image")
    controller.until(lambda: world.state("chat") == "running", "running is reported")
