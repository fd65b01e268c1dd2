"""A thousand endpoints: a cold start creates and reports all, a warm start writes nothing, and no change is lost."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from gco_stream.local.control_plane import NAMESPACE, TABLE, ControlPlane
from gco_stream.local.pytest_plugin import Table
from gco_stream.local.servers.dynamodb import REGION, client
from gco_stream.model import wire
from gco_stream.table import bootstrap
from tests.integration.support.crash_proxy import Send, proxy
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import item

pytestmark = pytest.mark.integration
COUNT = 1000
CHANGES = 20
USER = "gco-stream"
PATIENCE = 300.0
READS = {"get", "list", "watch"}
NAMES = tuple(f"e{number:04}" for number in range(COUNT))


class StreamReader:
    """Reads the writes to the table from its stream, starting now."""

    def __init__(self, table: Table) -> None:
        self._streams = table.streams
        stream = table.streams.describe_stream(StreamArn=table.stream_arn)["StreamDescription"]
        (shard,) = stream["Shards"]
        self._iterator = table.streams.get_shard_iterator(
            StreamArn=table.stream_arn, ShardId=shard["ShardId"], ShardIteratorType="LATEST"
        )["ShardIterator"]
        self.last = ""

    def read(self) -> list[str]:
        """Returns the names written since the last call, up to the current end of the stream."""
        found: list[str] = []
        while True:
            answer = self._streams.get_records(ShardIterator=self._iterator, Limit=1000)
            self._iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                return found
            for record in answer["Records"]:
                found.append(record["dynamodb"]["Keys"]["endpoint_name"]["S"])
                self.last = record["dynamodb"]["SequenceNumber"]


@pytest.fixture
def plane(disposable_control_plane: Callable[..., ControlPlane]) -> ControlPlane:
    # Without controllers, so no pods run: Kubernetes' own controllers would use the machine for a thousand Deployments.
    return disposable_control_plane(controllers=False)


@pytest.fixture
def big_world(plane: ControlPlane) -> World:
    dynamodb = client(plane.dynamodb_url)
    info = bootstrap.create(dynamodb, TABLE).info
    streams = client(plane.dynamodb_url, "dynamodbstreams")
    return World(Table(TABLE, info.arn, info.stream_arn or "", dynamodb, streams), plane.kube, NAMESPACE, REGION)


def fill(world: World) -> None:
    for begin in range(0, COUNT, 25):
        requests = [
            {"PutRequest": {"Item": wire.encode(item(name, spec={"gpu_count": 0}))}}
            for name in NAMES[begin : begin + 25]
        ]
        assert not world.table.client.batch_write_item(RequestItems={TABLE: requests})["UnprocessedItems"]


@contextmanager
def changing(world: World, replicas: int, first: int) -> Iterator[tuple[str, ...]]:
    """Scales some endpoints in a background thread and yields their names."""
    names = NAMES[first :: COUNT // CHANGES]

    def change() -> None:
        for name in names:
            world.user.scale(world.item_of(name), replicas)
            # Spread the changes over the start instead of making all of them at its beginning.
            time.sleep(0.1)

    user = threading.Thread(target=change)
    user.start()
    try:
        yield names
    finally:
        user.join()


def settled(one: Program) -> Callable[[], bool]:
    def look() -> bool:
        status = one.status()
        return (status["working"], status["queue"], status["in_work"], status["endpoints"]) == (True, 0, [], COUNT)

    return look


def caught_up(one: Program, reader: StreamReader) -> Callable[[], bool]:
    """Returns a check that the program has read the whole stream and has nothing left to do."""

    def look() -> bool:
        wrote = reader.read()
        shards = one.status()["stream"]["shards"]
        return not wrote and shards[0]["last_sequence_number"] == reader.last and settled(one)()

    return look


def unreported(world: World) -> list[str]:
    """Returns the endpoints whose report is not about the current intent."""
    names = []
    for stored in world.user.scan():
        report = wire.decode(stored).get("region_status", {}).get(REGION, {})
        if (report.get("state"), report.get("intent")) != ("creating", wire.intent_of(stored)):
            names.append(stored["endpoint_name"]["S"])
    return names


def writes(plane: ControlPlane, since: int) -> list[tuple[str, str, str]]:
    """Returns the program's writes to the cluster, except those of its lease."""
    return [
        (call.verb, call.resource, call.name)
        for call in plane.audit.calls(since, user=USER)
        if call.verb not in READS and call.resource != "leases"
    ]


