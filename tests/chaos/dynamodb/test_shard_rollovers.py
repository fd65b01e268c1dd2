"""No change is lost when the shards of a real stream end, iterators expire and records are trimmed.

Here the scan that would find a lost change runs once a day. So every applied change came from the stream, or from the
scan after the stream consumer reported a gap.
"""

import asyncio
import contextlib
import random
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gco_stream.aws.errors import ConcurrentUpdate, ItemNotFound
from gco_stream.aws.session import streams_client
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.pytest_plugin import Table
from gco_stream.local.servers import dynamodb
from gco_stream.stream.consumer import Mode, StreamConsumer, StreamLocation, StreamRecord, StreamTimes
from gco_stream.table.bootstrap import create
from tests.chaos.dynamodb.dynamodb_faults import requests_for, until_in_desired_state
from tests.chaos.dynamodb.rolling_dynamodb import ITERATORS_LIVE, RECORDS_LIVE, RollingDynamoDB
from tests.chaos.proxies.faulty_http import Answer, Fault, FaultyProxy
from tests.integration.support.harness.program import Program
from tests.integration.support.harness.removals import sample, scans
from tests.integration.support.harness.world import World
from tests.support.items import item

pytestmark = pytest.mark.integration

PATIENCE = 120.0
# Seconds within which an expired iterator that is in use must be refused; the consumer may stall.
REFUSED_WITHIN = 10.0
ONCE_A_DAY = {
    "RESYNC_INTERVAL_SECONDS": "86400",
    "RECONCILE_INTERVAL_SECONDS": "86400",
    "LEASE_DURATION_SECONDS": "60",
    "LEASE_RENEW_DEADLINE_SECONDS": "40",
}
EXPIRED, TRIMMED = ITERATORS_LIVE + 60.0, RECORDS_LIVE + 3600.0
ITEMS = 8
_DOWN = Answer(500, b'{"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError"}')
UNREADABLE = Fault("unreadable", requests_for("GetRecords"), _DOWN)
UNLISTED = Fault("unlisted", requests_for("DescribeStream"), _DOWN)
UNLISTED_AND_UNREADABLE = Fault("down", requests_for(), _DOWN)


@pytest.fixture
def rolling() -> Iterator[RollingDynamoDB]:
    # One server per test: a full server takes longer to age, and what it answers meanwhile does not age.
    with RollingDynamoDB() as one:
        yield one


@pytest.fixture
def table(rolling: RollingDynamoDB) -> Iterator[Table]:
    name = f"endpoints-{uuid.uuid4().hex[:10]}"
    made = create(rolling.tables, name).info
    yield Table(name, made.arn, made.stream_arn or "", rolling.tables, rolling.streams)
    rolling.tables.delete_table(TableName=name)


@pytest.fixture
def controller_env(
    control_plane: ControlPlane, rolling: RollingDynamoDB, namespace: str, table: Table, controller_user: str
) -> dict[str, str]:
    settings = control_plane.environment(namespace=namespace, table=table.name, user=controller_user)
    urls = dict.fromkeys(("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"), rolling.url)
    return {**settings, **urls, **ONCE_A_DAY, "HTTP_PORT": "0"}


@dataclass
class History:
    """What was written and what the consumer reported, in order.

    A write is recorded as (name, number) once DynamoDB has accepted it; a record by its image; a gap by its reason.
    """

    table: Table
    written: list[tuple[int, str, int]] = field(default_factory=list)
    heard: list[tuple[int, str, int]] = field(default_factory=list)
    gaps: list[tuple[int, str]] = field(default_factory=list)
    moment: int = 0

    def now(self) -> int:
        self.moment += 1
        return self.moment

    async def write(self, name: str) -> None:
        number = len(self.written)
        put = {"endpoint_name": {"S": name}, "number": {"N": str(number)}}
        await asyncio.to_thread(self.table.client.put_item, TableName=self.table.name, Item=put)
        self.written.append((self.now(), name, number))

    def on_record(self, record: StreamRecord) -> None:
        assert record.new is not None
        self.heard.append((self.now(), record.name, int(record.new["number"]["N"])))

    def on_gap(self, reason: str) -> None:
        self.gaps.append((self.now(), reason))

    def on_mode(self, mode: Mode, reason: str) -> None:
        pass

    def on_call(self, operation: str, result: str, seconds: float) -> None:
        pass

    @property
    def numbers(self) -> list[int]:
        return [number for _, _, number in self.heard]

    def lost(self) -> list[tuple[int, str, int]]:
        """Returns writes without a record and without a later gap."""
        heard, told = set(self.numbers), max((moment for moment, _ in self.gaps), default=0)
        return [one for one in self.written if one[2] not in heard and one[0] > told]


