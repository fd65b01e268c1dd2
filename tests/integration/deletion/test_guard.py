"""Limits on the deletion of objects that no item requests, on a real control plane."""

import copy
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.local.pytest_plugin import Table
from gco_stream.table.bootstrap import create
from tests.integration.support.cut_scans import half_scans
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.removals import (
    LEASE,
    OFTEN,
    after_scans,
    put,
    sample,
    scans,
    stands,
    take_out,
    uids,
    until_running,
)
from tests.integration.support.harness.world import World
from tests.integration.support.leases import release_lease

pytestmark = pytest.mark.integration
REMOVALS = "gco.io/removals"


def events(world: World, reason: str) -> list[str]:
    found = world.kube.list(path_of("Event", world.namespace))
    return [event["note"] for event in found if event["reason"] == reason and event["type"] == "Warning"]


def test_objects_of_a_deleted_item_are_deleted_before_the_next_resync(
    world: World, program: Callable[..., Program]
) -> None:
    one = program(RESYNC_INTERVAL_SECONDS="3600").wait_working()
    put(world, "chat", "stays")
    until_running(world, one, "chat", "stays")
    began, scanned = time.monotonic(), scans(one)
    take_out(world, "chat")
    one.until(lambda: stands(world) == {"stays"}, "its objects are deleted")
    print(f"objects gone after {time.monotonic() - began:.1f} s and {scans(one) - scanned:.0f} scans")
    assert scans(one) == scanned + 1
    one.until(
        lambda: any("the table has no such item" in note for note in events(world, "Orphaned")), "an Event reports it"
    )
    assert sample(one, "gco_stream_removals_total") == 1
    one.until(lambda: not world.pods("chat"), "its pods are deleted, too")


def test_an_item_deleted_while_there_is_no_leader_takes_two_scans(
    world: World, program: Callable[..., Program]
) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "chat", "stays")
    until_running(world, one, "chat", "stays")
    assert one.stop() == 0
    take_out(world, "chat")
    one.start().wait_working()
    one.until(lambda: stands(world) == {"stays"}, "its objects are deleted")


def test_a_wiped_table_removes_nothing_neither_at_once_nor_after_restarts(
    world: World, program: Callable[..., Program]
) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "a", "b")
    until_running(world, one, "a", "b")
    before = uids(world)
    # The controller is down at that time, so it reads no stream records of the deletions.
    one.kill()
    release_lease(world.kube, world.namespace)
    take_out(world, "a", "b")
    for _ in range(2):
        one.start().wait_working()
        after_scans(one, 3)
        assert uids(world) == before
        assert sample(one, "gco_stream_deletions_held") == 2
        one.until(lambda: events(world, "TableEmpty"), "an Event reports it")
        one.kill()
        release_lease(world.kube, world.namespace)


def test_a_table_wipe_seen_in_the_stream_deletes_nothing(world: World, program: Callable[..., Program]) -> None:
    names = [f"e{number}" for number in range(4)]
    one = program(RESYNC_INTERVAL_SECONDS="3600").wait_working()
    put(world, *names)
    until_running(world, one, *names)
    before = uids(world)
    take_out(world, *names)
    one.until(lambda: one.status()["endpoints"] == 0, "the deletions are known")
    one.until(lambda: sample(one, "gco_stream_deletions_held") == 4, "all deletions are held")
    assert uids(world) == before


def test_deleting_the_last_item_keeps_its_objects(world: World, program: Callable[..., Program]) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "chat")
    until_running(world, one, "chat")
    before = uids(world)
    take_out(world, "chat")
    one.until(lambda: one.status()["endpoints"] == 0, "the deletion is known")
    after_scans(one, 3)
    assert uids(world) == before
    put(world, "chat")
    one.until(lambda: sample(one, "gco_stream_deletions_held") == 0, "no deletion is held any more")
    after_scans(one, 3)
    assert uids(world) == before


