"""Faults of DynamoDB and its network cause delays and nothing else, with the real program and DynamoDB Local."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import urllib3

from gco_stream.local.audit import AuditLog
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import path_of
from gco_stream.table import bootstrap
from tests.chaos.dynamodb.dynamodb_faults import (
    STREAM_CALLS,
    TABLE_CALLS,
    THROTTLED,
    calls,
    error_answer,
    injected,
    operation,
    requests_for,
    templates,
    until_in_desired_state,
    writes,
)
from tests.chaos.proxies.faulty_http import (
    Action,
    Answer,
    Delay,
    Fault,
    FaultyProxy,
    Hang,
    LoseResponse,
    Request,
    Reset,
    Rewrite,
    Trickle,
)
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.removals import scans
from tests.integration.support.harness.world import World
from tests.integration.support.watch_history import GONE, history
from tests.support.items import item

pytestmark = pytest.mark.integration
Start = Callable[..., Program]
# Long enough for a busy machine, and far below a retry limit of minutes.
SOON = 120.0
# The stream is retried every minute by design.
STREAM_IS_BACK = 180.0
QUICK = {"DYNAMODB_TIMEOUT_SECONDS": "1", "RECONCILE_INTERVAL_SECONDS": "1", "RESYNC_INTERVAL_SECONDS": "86400"}
GPU_FREE = {"gpu_count": 0}
# Lifetime of credentials in seconds; the SDK renews them from ten minutes before they expire.
SHORT = 400
OUTAGES: dict[str, tuple[Action, ...]] = {
    "throttling": tuple(error_answer(code) for code in THROTTLED),
    "faults": (error_answer("InternalServerError", status=500), Answer(503), Answer(502, b"<html>bad gateway</html>")),
    "no network": (Reset(),),
    "no answers in time": (Hang(), Trickle(2), Delay(3)),
    "another's answers": (
        *(Answer(200, b"<html>sign in</html>"), Answer(200, b"{}"), Rewrite(lambda body: body[:40])),
        *(error_answer("ValidationException", "garbage"), error_answer("ConditionalCheckFailedException"), Answer(413)),
    ),
}


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[FaultyProxy]:
    """A proxy between the program and DynamoDB; users and tests bypass it."""
    with FaultyProxy(control_plane.dynamodb_url) as one:
        yield one


@pytest.fixture
def start(program: Start, proxy: FaultyProxy, tmp_path: Path) -> Iterator[Start]:
    """`start(SETTING="x")` starts the program behind the proxy. No program may log a traceback."""
    urls = dict.fromkeys(("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"), proxy.url)
    yield lambda **settings: program(**(urls | QUICK | settings))
    for log in tmp_path.glob("program-*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()[-5000:]


def put(world: World, name: str, **spec: object) -> None:
    world.put(item(name, spec={**GPU_FREE, **spec}))


def words(one: Program) -> str:
    """Returns all warnings and errors of the log."""
    return " ".join(str(line) for line in one.lines() if line.get("level") in {"WARNING", "ERROR"})


def until_quiet(one: Program, proxy: FaultyProxy) -> None:
    """Waits until the stream was read several times without a call for the table.

    Then every record of an earlier write has been delivered, and none of them made the program read the item again.
    """

    def quiet() -> bool:
        began = time.monotonic()
        one.until(lambda: calls(proxy, began, "GetRecords") >= 3, "the stream is read", STREAM_IS_BACK)
        return calls(proxy, began, *TABLE_CALLS) == 0

    one.until(quiet, "the table is neither read nor written", SOON)


def at_rest(one: Program, proxy: FaultyProxy, audit: AuditLog, user: str) -> None:
    """Waits until there are no more writes and only the stream is read, at its normal rate."""
    one.until(lambda: one.status()["stream"]["mode"] == "stream", "the stream is in use", STREAM_IS_BACK)

    def silent() -> bool:
        began, mark = time.monotonic(), audit.mark()
        one.until(lambda: calls(proxy, began, "GetRecords") >= 8, "the stream is read", SOON)
        assert calls(proxy, began, *STREAM_CALLS) <= 3 + (time.monotonic() - began) / 0.15
        return calls(proxy, began, *TABLE_CALLS) == 0 and writes(audit, mark, user) == []

    one.until(silent, "the program is idle", SOON)


def test_every_kind_of_outage_only_causes_delays(
    world: World, start: Start, proxy: FaultyProxy, control_plane: ControlPlane, controller_user: str
) -> None:
    one = start().wait_working()
    for name in ("rock", "scaled", "stopped"):
        put(world, name)
    until_in_desired_state(world, one, "rock", "scaled", "stopped")
    rock, process = world.pods("rock").keys(), psutil.Process(one.pid)
    memory, files = process.memory_info().rss, process.num_fds()
    known = ["rock", "scaled", "stopped"]
    for number, (kind, actions) in enumerate(OUTAGES.items(), 1):
        # A record that is older than the cached item makes the program read the item, for which it needs the table.
        until_quiet(one.wait_idle(), proxy)
        began = time.monotonic()
        faults = [
            proxy.inject(Fault(kind, requests_for(), does, share=1 / (len(actions) - place)))
            for place, does in enumerate(actions)
        ]
        world.user.scale(world.item_of("scaled"), 1 + number % 3)
        world.set_desired_state("stopped", "stopped" if number % 2 else "deploying")
        put(world, f"new-{number}")
        if number > 1:
            world.set_desired_state(f"new-{number - 1}", "deleted")
        # Live objects are repaired even without the table.
        world.kube.delete(path_of("Service", world.namespace, "rock"))
        one.until(lambda: world.get("Service", "rock"), f"{kind}: drift is repaired", SOON)
        one.until(lambda: proxy.injected[kind] >= 4, f"{kind}: faults occur", SOON)  # noqa: B023
        struck, lasted = proxy.injected[kind], time.monotonic() - began
        proxy.clear(*faults)
        known.append(f"new-{number}")
        until_in_desired_state(world, one, *known)
        assert struck <= 40 + 15 * lasted, kind
    assert world.pods("rock").keys() == rock
    assert {templates(world, name) for name in ("rock", "scaled", "stopped")} == {1}
    at_rest(one, proxy, control_plane.audit, controller_user)
    assert one.http("/healthz") == one.http("/readyz") == (200, "ok\n")
    assert process.memory_info().rss < memory + 64 * 2**20
    assert process.num_fds() <= files + 10
    assert one.stop() == 0


def test_all_faults_at_once_only_slow_an_endpoint_lifecycle(
    world: World, start: Start, proxy: FaultyProxy, control_plane: ControlPlane, controller_user: str
) -> None:
    one = start().wait_working()
    storm = [
        proxy.inject(Fault("storm", requests_for(), does, share=0.03))
        for does in (*(action for kind in OUTAGES.values() for action in kind), LoseResponse(), LoseResponse(late=0.3))
    ]
    names = [f"e{number}" for number in range(4)]
    for name in names:
        put(world, name)
    until_in_desired_state(world, one, *names)
    for name in names:
        world.user.scale(world.item_of(name), 2)
    until_in_desired_state(world, one, *names)
    world.set_desired_state("e0", "stopped")
    for name in names[1:3]:
        world.set_desired_state(name, "deleted")
    until_in_desired_state(world, one, *names)
    one.until(lambda: not (world.item("e1") or world.item("e2")), "the deleted endpoints are purged", SOON)
    assert {templates(world, name) for name in names[3:]} == {1}
    assert proxy.injected["storm"] > 30
    proxy.clear(*storm)
    at_rest(one, proxy, control_plane.audit, controller_user)


def test_writes_with_lost_responses_are_not_applied_twice(world: World, start: Start, proxy: FaultyProxy) -> None:
    # The first response of each write is lost; the program retries the write and finds it done.
    lost: set[bytes] = set()

    def first(request: Request) -> bool:
        if operation(request) not in {"UpdateItem", "DeleteItem"}:
            return False
        update = json.loads(request.body)
        kind = str([update.get("UpdateExpression"), update["Key"], state_in(update)]).encode()
        known = kind in lost
        lost.add(kind)
        return not known

    proxy.inject(Fault("lost", first, LoseResponse()))
    one = start().wait_working()
    put(world, "chat")
    one.until(lambda: (world.item("chat") or {}).get("desired_state") == "running", "the endpoint is promoted", SOON)
    until_in_desired_state(world, one, "chat")
    world.update_spec("chat", image="registry.example/serve:2.0")
    one.until(
        lambda: (world.item("chat") or {}).get("desired_state") == "running", "the endpoint is promoted again", SOON
    )
    until_in_desired_state(world, one, "chat")
    assert templates(world, "chat") == 2
    world.set_desired_state("chat", "deleted")
    one.until(lambda: world.item("chat") is None, "the endpoint is purged", SOON)
    assert not world.objects()
    assert proxy.injected["lost"] >= 5
    states = history(world, "chat")
    # The states come in order and none repeats; a brief state may not be reported.
    rest = iter(LIFE)
    assert all(state in rest for state in states), states
    assert {"running", "deleted"} <= set(states)


LIFE = ("", "creating", "running", "updating", "running", "deleting", "deleted", GONE)


def state_in(update: dict[str, dict[str, object]]) -> object:
    """Returns the state that a status write sets."""
    values = update.get("ExpressionAttributeValues", {})
    return json.dumps([values.get(":s"), values.get(":m")]).partition('"state"')[2][:30]


def test_a_late_report_does_not_replace_a_newer_one(world: World, start: Start, proxy: FaultyProxy) -> None:
    def creating(request: Request) -> bool:
        return operation(request) == "UpdateItem" and b'"creating"' in request.body

    one = start().wait_working()
    proxy.inject(Fault("late", creating, LoseResponse(late=2.5), times=1))
    # Pods that become ready immediately may do so before the first report.
    put(world, "chat", image="registry.example/serve:1.0-ready-after-1s")
    one.until(lambda: proxy.injected["late"], "a report is lost", SOON)
    until_in_desired_state(world, one, "chat")
    assert world.state("chat") == "running"
    one.until(lambda: not proxy.pending_writes, "the lost report has arrived", SOON)
    assert world.state("chat") == "running"
    assert scans(one) == 1


def test_missing_rights_at_startup_are_reported_and_work_starts_once_granted(
    world: World, start: Start, proxy: FaultyProxy
) -> None:
    denied = error_answer(
        "AccessDeniedException", "User: arn:aws:iam::1:role/gco is not authorized to perform: dynamodb"
    )
    put(world, "chat")
    with injected(proxy, denied, *TABLE_CALLS):
        one = start()
        one.until(
            lambda: says_not_ready(one, "table:", "denied access", "arn:aws:iam::1:role/gco"),
            "the reason is in /readyz",
            SOON,
        )
        one.until(lambda: "arn:aws:iam::1:role/gco" in words(one), "the reason is logged", SOON)
    until_in_desired_state(world, one, "chat")
    one.until(lambda: one.http("/readyz") == (200, "ok\n"), "the program is ready", SOON)


def says_not_ready(one: Program, *expected: str) -> bool:
    """Whether the program is alive but not ready, and /readyz contains all expected texts."""
    try:
        (status, text), (alive, _) = one.http("/readyz"), one.http("/healthz")
    except (StopIteration, urllib3.exceptions.HTTPError):
        return False
    return (status, alive) == (503, 200) and all(word in text for word in expected)


def test_revoked_and_restored_rights_lose_no_change(world: World, start: Start, proxy: FaultyProxy) -> None:
    one = start().wait_working()
    put(world, "chat")
    until_in_desired_state(world, one, "chat")
    denied = error_answer("AccessDeniedException", "not authorized to perform dynamodb:GetRecords")
    with injected(proxy, denied, *STREAM_CALLS):
        one.until(lambda: one.status()["stream"]["mode"] == "poll", "the stream is unavailable", SOON)
        assert "dynamodb:GetRecords" in one.status()["stream"]["reason"]
        one.until(lambda: "dynamodb:GetRecords" in words(one), "the reason is logged", SOON)
        world.user.scale(world.item_of("chat"), 2)
        until_in_desired_state(world, one, "chat")
        with injected(proxy, denied, *TABLE_CALLS) as fault:
            world.user.scale(world.item_of("chat"), 3)
            put(world, "other")
            one.until(lambda: proxy.injected[fault.name] >= 2, "the table is unavailable as well", SOON)
        until_in_desired_state(world, one, "chat", "other")


def test_expired_credentials_are_reloaded_from_the_file(
    world: World, start: Start, proxy: FaultyProxy, tmp_path: Path
) -> None:
    file = tmp_path / "credentials"

    def write(key: str) -> None:
        file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = secret\n")

    def expired(request: Request) -> bool:
        return "Credential=OLD/" in request.headers.get("Authorization", "")

    write("OLD")
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    one = start(**none, AWS_SHARED_CREDENTIALS_FILE=str(file)).wait_working()
    put(world, "chat")
    until_in_desired_state(world, one, "chat")
    proxy.inject(Fault("expired", expired, error_answer("ExpiredTokenException", "The security token is expired")))
    one.until(lambda: "token is expired" in words(one), "the expired token is logged", SOON)
    world.user.scale(world.item_of("chat"), 2)
    assert one.http("/healthz")[0] == 200
    write("NEW")
    until_in_desired_state(world, one, "chat")
    assert one.stop() == 0


def test_a_failing_credential_source_is_reported_and_retried(world: World, start: Start, tmp_path: Path) -> None:
    answer, config = tmp_path / "answer", tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = /bin/cat {answer}\n")

    def give(seconds: float) -> None:
        expiry = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        key = {
            "Version": 1,
            "AccessKeyId": "key",
            "SecretAccessKey": "secret",
            "SessionToken": "",
            "Expiration": expiry,
        }
        answer.write_text(json.dumps(key))

    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no")}
    # The call's timeout must also cover running a process.
    one = start(**none, AWS_CONFIG_FILE=str(config), AWS_EC2_METADATA_DISABLED="true", DYNAMODB_TIMEOUT_SECONDS="5")
    one.until(
        lambda: says_not_ready(one, "table:", "no usable AWS credentials", str(answer)),
        "the reason is in /readyz",
        SOON,
    )
    # Short enough that each call runs the process, and longer than the rest of the test takes.
    give(SHORT)
    put(world, "chat")
    until_in_desired_state(world, one, "chat")
    answer.write_text("no JSON")
    one.until(lambda: one.status()["stream"]["mode"] == "poll", "the stream is unavailable", SOON)
    assert "no usable AWS credentials" in one.status()["stream"]["reason"]
    world.user.scale(world.item_of("chat"), 2)
    give(SHORT)
    until_in_desired_state(world, one, "chat")
    give(-60)
    world.user.scale(world.item_of("chat"), 1)
    one.until(lambda: "still expired" in words(one), "the expired credentials are logged", SOON)
    assert one.http("/healthz") == (200, "ok\n")
    give(SHORT)
    until_in_desired_state(world, one, "chat")
    assert one.stop() == 0


def test_a_reenabled_stream_and_a_recreated_table_are_found_without_deletions(
    world: World, start: Start, proxy: FaultyProxy, control_plane: ControlPlane, controller_user: str
) -> None:
    client, name = world.table.client, world.table.name
    one = start().wait_working()
    put(world, "chat")
    until_in_desired_state(world, one, "chat")
    pods = world.pods("chat").keys()
    client.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    one.until(lambda: one.status()["stream"]["mode"] == "poll", "the stream is unavailable", SOON)
    one.until(lambda: "gco-stream table enable-stream" in words(one), "the fix is logged", SOON)
    put(world, "polled")
    until_in_desired_state(world, one, "chat", "polled")
    items = list(world.user.scan())
    client.delete_table(TableName=name)
    one.until(lambda: "does not exist" in words(one), "the missing table is logged", SOON)
    scanned = scans(one)
    bootstrap.create(client, name)
    one.until(lambda: scans(one) > scanned, "the empty table is scanned", SOON)
    assert {"Deployment/chat", "Deployment/polled"} <= world.objects().keys()
    for one_item in items:
        client.put_item(TableName=name, Item=one_item)
    put(world, "new")
    until_in_desired_state(world, one, "chat", "polled", "new")
    assert world.pods("chat").keys() == pods
    at_rest(one, proxy, control_plane.audit, controller_user)
    known = scans(one)
    world.user.scale(world.item_of("new"), 2)
    until_in_desired_state(world, one, "new")
    assert scans(one) == known