@asynccontextmanager
async def consuming(
    history: History, url: str, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> AsyncIterator[StreamConsumer]:
    """Runs a pinned consumer of the table's stream at `url`."""
    table = history.table
    for name, value in dynamodb.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", url)

    async def locate() -> StreamLocation:
        found = (await asyncio.to_thread(table.client.describe_table, TableName=table.name))["Table"]
        return StreamLocation(found.get("LatestStreamArn"), bool(found["StreamSpecification"]["StreamEnabled"]))

    async with streams_client(dynamodb.REGION) as streams, asyncio.TaskGroup() as group:
        consumer = StreamConsumer(streams, locate, history, StreamTimes(poll_interval=0.02), rng=rng)
        await consumer.pin()
        running = group.create_task(consumer.run())
        yield consumer
        running.cancel()


async def until(condition: Callable[[], object], what: Callable[[], object] = lambda: "") -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - what is waited for has no events
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"timed out after {PATIENCE:g} s: {what()}") from None


async def test_changes_arrive_once_and_in_order_while_shards_roll_over(
    rolling: RollingDynamoDB, table: Table, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    history = History(table)
    writes, rolls = 600, 0
    async with consuming(history, rolling.url, monkeypatch, rng):
        for _ in range(writes):
            await history.write(f"e{rng.randrange(ITEMS)}")
            # Several rollovers in a row also give shards without records.
            while rng.random() < 0.2:
                await asyncio.to_thread(rolling.roll)
                rolls += 1
        await until(lambda: len(history.heard) >= writes, lambda: (len(history.heard), rolls))
    assert rolls > 50
    assert history.numbers == list(range(writes))
    assert history.gaps == []


async def expired(rolling: RollingDynamoDB, consumer: StreamConsumer) -> None:
    """Makes the current iterator expire; tries again, because an iterator issued at the same moment may not be aged."""
    before = consumer.snapshot().errors.get("ExpiredIteratorException", 0)
    for _ in range(20):
        await asyncio.to_thread(rolling.age, EXPIRED)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFUSED_WITHIN):
                while consumer.snapshot().errors.get("ExpiredIteratorException", 0) == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                return
    raise AssertionError("no iterator has expired")


