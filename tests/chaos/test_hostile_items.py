"""Hostile items on real servers: the API server accepts all that pass validation; other endpoints are unaffected."""

import copy
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings

from gco_stream.local.errors import KubeError
from gco_stream.local.kube_api import APPLY_PATCH, KubeApi, path_of
from gco_stream.model import wire
from gco_stream.model.item.endpoint import Endpoint, InvalidItem, read_endpoint
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.planning.hostile.hostile_grammar import checked
from tests.planning.hostile.hostile_items import ANSI, PRIVATE, items
from tests.planning.support.lives import LONGEST_REPORT, lives
from tests.support.items import item
from tests.support.simulated_cluster import NAMESPACE, SimulatedCluster

pytestmark = pytest.mark.integration
EXAMPLES = int(os.environ.get("GCO_STREAM_EXAMPLES", "60"))
ON_REAL_PARTS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def dry_run(kube: KubeApi, namespace: str, manifest: dict[str, Any]) -> None:
    """Sends a manifest to the API server as a dry run.

    Raises KubeError if the server rejects it.
    """
    manifest = copy.deepcopy(manifest)
    manifest["metadata"]["namespace"] = namespace
    path = path_of(manifest["kind"], namespace, manifest["metadata"]["name"])
    kube.patch(path, manifest, content_type=APPLY_PATCH, fieldManager="gco-stream", force="true", dryRun="All")
    if manifest["kind"] == "Deployment":
        # The API server can accept a Deployment and still reject each of its pods.
        template = manifest["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            **template,
            "metadata": {"generateName": "x-", **template["metadata"]},
        }
        kube.request("POST", path_of("Pod", namespace), pod, query={"dryRun": "All"})


def test_the_api_server_accepts_whatever_passes_validation(kube: KubeApi, namespace: str) -> None:
    @ON_REAL_PARTS
    @given(items())
    def holds(wired: dict[str, Any]) -> None:
        asked = read_endpoint(wired)
        if isinstance(asked, InvalidItem):
            return
        manifests = lives(asked, SimulatedCluster())
        checked(manifests, asked.name)
        for manifest in manifests:
            try:
                dry_run(kube, namespace, manifest)
            except KubeError as error:
                raise AssertionError(f"{manifest['kind']}: {error}") from error

    holds()


def sample(number: int) -> list[dict[str, Any]]:
    """Returns hostile items with unique names."""
    found: list[dict[str, Any]] = []

    @settings(ON_REAL_PARTS, max_examples=number, database=None, derandomize=True)
    @given(items(absurd=True))
    def collect(wired: dict[str, Any]) -> None:
        found.append(_named(wired, f"{len(found)}-"))

    collect()
    return found


def _named(wired: dict[str, Any], prefix: str) -> dict[str, Any]:
    name = wired["endpoint_name"]["S"]
    # A valid name stays valid, and the path derived from it stays consistent.
    new = f"h{prefix}{name[:40]}"
    path = wired.get("ingress_path", {})
    if isinstance(path.get("S"), str):
        wired = wired | {"ingress_path": {"S": path["S"].replace("/inference/chat", f"/inference/{new}")}}
    return wired | {"endpoint_name": {"S": new}}


def put(world: World, wired: dict[str, Any]) -> bool:
    """Puts the item into the table; returns False if DynamoDB rejects it."""
    if wired.get("namespace") == {"S": NAMESPACE} or "namespace" not in wired:
        wired = wired | {"namespace": {"S": world.namespace}}
    try:
        world.table.client.put_item(TableName=world.table.name, Item=wired)
    except (ClientError, UnicodeEncodeError):
        return False
    return True


def reported(world: World, region: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each item's name and its status entry for the region, {} if there is none."""
    for wired in world.user.scan():
        plain = wire.decode(wired)
        status = plain.get("region_status")
        entry = status.get(region) if isinstance(status, dict) else None
        yield plain["endpoint_name"], entry if isinstance(entry, dict) else {}


def test_hostile_items_delay_no_others_and_leak_no_secrets(world: World, controller: Program) -> None:
    world.put(item("good-before", spec={"gpu_count": 0}))
    taken = [wired for wired in sample(EXAMPLES) if put(world, wired)]
    assert len(taken) > EXAMPLES // 2
    world.put(item("good-after", spec={"gpu_count": 0}))
    for name in ("good-before", "good-after"):
        controller.until(partial(_runs, world, name), f"{name} is running")
    wanted = {wired["endpoint_name"]["S"] for wired in taken if _must_be_told(read_endpoint(wired), world.region)}

    def all_told() -> bool:
        told = {name for name, entry in reported(world, world.region) if entry.get("epoch")}
        return wanted <= told

    controller.until(all_told, "every item that can be reported is reported", patience=60)
    for name, entry in reported(world, world.region):
        error = entry.get("error", "")
        if entry.get("intent"):
            assert len(error) <= LONGEST_REPORT, name
            assert error.isprintable(), name
    log = controller.log.read_text()
    assert "Traceback" not in log
    assert '"broken"' not in log
    assert ANSI not in log
    assert PRIVATE not in log
    events = kube_events(world)
    assert PRIVATE not in events
    status, body = controller.http("/status")
    assert status == 200
    assert PRIVATE not in body
    assert controller.stop() == 0


def _runs(world: World, name: str) -> bool:
    return world.state(name) == "running"


def _must_be_told(asked: Endpoint | InvalidItem, region: str) -> bool:
    return region in asked.target_regions and not (isinstance(asked, Endpoint) and asked.is_deleted)


def kube_events(world: World) -> str:
    """Returns all Events of the test's namespace as text."""
    return orjson.dumps(world.kube.list(path_of("Event", world.namespace))).decode()


def test_an_item_with_invalid_unicode_does_not_affect_others(world: World, controller: Program) -> None:
    for name, attribute in (("half", {"S": "\ud800"}), ("key", {"M": {"\udfff": {"B": b"\xff"}}})):
        assert put(world, wire.encode(item(name, spec={"gpu_count": 0})) | {"unknown": attribute})
    world.put(item("good", spec={"gpu_count": 0}))
    controller.until(partial(_runs, world, "good"), "the valid endpoint is running")
    # After a restart, the first scan returns these items.
    assert controller.stop() == 0
    world.update_spec("good", replicas=2)
    controller.start().wait_working()
    controller.until(lambda: world.replicas("good") == 2, "the valid endpoint is scaled")