def expect_applied(world: World, names: tuple[str, ...], replicas: int) -> None:
    deployments = world.objects()
    wrong = {name: deployments[f"Deployment/{name}"]["spec"]["replicas"] for name in names}
    assert wrong == dict.fromkeys(names, replicas)


def test_cold_and_warm_starts_lose_no_change(
    plane: ControlPlane, big_world: World, program: Callable[..., Program]
) -> None:
    fill(big_world)
    environment: dict[str, Any] = plane.environment(user=USER)
    reader = StreamReader(big_world.table)

    one = program(**environment)
    with changing(big_world, 2, first=3) as changed_cold:
        one.wait_working()
    one.until(caught_up(one, reader), "a cold start settles", PATIENCE)
    # No pods run here, so there is nothing to route to.
    kinds = ("Service/{}", "Deployment/{}")
    assert big_world.objects().keys() == {kind.format(name) for name in NAMES for kind in kinds}
    assert unreported(big_world) == []
    expect_applied(big_world, changed_cold, 2)
    assert one.stop() == 0

    assert reader.read() == []
    mark = plane.audit.mark()
    two = program(**environment).wait_working()
    two.until(settled(two), "a warm start settles", PATIENCE)
    assert two.stop() == 0
    assert writes(plane, mark) == []
    assert reader.read() == []

    three = program(**environment)
    with changing(big_world, 3, first=7) as changed_warm:
        three.wait_working()
    three.until(lambda: unreported(big_world) == [], "every change is reported", PATIENCE)
    three.until(caught_up(three, reader), "a warm start with changes settles", PATIENCE)
    expect_applied(big_world, changed_warm, 3)
    expect_applied(big_world, changed_cold, 2)
    touched = {name for _, resource, name in writes(plane, mark) if resource != "events"}
    assert touched == set(changed_warm)
    assert three.stop() == 0


def test_a_change_between_any_two_calls_of_a_start_is_not_lost(
    world: World, program: Callable[..., Program], control_plane: ControlPlane
) -> None:
    names = [f"e{number:02}" for number in range(40)]
    for name in names:
        world.put(item(name, spec={"gpu_count": 0, "replicas": 0}))
    never_again = {"RESYNC_INTERVAL_SECONDS": "86400"}
    before = program(**never_again)
    before.until(
        lambda: all(world.state(name) == "running" for name in names), "all endpoints are reported as running", PATIENCE
    )
    assert before.stop() == 0
    untouched, asked, lock = list(names), set[str](), threading.Lock()
    polls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def change() -> None:
        with lock:
            if untouched:
                name = untouched.pop()
                world.set_desired_state(name, "stopped")
                asked.add(name)

    def pass_on(operation: str, send: Send) -> urllib3.BaseHTTPResponse:
        if operation == "GetRecords":
            polls.put(None)
        change()
        answer = send()
        change()
        if operation == "Scan":
            # Let the stream deliver the changes before this older page arrives: a second poll starts after the first is
            # processed.
            while not polls.empty():
                polls.get()
            for _ in range(2):
                polls.get(timeout=120)
        return answer

    with proxy(control_plane.dynamodb_url, pass_on) as url:
        one = program(AWS_ENDPOINT_URL_DYNAMODB=url, AWS_ENDPOINT_URL_DYNAMODB_STREAMS=url, **never_again)
        one.until(lambda: len(asked) == len(names), "all endpoints are changed", PATIENCE)
        one.until(lambda: all(world.state(name) == "stopped" for name in names), "no change is lost", PATIENCE)
        assert one.stop() == 0
