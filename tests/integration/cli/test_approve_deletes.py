"""`gco-stream approve-deletes`: approves exactly the listed deletions for one hour."""

import json
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gco_stream.engine.deletion.approvals import APPROVED_ANNOTATION, MAX_APPROVED, approval_of, entry_of
from gco_stream.engine.deletion.budget import MAX_REMOVALS, REMOVALS_ANNOTATION, short_digest
from gco_stream.local.kube_api import APPLY_PATCH, path_of
from tests.integration.support.harness.commands import gco_stream
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.removals import (
    LEASE,
    OFTEN,
    after_scans,
    put,
    sample,
    stands,
    take_out,
    uids,
    until_running,
)
from tests.integration.support.harness.world import World
from tests.integration.support.leases import release_lease

pytestmark = pytest.mark.integration
CONFLICT = 4
NONE_BY_ITSELF = {"MASS_DELETE_LIMIT": "0"}


def leave(world: World, *names: str) -> None:
    for name in names:
        seen = world.item_of(name)
        world.user.replace_spec(seen, (world.item(name) or {})["spec"], target_regions=["eu-west-1"])


def shown(environment: dict[str, str]) -> dict[str, Any]:
    told = gco_stream(environment, "approve-deletes", "-o", "json")
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = orjson.loads(told.stdout)
    return found


def annotations(world: World) -> dict[str, str]:
    lease = world.get("Lease", LEASE)
    assert lease is not None
    found: dict[str, str] = lease["metadata"].get("annotations", {})
    return found


def annotate(world: World, **values: str) -> None:
    path = path_of("Lease", world.namespace, LEASE)
    world.kube.patch(path, {"metadata": {"annotations": values}})


def until_held(program: Program, count: int) -> None:
    program.until(lambda: sample(program, "gco_stream_deletions_held") == count, f"{count} deletions are held")


def test_listed_objects_are_deleted_as_soon_as_they_are_approved(
    world: World, program: Callable[..., Program], unlimited_env: dict[str, str]
) -> None:
    one = program(RESYNC_INTERVAL_SECONDS="3600", **NONE_BY_ITSELF).wait_working()
    put(world, "a", "b", "stays")
    until_running(world, one, "a", "b", "stays")
    leave(world, "a")
    take_out(world, "b")
    until_held(one, 2)
    text = gco_stream(unlimited_env, "approve-deletes").stdout
    for words in (
        "a     the item no longer targets us-east-1  ",
        "b     the table has no such item            ",
        f"Ingress {world.namespace}/inference-a, Service {world.namespace}/a, Deployment {world.namespace}/a",
        "to approve 2 removals",
    ):
        assert words in text, text
    digest = shown(unlimited_env)["digest"]
    assert f"digest {digest}" in text
    before = uids(world)
    assert gco_stream(unlimited_env, "approve-deletes", digest).returncode == 0
    approved, scanned = time.monotonic(), sample(one, "gco_stream_resync_seconds_count")
    one.until(lambda: stands(world) == {"stays"}, "the approved objects are deleted")
    print(f"deleted {time.monotonic() - approved:.2f} s after the approval")
    assert sample(one, "gco_stream_resync_seconds_count") == scanned
    assert uids(world).items() <= before.items()
    # An approved deletion does not use the budget.
    assert REMOVALS_ANNOTATION not in annotations(world)
    assert 'gco_stream_removals_total{allowed_by="approval"} 2.0' in one.http("/metrics")[1]
    one.until(lambda: world.state("a") == "deleted", "deleted is reported")
    one.until(lambda: sample(one, "gco_stream_deletions_held") == 0, "no deletion is held any more")


def test_an_approval_does_not_cover_endpoints_added_to_the_list_later(
    world: World, program: Callable[..., Program], unlimited_env: dict[str, str]
) -> None:
    one = program(**OFTEN, **NONE_BY_ITSELF).wait_working()
    put(world, "a", "b", "c")
    until_running(world, one, "a", "b", "c")
    leave(world, "a")
    until_held(one, 1)
    digest = shown(unlimited_env)["digest"]
    leave(world, "b")
    until_held(one, 2)
    told = gco_stream(unlimited_env, "approve-deletes", digest)
    assert told.returncode == CONFLICT
    assert "the list has changed since" in told.stderr
    assert APPROVED_ANNOTATION not in annotations(world)
    digest = shown(unlimited_env)["digest"]
    assert gco_stream(unlimited_env, "approve-deletes", digest).returncode == 0
    leave(world, "c")
    one.until(lambda: stands(world) == {"c"}, "the approved endpoints are deleted")
    after_scans(one, 2)
    assert stands(world) == {"c"}


