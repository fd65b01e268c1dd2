"""Telemetry of the real program: alerts and panels have their metrics, and log lines can be correlated."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.local.pytest_plugin import Table
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.metrics.queries import groupings, selectors
from tests.metrics.support.alerts import ALERTS
from tests.metrics.support.panels import PANELS
from tests.support.items import item

SECRET = "hunter2-hunter2"  # noqa: S105
WRITES = {"create", "update", "patch", "delete"}
# The expressions of all alerts and panels.
ASKED = {name: rule["expr"] for name, rule in ALERTS.items()} | {
    f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
}


def promoted(world: World, program: Program, name: str = "chat") -> None:
    program.until(lambda: (world.item(name) or {}).get("desired_state") == "running", f"{name} is promoted")


def first_sequence_number(table: Table) -> str:
    """Returns the sequence number of the oldest record in the table's stream."""
    described = table.streams.describe_stream(StreamArn=table.stream_arn)["StreamDescription"]
    for shard in described["Shards"]:
        iterator = table.streams.get_shard_iterator(
            StreamArn=table.stream_arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        if records := table.streams.get_records(ShardIterator=iterator)["Records"]:
            return str(records[0]["dynamodb"]["SequenceNumber"])
    raise AssertionError("the stream has no record")


def test_every_metric_and_label_of_alerts_and_panels_is_exposed(world: World, controller: Program) -> None:
    world.put(item(spec={"gpu_count": 0}))
    promoted(world, controller)

    def lacking() -> list[str]:
        labels: dict[str, list[dict[str, str]]] = {}
        for family in text_string_to_metric_families(controller.http("/metrics")[1]):
            for sample in family.samples:
                labels.setdefault(sample.name, []).append(sample.labels)
        return [f"{asker}: {what}" for asker, expr in ASKED.items() for what in unanswered(expr, labels)]

    # Some series appear shortly after the promotion.
    try:
        controller.until(lambda: not lacking(), "all series are scraped")
    finally:
        assert lacking() == []


def unanswered(expr: str, labels: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    """Yields what an expression needs and the samples lack; `labels`: the labels of each sample, by metric name."""
    asked = list(selectors(expr))
    if not asked:
        yield "asks for nothing"
    for one in asked:
        found = labels.get(one.metric, [])
        if not found:
            yield f"there is no {one.metric}"
        if not all(one.labels <= each.keys() for each in found):
            yield f"{one.metric} has no {one.labels}"
        if not any(dict(one.values).items() <= each.items() for each in found):
            yield f"there is no {one}"
    known = {label for one in asked for each in labels.get(one.metric, []) for label in each}
    if not groupings(expr) <= known:
        yield f"grouped by {groupings(expr) - known}, which is no label"


def test_a_sequence_number_links_a_table_write_to_its_object_writes(
    world: World,
    program: Callable[..., Program],
    control_plane: ControlPlane,
    controller_user: str,
) -> None:
    one = program(LOG_LEVEL="DEBUG").wait_working()
    mark = control_plane.audit.mark()
    world.put(item(spec={"gpu_count": 0, "replicas": 2, "env": {"TOKEN": SECRET}}))
    promoted(world, one)
    number = first_sequence_number(world.table)
    one.until(lambda: reconciles_of(one, number), "the reconcile of the record is logged")

    (record,) = [line for line in one.lines() if line.get("message") == "stream record" and line["record"] == number]
    assert (record["endpoint"], record["change"]) == ("chat", "INSERT")
    first = reconciles_of(one, number)[0]
    assert (first["endpoint"], first["trigger"], first["records"]) == ("chat", "stream", [number])
    told = calls_of(one, first["reconcile"])
    created = {path_of(kind, world.namespace, "chat") for kind in ("Deployment", "Service")}
    paths = {line["path"] for line in told if line["verb"] == "PATCH"}
    # A pod may be ready so soon that the Ingress is created in the same reconcile.
    assert created <= paths <= created | {path_of("Ingress", world.namespace, "inference-chat")}
    assert all(line["status"] in {200, 201, "ok"} and line["ms"] >= 0 for line in told)
    asked, *reported = [line["verb"] for line in told if line["path"] == "dynamodb"]
    assert (asked, set(reported)) == ("get_item", {"update_item"})

    # Every write to the cluster is logged with the ID of a logged reconcile.
    def logged() -> list[dict[str, Any]]:
        return [line for line in one.lines() if line.get("message") == "api call" and line["verb"] == "PATCH"]

    def audited() -> list[str]:
        return [
            call.uri.partition("?")[0]
            for call in control_plane.audit.calls(mark, user=controller_user, namespace=world.namespace)
            if call.verb in WRITES and call.resource not in {"leases", "events"}
        ]

    def reconciles() -> set[str]:
        return {line["reconcile"] for line in one.lines() if line.get("message") == "reconciled"}

    one.until(lambda: sorted(line["path"] for line in logged()) == sorted(audited()), "each write is logged")
    route = path_of("Ingress", world.namespace, "inference-chat")
    assert len([line for line in logged() if line["path"] == route]) == 1
    one.until(
        lambda: {line["reconcile"] for line in logged()} <= reconciles(), "each write has the ID of a logged reconcile"
    )


def test_error_logs_name_the_record_and_contain_no_env_values(world: World, program: Callable[..., Program]) -> None:
    one = program(LOG_LEVEL="DEBUG").wait_working()
    world.put(item("nowhere") | {"namespace": "kube-system", "spec": {"image": "x:1", "env": {"TOKEN": SECRET}}})
    world.put(item("wrong", spec={"replicas": "many", "env": {"TOKEN": [SECRET]}}))
    world.put(item("held", spec={"gpu_count": 0, "env": {"TOKEN": SECRET}}) | {"hold": "a test"})
    foreign = {"metadata": {"name": "taken"}, "spec": {"ports": [{"port": 80}]}}
    world.kube.create(path_of("Service", world.namespace), foreign)
    world.put(item("taken", spec={"gpu_count": 0, "env": {"TOKEN": SECRET}}))
    world.put(item("refused", spec={"gpu_count": 0, "node_selector": {"-": "-"}, "env": {"TOKEN": SECRET}}))
    world.put(item(spec={"gpu_count": 0, "env": {"TOKEN": SECRET}}))
    promoted(world, one)
    for change in ({"env": {"TOKEN": f"{SECRET}-2", "B": SECRET}}, {"env": {"B": SECRET}, "image": "x:2"}):
        world.update_spec("chat", **change)
        promoted(world, one)
    for name in ("wrong", "taken", "refused"):
        one.until(lambda name=name: world.state(name) == "error", f"{name} is in error")

    def reconciled() -> set[str]:
        return {line["endpoint"] for line in one.lines() if line.get("message") == "reconciled"}

    one.until(lambda: reconciled() >= {"wrong", "taken", "refused"}, "their reconciles are logged")
    lines = one.lines()
    (number,) = {tuple(line["records"]) for line in lines if line.get("endpoint") == "refused" and "records" in line}
    assert len(number) == 1
    assert SECRET not in one.log.read_text()
    assert SECRET not in one.http("/metrics")[1] + json.dumps(one.status(), default=str)


def reconciles_of(program: Program, number: str) -> list[dict[str, Any]]:
    return [
        line for line in program.lines() if line.get("message") == "reconciled" and number in line.get("records", ())
    ]


def calls_of(program: Program, reconcile: str) -> list[dict[str, Any]]:
    return [
        line for line in program.lines() if line.get("message") == "api call" and line.get("reconcile") == reconcile
    ]