def test_a_wrong_table_removes_nothing_however_many_items_it_has(
    world: World, program: Callable[..., Program], dynamodb_clients: tuple[Any, Any]
) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "a", "b")
    until_running(world, one, "a", "b")
    assert one.stop() == 0
    before = uids(world)
    tables, streams = dynamodb_clients
    name = f"endpoints-{uuid.uuid4().hex[:10]}"
    made = create(tables, name).info
    try:
        other = World(Table(name, made.arn, made.stream_arn or "", tables, streams), world.kube, world.namespace, "")
        put(other, "c")
        wrong = program(INFERENCE_ENDPOINTS_TABLE_NAME=name, **OFTEN).wait_working()
        wrong.until(lambda: "c" in stands(world), "the program works")
        after_scans(wrong, 3)
        assert before.items() <= uids(world).items()
        assert sample(wrong, "gco_stream_unclaimed_objects_endpoints") == 2
    finally:
        wrong.kill()
        tables.delete_table(TableName=name)


def test_a_wrong_region_deletes_no_more_than_the_budget_across_restarts(
    world: World, program: Callable[..., Program]
) -> None:
    names = [f"e{number}" for number in range(6)]
    one = program(**OFTEN).wait_working()
    put(world, *names)
    until_running(world, one, *names)
    assert one.stop() == 0
    wrong = program(REGION="eu-west-1", DYNAMODB_REGION="us-east-1", MASS_DELETE_LIMIT="2", **OFTEN)
    for _ in range(3):
        wrong.wait_working()
        wrong.until(lambda: len(stands(world)) <= 4, "two endpoints are deleted")
        after_scans(wrong, 2)
        assert len(stands(world)) == 4
        assert sample(wrong, "gco_stream_deletions_held") == 4
        wrong.until(
            lambda: any("no longer targets eu-west-1" in note for note in events(world, "RemovalLimitReached")),
            "an Event reports it",
        )
        wrong.kill()
        release_lease(world.kube, world.namespace)
        wrong.start()
    wrong.kill()
    lease = world.get("Lease", LEASE)
    assert lease is not None
    assert len(json.loads(lease["metadata"]["annotations"][REMOVALS])) == 2


def test_a_malformed_budget_counts_as_spent(world: World, program: Callable[..., Program]) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "chat", "stays")
    until_running(world, one, "chat", "stays")
    assert one.stop() == 0
    take_out(world, "chat")
    world.kube.patch(path_of("Lease", world.namespace, LEASE), {"metadata": {"annotations": {REMOVALS: "5"}}})
    before = uids(world)
    one.start().wait_working()
    after_scans(one, 3)
    assert uids(world) == before
    lease = world.get("Lease", LEASE)
    assert lease is not None
    assert list(json.loads(lease["metadata"]["annotations"][REMOVALS])) == ["*"]
    assert any("malformed deletion budget" in str(line.get("message")) for line in one.lines())


@pytest.mark.parametrize("regions", [[], None, "us-east-1", [""]], ids=["empty", "missing", "string", "blank"])
def test_target_regions_that_were_blanked_remove_nothing(regions: object, world: World, controller: Program) -> None:
    put(world, "chat")
    until_running(world, controller, "chat")
    before = uids(world)
    world.put({**(world.item("chat") or {}), **({"target_regions": regions} if regions is not None else {})})
    if regions is None:
        world.table.client.update_item(
            TableName=world.table.name,
            Key={"endpoint_name": {"S": "chat"}},
            UpdateExpression="REMOVE target_regions",
        )
    controller.until(lambda: "target_regions" in str(world.report("chat").get("error")), "the error is reported")
    assert uids(world) == before


def test_half_a_scan_removes_nothing(
    world: World, program: Callable[..., Program], control_plane: ControlPlane
) -> None:
    with half_scans(control_plane.dynamodb_url) as proxy:
        one = program(AWS_ENDPOINT_URL_DYNAMODB=proxy.url, **OFTEN).wait_working()
        put(world, "a", "b", "c", "d")
        until_running(world, one, "a", "b", "c", "d")
        before = uids(world)
        proxy.cut = True
        one.until(lambda: proxy.cuts >= 8, "scans are interrupted")
        one.until(
            lambda: any("table scan failed" in str(line.get("message")) for line in one.lines()),
            "the failure is logged",
        )
        assert uids(world) == before
        # The same holds for a process that has never completed a scan.
        one.kill()
        release_lease(world.kube, world.namespace)
        one.start()
        cuts = proxy.cuts
        one.until(lambda: proxy.cuts >= cuts + 8, "scans are interrupted")
        assert uids(world) == before


