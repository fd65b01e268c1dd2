"""Overlapping ingress paths on a real API server: one owner, and its successor does not wait for a resync."""

from collections.abc import Callable
from typing import Any

import orjson

from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.commands import gco_stream
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.states import promoted
from tests.integration.support.harness.world import World
from tests.support.items import item

# No test waits for the resync.
RARELY = {"RESYNC_INTERVAL_SECONDS": "3600"}


def put(world: World, name: str, path: str, day: int = 1, **attributes: Any) -> None:
    created = f"2026-11-{day:02}T09:00:00+00:00"
    world.put(item(name, spec={"gpu_count": 0}, **{"ingress_path": path, "created_at": created, **attributes}))


def path_of_ingress(world: World, name: str) -> str:
    """Returns the path of the endpoint's Ingress; "" if it has none."""
    ingress = world.get("Ingress", f"inference-{name}")
    return "" if ingress is None else str(ingress["spec"]["rules"][0]["http"]["paths"][0]["path"])


def is_blocked(world: World, name: str) -> bool:
    report = world.report(name)
    return (report.get("state"), report.get("reason")) == ("error", "IngressPathConflict")


def test_the_second_endpoint_on_a_path_waits_and_takes_over_when_the_first_is_deleted(
    world: World, program: Callable[..., Program], controller_env: dict[str, str]
) -> None:
    controller = program(**RARELY).wait_working()
    put(world, "first", "/v1")
    promoted(world, controller, "first")
    put(world, "second", "/v1/chat", day=2)
    controller.until(lambda: is_blocked(world, "second"), "the second reports the conflict")
    controller.until(lambda: world.report("second").get("replicas_ready") == 1, "the pods of the second run")
    controller.wait_idle()
    assert "must not overlap the path of the endpoint first" in world.report("second")["error"]
    assert (path_of_ingress(world, "first"), path_of_ingress(world, "second")) == ("/v1", "")
    explained = orjson.loads(gco_stream(controller_env, "explain", "second", "-o", "json").stdout)
    assert explained["endpoints"]["second"]["reason"] == "IngressPathConflict"
    world.set_desired_state("first", "deleted")
    controller.until(lambda: path_of_ingress(world, "second") == "/v1/chat", "the second takes over")
    promoted(world, controller, "second")


def test_the_second_endpoint_takes_over_when_the_first_stops_moves_or_vanishes(
    world: World, program: Callable[..., Program]
) -> None:
    controller = program(**RARELY).wait_working()
    put(world, "first", "/v1")
    promoted(world, controller, "first")
    put(world, "second", "/v1", day=2)
    controller.until(lambda: is_blocked(world, "second"), "the second reports the conflict")
    world.set_desired_state("first", "stopped")
    promoted(world, controller, "second")
    # The path now belongs to the endpoint that serves it, also against an older item.
    world.set_desired_state("first", "deploying")
    controller.until(lambda: is_blocked(world, "first"), "the first reports the conflict")
    assert path_of_ingress(world, "second") == "/v1"
    put(world, "second", "/v2", day=2)
    promoted(world, controller, "first")
    assert (path_of_ingress(world, "first"), path_of_ingress(world, "second")) == ("/v1", "/v2")
    # A new path that is taken changes nothing.
    put(world, "second", "/v1/x", day=2)
    controller.until(lambda: is_blocked(world, "second"), "the second reports the conflict")
    assert path_of_ingress(world, "second") == "/v2"
    world.table.client.delete_item(TableName=world.table.name, Key={"endpoint_name": {"S": "first"}})
    controller.until(lambda: path_of_ingress(world, "second") == "/v1/x", "the second takes over")


def test_two_ingresses_that_serve_overlapping_paths_both_stay_after_an_upgrade(
    world: World, program: Callable[..., Program]
) -> None:
    controller = program(**RARELY).wait_working()
    put(world, "first", "/v1")
    put(world, "second", "/v2", day=2)
    promoted(world, controller, "first")
    promoted(world, controller, "second")
    controller.stop()
    # A version before this one made both.
    ingress = world.get("Ingress", "inference-second")
    assert ingress is not None
    put(
        world,
        "second",
        "/v1",
        day=2,
        desired_state="running",
        region_status=(world.item("second") or {})["region_status"],
    )
    rules = ingress["spec"]["rules"]
    rules[0]["http"]["paths"][0]["path"] = "/v1"
    world.kube.patch(path_of("Ingress", world.namespace, "inference-second"), {"spec": {"rules": rules}})
    before = {name: world.get("Ingress", f"inference-{name}") for name in ("first", "second")}
    reports = {name: world.report(name) for name in before}
    controller = program(**RARELY).wait_working().wait_idle()

    def warned() -> bool:
        events = world.kube.list(path_of("Event", world.namespace))
        return any(event.get("reason") == "IngressPathConflict" and event["type"] == "Warning" for event in events)

    controller.until(warned, "an Event warns about the overlap")
    assert {name: world.get("Ingress", f"inference-{name}") for name in before} == before
    assert {name: world.report(name) for name in before} == reports
