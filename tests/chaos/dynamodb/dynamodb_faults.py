"""Faults of DynamoDB and its network, by name, for faulty_http, and the checks that must pass once they end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from gco_stream.local.audit import AuditLog
from gco_stream.local.kube_api import path_of
from tests.chaos.proxies.faulty_http import Action, Answer, Fault, FaultyProxy, Request
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World

THROTTLED = ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded")
STREAM_CALLS = ("DescribeStream", "GetShardIterator", "GetRecords")
TABLE_CALLS = ("DescribeTable", "Scan", "GetItem", "UpdateItem", "DeleteItem")


def operation(request: Request) -> str:
    """Returns the DynamoDB operation of a request."""
    return str(request.headers.get("X-Amz-Target", "")).rpartition(".")[2]


def requests_for(*operations: str) -> Callable[[Request], bool]:
    """Matches requests for the given operations, or all requests if none are given."""
    return lambda request: not operations or operation(request) in operations


def error_answer(code: str, message: str = "because", status: int = 400, **more: Any) -> Answer:
    """Returns an error response in DynamoDB's format."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **more}
    return Answer(status, orjson.dumps(body), {"Content-Type": "application/x-amz-json-1.0"})


@contextmanager
def injected(proxy: FaultyProxy, does: Action, *operations: str, share: float = 1.0) -> Iterator[Fault]:
    """Injects the fault into requests for these operations (or all) within the block."""
    fault = proxy.inject(Fault(f"{does}"[:60], requests_for(*operations), does, share))
    try:
        yield fault
    finally:
        proxy.clear(fault)


def calls(proxy: FaultyProxy, since: float, *operations: str) -> int:
    """Counts the requests for these operations (or all) since the given time.monotonic() value."""
    return sum(
        one.at >= since and (not operations or one.target.rpartition(".")[2] in operations) for one in proxy.seen
    )


def difference(world: World, name: str) -> str:
    """Describes how the Deployment and this region's report differ from the item; "" if they match."""
    plain = world.item(name)
    wanted, said = (None, "") if plain is None else _desired(plain)
    report = world.report(name)
    told = "" if plain is None else report.get("state")
    # An endpoint that was stopped before it ever ran has no objects.
    if world.replicas(name) not in {wanted, None if said == "stopped" else wanted} or told != said:
        return f"{name}: {world.replicas(name)} replicas, state {told!r}; expected {wanted}, {said!r}"
    if said == "running" and report["replicas_ready"] != wanted:
        return f"{name}: {report['replicas_ready']} ready, expected {wanted}"
    return ""


def _desired(plain: dict[str, Any]) -> tuple[int | None, str]:
    match plain["desired_state"]:
        case "stopped":
            return 0, "stopped"
        case "deleted":
            return None, "deleted"
        case _:
            return int(plain["spec"]["replicas"]), "running"


def until_in_desired_state(world: World, one: Program, *names: str, timeout: float = 240.0) -> None:
    """Waits until the Deployments and the reports match the items."""
    try:
        one.until(
            lambda: not any(difference(world, name) for name in names),
            "all endpoints are in the desired state",
            timeout,
        )
    finally:
        assert [said for name in names if (said := difference(world, name))] == []


def writes(audit: AuditLog, mark: int, user: str) -> list[str]:
    """Returns the program's writes to the cluster since a mark of the audit log, without the Lease and Events."""
    return [
        f"{call.verb} {call.resource}/{call.name}"
        for call in audit.calls(mark, user=user)
        if call.verb not in {"get", "list", "watch"} and call.resource not in {"leases", "events"}
    ]


def templates(world: World, name: str) -> int:
    """Counts the pod templates that the Deployment has had."""
    return len(world.kube.list(path_of("ReplicaSet", world.namespace), labels=f"app={name}"))