def test_an_approval_does_not_cover_recreated_objects(
    world: World, program: Callable[..., Program], unlimited_env: dict[str, str]
) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "a", "b")
    until_running(world, one, "a", "b")
    assert one.stop() == 0
    leave(world, "a", "b")
    assert gco_stream(unlimited_env, "approve-deletes", shown(unlimited_env)["digest"]).returncode == 0
    made_anew(world, "a")
    guarded = program(**OFTEN, **NONE_BY_ITSELF).wait_working()
    guarded.until(lambda: stands(world) == {"a"}, "the other endpoint is deleted")
    after_scans(guarded, 2)
    assert {name for name in uids(world) if not name.endswith("b")} == {
        "Service/a",
        "Ingress/inference-a",
        "Deployment/a",
    }


def made_anew(world: World, name: str) -> None:
    """Deletes the Service and recreates it as the controller does."""
    path = path_of("Service", world.namespace, name)
    before = world.kube.get(path)
    world.kube.delete(path)
    kept = {key: before["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": kept, "spec": {"ports": before["spec"]["ports"]}}
    made = world.kube.patch(path, body, content_type=APPLY_PATCH, fieldManager="gco-stream")
    assert made["metadata"]["uid"] != before["metadata"]["uid"]


def test_after_a_table_wipe_approved_objects_are_deleted_unless_their_item_is_back(
    world: World, program: Callable[..., Program], unlimited_env: dict[str, str]
) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "a", "b", "c")
    until_running(world, one, "a", "b", "c")
    take_out(world, "a", "b", "c")
    until_held(one, 3)
    one.kill()
    release_lease(world.kube, world.namespace)
    before = uids(world)
    assert gco_stream(unlimited_env, "approve-deletes", shown(unlimited_env)["digest"]).returncode == 0
    put(world, "a")
    one = program(**OFTEN, **NONE_BY_ITSELF).wait_working()
    kept = {name: uid for name, uid in before.items() if name.endswith("a")}
    # Deployments are terminating until their pods are gone.
    one.until(lambda: uids(world) == kept, "only the approved objects are deleted")


def test_an_approval_deletes_objects_of_a_table_that_is_still_empty(
    world: World, program: Callable[..., Program], unlimited_env: dict[str, str]
) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "a", "b")
    until_running(world, one, "a", "b")
    take_out(world, "a", "b")
    until_held(one, 2)
    assert gco_stream(unlimited_env, "approve-deletes", shown(unlimited_env)["digest"]).returncode == 0
    one.until(lambda: not stands(world), "the objects are deleted")


@pytest.mark.parametrize("hours", [-1, 3], ids=["expired", "valid for too long"])
def test_an_approval_holds_for_an_hour_and_no_longer(
    hours: int, world: World, program: Callable[..., Program], unlimited_env: dict[str, str]
) -> None:
    one = program(**OFTEN, **NONE_BY_ITSELF).wait_working()
    put(world, "a")
    until_running(world, one, "a")
    leave(world, "a")
    until_held(one, 1)
    assert [found["name"] for found in shown(unlimited_env)["endpoints"]] == ["a"]
    entry = entry_of("a", uids(world).values())
    text = approval_of([entry], time.time() + (hours - 1) * 3600)
    annotate(world, **{APPROVED_ANNOTATION: text})
    one.until(lambda: APPROVED_ANNOTATION not in annotations(world), "the invalid approval is removed from the Lease")
    after_scans(one, 2)
    assert stands(world) == {"a"}
    # Only the time was invalid: the same entry is accepted now.
    annotate(world, **{APPROVED_ANNOTATION: approval_of([entry], time.time())})
    one.until(lambda: not stands(world), "the endpoint is deleted")


def test_there_is_nothing_to_approve_without_held_deletions(
    world: World, controller: Program, unlimited_env: dict[str, str]
) -> None:
    put(world, "a")
    until_running(world, controller, "a")
    told = gco_stream(unlimited_env, "approve-deletes")
    assert (told.returncode, told.stdout) == (0, "no removals wait for approval\n")
    told = gco_stream(unlimited_env, "approve-deletes", "3f2a9c1b7d04")
    assert told.returncode == CONFLICT
    assert APPROVED_ANNOTATION not in annotations(world)


def test_the_lease_holds_a_full_approval_and_a_full_budget(world: World, controller: Program) -> None:
    spent = {short_digest(str(number)): int(time.time()) for number in range(MAX_REMOVALS)}
    full = approval_of([short_digest("some", str(number)) for number in range(MAX_APPROVED)], time.time())
    annotate(world, **{APPROVED_ANNOTATION: full, REMOVALS_ANNOTATION: json.dumps(spent, separators=(",", ":"))})
    print(f"{sum(map(len, annotations(world).values()))} bytes of annotations")

    def renewed() -> str:
        lease = world.get("Lease", LEASE)
        assert lease is not None
        return str(lease["spec"]["renewTime"])

    first = renewed()
    controller.until(lambda: renewed() != first, "the lease is renewed")
    put(world, "a")
    until_running(world, controller, "a")
    assert len(json.loads(annotations(world)[APPROVED_ANNOTATION])["entries"]) == MAX_APPROVED
