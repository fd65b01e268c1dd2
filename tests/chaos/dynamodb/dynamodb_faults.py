"""What DynamoDB and the network before it do wrong, by name, for faulty_http; and what holds once they do not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from gco_stream.local.audit import AuditLog
from gco_stream.local.kube_api import path_of
from tests.chaos.proxies.faulty_http import Action, Answer, Fault, FaultyProxy, Request
from tests.integration.conftest import Program, World

THROTTLED = ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded")
STREAM_CALLS = ("DescribeStream", "GetShardIterator", "GetRecords")
TABLE_CALLS = ("DescribeTable", "Scan", "GetItem", "UpdateItem", "DeleteItem")


def operation(request: Request) -> str:
    """DynamoDB's name for what is asked."""
    return str(request.headers.get("X-Amz-Target", "")).rpartition(".")[2]


def requests_for(*operations: str) -> Callable[[Request], bool]:
    """Requests for one of these operations; without any, all requests."""
    return lambda request: not operations or operation(request) in operations


def error_answer(code: str, message: str = "because", status: int = 400, **more: Any) -> Answer:
    """An error as DynamoDB words it."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **more}
    return Answer(status, orjson.dumps(body), {"Content-Type": "application/x-amz-json-1.0"})


@contextmanager
def injected(proxy: FaultyProxy, does: Action, *operations: str, share: float = 1.0) -> Iterator[Fault]:
    """While entered, requests for these operations (or all) are struck."""
    fault = proxy.inject(Fault(f"{does}"[:60], requests_for(*operations), does, share))
    try:
        yield fault
    finally:
        proxy.clear(fault)


def calls(proxy: FaultyProxy, since: float, *operations: str) -> int:
    """Requests for these operations (or all) that have arrived since a time of time.monotonic."""
    return sum(
        one.at >= since and (not operations or one.target.rpartition(".")[2] in operations) for one in proxy.seen
    )


def difference(world: World, name: str) -> str:
    """How the Deployment and this region's report differ from what the item asks; "" where they do not."""
    plain = world.item(name)
    wanted, said = (None, "") if plain is None else _desired(plain)
    report = world.report(name)
    told = "" if plain is None else report.get("state")
    # One that is stopped before it ever ran has nothing that stands.
    if world.replicas(name) not in {wanted, None if said == "stopped" else wanted} or told != said:
        return f"{name}: {world.replicas(name)} replicas, said {told!r}; wanted {wanted}, {said!r}"
    if said == "running" and report["replicas_ready"] != wanted:
        return f"{name}: said {report['replicas_ready']} ready, wanted {wanted}"
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
    """Until the Deployments and the reports are what the items ask."""
    try:
        one.until(lambda: not any(difference(world, name) for name in names), "all is as asked", timeout)
    finally:
        assert [said for name in names if (said := difference(world, name))] == []


def writes(audit: AuditLog, mark: int, user: str) -> list[str]:
    """What the program has written to the cluster since a mark of the audit log, but its lease."""
    return [
        f"{call.verb} {call.resource}/{call.name}"
        for call in audit.calls(mark, user=user)
        if call.verb not in {"get", "list", "watch"} and call.resource not in {"leases", "events"}
    ]


def templates(world: World, name: str) -> int:
    """How many pod templates the Deployment has had."""
    return len(world.kube.list(path_of("ReplicaSet", world.namespace), labels=f"app={name}"))