async def test_expired_iterators_lose_nothing_and_an_idle_shard_reports_a_gap(
    rolling: RollingDynamoDB, table: Table, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    history = History(table)
    async with consuming(history, rolling.url, monkeypatch, rng) as consumer:
        await expired(rolling, consumer)
        # Nothing was ever read from this shard, so there is no position to resume from.
        await until(lambda: history.gaps, consumer.snapshot)
        for number in range(12):
            await history.write("chat")
            await until(lambda: history.numbers == list(range(number + 1)), consumer.snapshot)  # noqa: B023
            await expired(rolling, consumer)
    assert len(history.gaps) == 1


async def test_records_trimmed_unread_are_a_gap_and_reading_continues(
    rolling: RollingDynamoDB, table: Table, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    history = History(table)
    with FaultyProxy(rolling.url) as proxy:
        async with consuming(history, proxy.url, monkeypatch, rng) as consumer:
            await history.write("read")
            await until(lambda: history.heard)
            proxy.inject(UNREADABLE)
            await until(lambda: proxy.injected[UNREADABLE.name])
            await history.write("unread")
            await asyncio.to_thread(rolling.roll)
            await history.write("unread")
            await asyncio.to_thread(rolling.age, TRIMMED)
            assert history.gaps == []
            proxy.clear()
            await until(lambda: history.gaps, consumer.snapshot)
            await history.write("after")
            await until(lambda: "after" in [name for _, name, _ in history.heard], consumer.snapshot)
            assert consumer.snapshot().mode == "stream"
    assert history.lost() == []
    listed = table.streams.describe_stream(StreamArn=table.stream_arn)["StreamDescription"]["Shards"]
    assert len(listed) >= 3


async def test_trimmed_shards_that_are_still_listed_are_skipped_at_startup(
    rolling: RollingDynamoDB, table: Table, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    history = History(table)
    for _ in range(5):
        await history.write("before")
        rolling.roll()
        rolling.age(TRIMMED)
    history.written.clear()
    async with consuming(history, rolling.url, monkeypatch, rng) as consumer:
        await history.write("after")
        await until(lambda: history.heard, consumer.snapshot)
        await asyncio.to_thread(rolling.roll)
        await history.write("after")
        await until(lambda: len(history.heard) == 2, consumer.snapshot)
        # A call that times out on a slow machine says nothing about the shards.
        assert consumer.snapshot().errors.keys() <= {"Timeout"}
    assert history.gaps == []


async def test_every_change_arrives_or_a_gap_follows_despite_any_fault(
    rolling: RollingDynamoDB, table: Table, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    history = History(table)
    outage = 0
    with FaultyProxy(rolling.url, seed=rng.randrange(2**32)) as proxy:
        async with consuming(history, proxy.url, monkeypatch, rng) as consumer:
            for _ in range(300):
                outage -= 1
                if outage == 0:
                    proxy.clear()
                match rng.choices(range(5), weights=(70, 15, 6, 2, 4))[0]:
                    case 0:
                        await history.write(f"e{rng.randrange(ITEMS)}")
                    case 1:
                        await asyncio.to_thread(rolling.roll)
                    case 2:
                        await asyncio.to_thread(rolling.age, EXPIRED)
                    case 3:
                        await asyncio.to_thread(rolling.age, TRIMMED)
                    case 4 if outage < 0:
                        proxy.inject(rng.choice((UNREADABLE, UNLISTED, UNLISTED_AND_UNREADABLE)))
                        outage = rng.randrange(1, 40)
                await asyncio.sleep(rng.choice((0, 0.001, 0.03)))
            proxy.clear()
            await until(lambda: not history.lost(), lambda: (history.lost(), consumer.snapshot()))
            # The consumer is still reading.
            await history.write("last")
            await until(lambda: history.numbers[-1:] == [len(history.written) - 1], consumer.snapshot)
    for name in {name for _, name, _ in history.heard}:
        order = [number for _, heard, number in history.heard if heard == name]
        assert list(dict.fromkeys(order)) == sorted(set(order)), history.gaps


def gaps(one: Program) -> float:
    return sample(one, "gco_stream_gaps_total")


def missed(one: Program) -> float:
    return sample(one, "gco_stream_missed_changes_total")


def test_the_program_applies_every_change_while_shards_roll_over(
    world: World, program: Callable[..., Program], rolling: RollingDynamoDB, rng: random.Random
) -> None:
    one = program().wait_working()
    names = [f"e{number}" for number in range(ITEMS)]
    for name in names:
        world.put(item(name, spec={"gpu_count": 0}))
        rolling.roll()
    until_in_desired_state(world, one, *names)
    for _ in range(60):
        name = rng.choice(names)
        seen = world.user.get(name)
        if seen is None:
            world.put(item(name, spec={"gpu_count": 0}))
            continue
        # The item may be promoted or purged between the read and the write.
        with contextlib.suppress(ItemNotFound, ConcurrentUpdate):
            match rng.randrange(6):
                case 0:
                    world.user.set_state(seen, "stopped")
                case 1:
                    world.user.set_state(seen, "deploying")
                case 2:
                    world.user.set_state(seen, "deleted")
                case _:
                    world.user.scale(seen, rng.randrange(1, 4))
        while rng.random() < 0.4:
            rolling.roll()
    until_in_desired_state(world, one, *names)
    assert (gaps(one), missed(one), scans(one)) == (0, 0, 1)
    assert one.status()["stream"]["mode"] == "stream"
    assert one.stop() == 0


def test_the_program_scans_after_a_trim_and_continues_reading(
    world: World, program: Callable[..., Program], rolling: RollingDynamoDB
) -> None:
    one = program().wait_working()
    world.put(item("first", spec={"gpu_count": 0}))
    until_in_desired_state(world, one, "first")
    assert (gaps(one), scans(one)) == (0, 1)
    one.signal(signal.SIGSTOP)
    world.put(item("trimmed", spec={"gpu_count": 0}))
    world.user.scale(world.item_of("first"), 2)
    rolling.roll()
    rolling.age(TRIMMED)
    one.signal(signal.SIGCONT)
    until_in_desired_state(world, one, "first", "trimmed")
    assert gaps(one) >= 1
    one.until(lambda: scans(one) >= 2, "the table is scanned")
    known = sample(one, "gco_stream_records_total"), scans(one)
    world.put(item("later", spec={"gpu_count": 0}))
    rolling.roll()
    until_in_desired_state(world, one, "later")
    assert sample(one, "gco_stream_records_total") > known[0]
    assert scans(one) == known[1]


def test_an_expired_iterator_of_an_idle_shard_causes_one_scan(
    world: World, program: Callable[..., Program], rolling: RollingDynamoDB
) -> None:
    one = program().wait_working()
    expired_in(one, rolling)
    one.until(lambda: scans(one) == 2, "the table is scanned")
    assert gaps(one) == 1
    world.put(item(spec={"gpu_count": 0}))
    until_in_desired_state(world, one, "chat")
    expired_in(one, rolling)
    world.user.scale(world.item_of("chat"), 2)
    until_in_desired_state(world, one, "chat")
    assert (gaps(one), scans(one), missed(one)) == (1, 2, 0)


def expired_in(one: Program, rolling: RollingDynamoDB) -> None:
    """Does what `expired` does, for a program."""

    def count() -> int:
        return int(one.status()["stream"]["errors"].get("ExpiredIteratorException", 0))

    before = count()
    for _ in range(20):
        rolling.age(EXPIRED)
        with contextlib.suppress(AssertionError):
            one.until(lambda: count() > before, "an iterator has expired", REFUSED_WITHIN)
            return
    raise AssertionError("no iterator has expired")