def test_a_burst_of_expired_items_costs_one_scan(world: World, program: Callable[..., Program]) -> None:
    names = [f"e{number:02}" for number in range(12)]
    one = program(RESYNC_INTERVAL_SECONDS="3600", MASS_DELETE_LIMIT="100").wait_working()
    put(world, "stays", *names)
    until_running(world, one, *names)
    scanned = scans(one)
    take_out(world, *names)
    one.until(lambda: stands(world) == {"stays"}, "all their objects are deleted")
    assert scans(one) - scanned <= 2
    lease = world.get("Lease", LEASE)
    assert lease is not None
    assert len(json.loads(lease["metadata"]["annotations"][REMOVALS])) == 12


def test_a_clone_and_a_second_installations_objects_are_reported_and_stay(
    world: World, program: Callable[..., Program]
) -> None:
    one = program(**OFTEN).wait_working()
    put(world, "chat", "stays")
    until_running(world, one, "chat", "stays")
    service = world.get("Service", "chat")
    assert service is not None
    clone, foreign = strangers(service)
    services = path_of("Service", world.namespace)
    world.kube.create(services, clone)
    world.kube.patch(
        f"{services}/other", foreign, content_type="application/apply-patch+yaml", fieldManager="gco-stream"
    )
    take_out(world, "chat")
    one.until(lambda: stands(world) == {"stays", "cloned", "other"}, "only our objects are deleted")
    after_scans(one, 3)
    assert stands(world) == {"stays", "cloned", "other"}
    # A Deployment exists until its pods are gone.
    one.until(lambda: sample(one, "gco_stream_unclaimed_objects_endpoints") == 2, "both are reported")


def strangers(service: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a copy with all labels and annotations, and an object that a second installation applied."""
    made: list[dict[str, Any]] = []
    for name in ("cloned", "other"):
        metadata = copy.deepcopy(service["metadata"])
        plain: dict[str, Any] = {key: metadata[key] for key in ("labels", "annotations", "namespace")} | {"name": name}
        plain["annotations"]["gco.io/endpoint"] = name
        spec = {key: service["spec"][key] for key in ("ports", "selector")}
        made.append({"apiVersion": "v1", "kind": "Service", "metadata": plain, "spec": copy.deepcopy(spec)})
    made[1]["metadata"]["annotations"]["gco.io/table"] += "-staging"
    return made[0], made[1]


def test_deletion_that_the_item_asks_for_has_no_limit(world: World, program: Callable[..., Program]) -> None:
    names = [f"e{number}" for number in range(4)]
    one = program(MASS_DELETE_LIMIT="0").wait_working()
    put(world, *names)
    until_running(world, one, *names)
    for name in names:
        world.set_desired_state(name, "deleted")
    one.until(lambda: not world.objects() and not list(world.user.scan()), "all objects and items are gone")
    assert sample(one, "gco_stream_removals_total") == 0


def test_an_endpoint_with_a_broken_spec_can_be_stopped_and_deleted(world: World, controller: Program) -> None:
    put(world, "chat")
    until_running(world, controller, "chat")
    broken = world.item("chat") or {}
    world.put({**broken, "spec": {"image": 7, "replicas": "many"}})
    controller.until(lambda: world.state("chat") == "error", "the spec is rejected")
    assert world.replicas("chat") == 1
    world.set_desired_state("chat", "stopped")
    controller.until(lambda: world.replicas("chat") == 0, "the endpoint stops")
    world.set_desired_state("chat", "deleted")
    controller.until(lambda: world.item("chat") is None, "the item is purged")
    assert world.objects() == {}
