"""The status page of the real program: what it shows of real endpoints, and which values it never shows."""

import time
from collections.abc import Callable

import urllib3

from gco_stream.local.kube_api import path_of
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.support.items import REGION, item

SECRET = "hunter2-planted"  # noqa: S105 - looked for on every page


def metric(one: Program, name: str) -> float:
    lines = one.http("/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def shows(one: Program, path: str, *words: str) -> Callable[[], bool]:
    return lambda: all(word in one.http(path)[1] for word in words)


def test_an_endpoints_page_follows_its_change_to_readiness_and_names_the_record(
    world: World, controller: Program
) -> None:
    world.user.create(item(spec={"gpu_count": 0}) | {"namespace": world.namespace})
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    controller.until(shows(controller, "/endpoints/chat", "running here, as desired"), "its page shows the state")
    world.user.scale(world.item_of("chat"), 3)
    scaled = shows(controller, "/endpoints/chat", "running here, as desired", "3 of 3 ready")
    controller.until(scaled, "the page shows 3 replicas")
    (record,) = (
        entry["dynamodb"]["SequenceNumber"]
        for entry in records(world)
        if entry["eventName"] == "MODIFY"
        and entry["dynamodb"]["NewImage"]["spec"] != entry["dynamodb"]["OldImage"]["spec"]
    )
    told = (
        f'sequence number <span class="mono">{record}</span>',
        "the time of the change is the item's updated_at",
        *("create Service", "create Deployment", "reported: running, 3 of 3 ready", "triggered by stream"),
        # The Event of Kubernetes' own deployment controller.
        "ScalingReplicaSet",
    )
    for words in told:
        controller.until(shows(controller, "/endpoints/chat", words), f"the page shows: {words}")

    def last_change() -> str:
        page = controller.http("/endpoints/chat")[1]
        return page[page.index("Last change") : page.index("Desired state")]

    controller.until(lambda: "not yet" not in last_change(), "all steps of the change are shown")
    counts = ("gco_stream_change_to_applied_seconds_count", "gco_stream_applied_to_ready_seconds_count")
    controller.until(lambda: all(metric(controller, count) == 2 for count in counts), f"each of {counts} is 2")


def records(world: World) -> list[dict[str, object]]:
    """Returns all records of the table's stream."""
    streams, arn = world.table.streams, world.table.stream_arn
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    found: list[dict[str, object]] = streams.get_records(ShardIterator=iterator)["Records"]
    return found


def test_no_page_contains_env_values(world: World, controller: Program) -> None:
    env = {"API_TOKEN": SECRET, "OTHER": f"https://user:{SECRET}@host"}
    world.put(item("held", spec={"gpu_count": 0, "env": env}))
    world.put(item("broken", spec={"env": {"API_TOKEN": {"nested": SECRET}, "OTHER": [SECRET]}}))
    world.put(item("unset", spec={"env": SECRET}))
    controller.until(lambda: world.state("held") == "running", "running is reported")
    controller.until(lambda: world.state("broken") == world.state("unset") == "error", "the other items are rejected")
    world.user.hold(world.item_of("held"), "nobody touches it")
    by_hand = [{"name": "API_TOKEN", "value": f"{SECRET}-by-hand"}]
    container = world.container("held") | {"env": by_hand}
    world.kube.patch(
        path_of("Deployment", world.namespace, "held"), {"spec": {"template": {"spec": {"containers": [container]}}}}
    )
    controller.until(shows(controller, "/endpoints/held", "API_TOKEN", "held"), "its page names the variable")
    for path in (
        "/",
        "/?q=held",
        "/stream",
        "/status",
        "/metrics",
        "/endpoints/held",
        "/endpoints/broken",
        "/endpoints/unset",
    ):
        code, text = controller.http(path)
        assert (code, SECRET in text) == (200, False), path


def test_endpoints_that_need_attention_come_first_with_reason_and_time(world: World, controller: Program) -> None:
    world.put(item("fine", spec={"gpu_count": 0}))
    world.put(item("wrong", spec={"replicas": -2}))
    controller.until(
        shows(controller, "/", "spec.replicas: invalid value -2", '<span class="count">1</span>'), "the error is shown"
    )
    controller.until(
        shows(controller, "/?state=running", 'href="/endpoints/fine"'), "the other endpoint is listed as running"
    )

    def card() -> str:
        page = controller.http("/")[1]
        return page[page.index('id="attention"') : page.index("States in this region")]

    controller.until(lambda: "fine" not in card(), "the other endpoint needs no attention")
    assert 'href="/endpoints/wrong"' in card()
    assert '<span class="since"><time' in card()
    assert 'title="reason code">InvalidSpec<' in card()
    assert controller.http("/endpoints/nothing-of-the-kind")[0] == 404


def test_a_standby_shows_the_leader_and_the_cluster(
    world: World, controller: Program, program: Callable[..., Program]
) -> None:
    world.put(item(spec={"gpu_count": 0}))
    controller.until(lambda: world.state("chat") == "running", "running is reported")
    standby = program(HOSTNAME="standby")
    leader = controller.status()["leader"]["identity"]
    standby.until(
        lambda: answers(standby) and shows(standby, "/", "This replica is a standby", leader)(), "the banner is shown"
    )
    standby.until(shows(standby, "/", 'href="/endpoints/chat"', "1 of 1"), "it shows the endpoint")
    standby.until(shows(standby, "/endpoints/chat", "exists"), "its page shows live objects")
    assert controller.stop() == 0
    standby.wait_working()
    standby.until(shows(standby, "/endpoints/chat", "running here, as desired"), "it shows the leader's data")


def answers(one: Program) -> bool:
    try:
        return one.http("/")[0] == 200
    except (StopIteration, urllib3.exceptions.HTTPError):
        return False


def test_an_open_page_receives_changes_and_does_not_delay_shutdown(world: World, controller: Program) -> None:
    address = f"http://127.0.0.1:{controller.port}/live?endpoint=chat"
    page = urllib3.request("GET", address, preload_content=False, timeout=120, retries=False)
    heard = page.stream(1)
    text = b""
    world.put(item(spec={"gpu_count": 0}))
    deadline = time.monotonic() + 120
    while b"event: news" not in text:
        assert time.monotonic() < deadline
        text += next(heard)
    assert controller.stop() == 0
    # A clean end of the response; a server that times out on open connections would cut it off.
    assert list(heard)
    page.release_conn()


def test_the_page_is_read_only_on_the_real_program_too(controller: Program) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = urllib3.request(method, f"http://127.0.0.1:{controller.port}/endpoints/chat", timeout=5, retries=False)
        assert answer.status == 405
    assert REGION in controller.http("/")[1]
