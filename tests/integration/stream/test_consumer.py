"""The stream consumer on a real stream of DynamoDB Local, through the real client."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gco_stream.aws.session import streams_client
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.servers import dynamodb
from gco_stream.stream.consumer import StreamConsumer, StreamLocation, StreamTimes
from gco_stream.table.bootstrap import create
from tests.support.record_processor import RecordProcessorFuncs

pytestmark = pytest.mark.integration

TIMES = StreamTimes(poll_interval=0.02)
PATIENCE = 120


class ConsumerLog:
    """A consumer of one table's stream and everything that it reported."""

    def __init__(self, streams, tables, table_name, times):
        self._tables = tables
        self._table_name = table_name
        self.records = []
        self.gaps = []
        self.modes = []
        self.consumer = StreamConsumer(
            streams,
            self._locate,
            RecordProcessorFuncs(
                on_record=self.records.append,
                on_gap=self.gaps.append,
                on_mode=lambda mode, _: self.modes.append(mode),
            ),
            times,
        )

    @property
    def names(self):
        return [record.name for record in self.records]

    @property
    def mode(self):
        return self.consumer.snapshot().mode

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - what is waited for has no events
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.consumer.run())
            yield
            task.cancel()

    async def _locate(self):
        table = (await asyncio.to_thread(self._tables.describe_table, TableName=self._table_name))["Table"]
        enabled = bool(table.get("StreamSpecification", {}).get("StreamEnabled"))
        return StreamLocation(table.get("LatestStreamArn"), enabled)


@asynccontextmanager
async def consumer_of(url, monkeypatch, tables, table_name, times=TIMES):
    for name, value in dynamodb.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", url)
    async with streams_client(dynamodb.REGION) as streams:
        yield ConsumerLog(streams, tables, table_name, times)


@pytest.fixture
async def heard(control_plane, table, monkeypatch):
    async with consumer_of(control_plane.dynamodb_url, monkeypatch, table.client, table.name) as heard:
        yield heard


@pytest.fixture
def put(table):
    async def put(name, **attributes):
        item = {"endpoint_name": {"S": name}, **attributes}
        await asyncio.to_thread(table.client.put_item, TableName=table.name, Item=item)

    return put


async def set_stream(table, **specification):
    await asyncio.to_thread(table.client.update_table, TableName=table.name, StreamSpecification=specification)


async def test_changes_after_the_pin_arrive_in_order_with_their_images(heard, table, put):
    await put("before")
    await heard.consumer.pin()
    async with heard.running():
        await put("chat", n={"N": "1"})
        await put("chat", n={"N": "2"})
        await asyncio.to_thread(table.client.delete_item, TableName=table.name, Key={"endpoint_name": {"S": "chat"}})
        await heard.until(lambda: len(heard.records) == 3)
    first, second = ({"endpoint_name": {"S": "chat"}, "n": {"N": number}} for number in "12")
    assert [(record.event, record.name, record.old, record.new) for record in heard.records] == [
        ("INSERT", "chat", None, first),
        ("MODIFY", "chat", first, second),
        ("REMOVE", "chat", second, None),
    ]
    numbers = [int(record.sequence_number) for record in heard.records]
    assert numbers == sorted(set(numbers))
    assert {record.created.tzinfo is not None for record in heard.records} == {True}


async def test_a_scan_after_the_pin_and_the_stream_together_miss_nothing(heard, table, put):
    written = set()
    scanned = set()

    async def user():
        for number in range(150):
            await put(f"e{number}")
            written.add(f"e{number}")

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(user())
        await heard.until(lambda: len(written) > 20)
        await heard.consumer.pin()
        async with heard.running():
            page = await asyncio.to_thread(table.client.scan, TableName=table.name, ConsistentRead=True)
            scanned |= {item["endpoint_name"]["S"] for item in page["Items"]}
            await writing
            await heard.until(lambda: scanned | set(heard.names) == written)
    assert scanned - set(heard.names)
    assert heard.gaps == []


async def test_thousands_of_changes_arrive_once_each_and_in_order(heard, table):
    names = [f"e{number}" for number in range(2500)]
    await heard.consumer.pin()

    def write():
        for begin in range(0, len(names), 25):
            puts = [{"PutRequest": {"Item": {"endpoint_name": {"S": name}}}} for name in names[begin : begin + 25]]
            table.client.batch_write_item(RequestItems={table.name: puts})

    # Written before the first read, so that pages are full.
    await asyncio.to_thread(write)
    async with heard.running():
        await heard.until(lambda: len(heard.names) >= len(names))
    assert sorted(heard.names) == sorted(names)
    numbers = [int(record.sequence_number) for record in heard.records]
    assert numbers == sorted(numbers)
    assert heard.consumer.snapshot().records == len(names)


async def test_a_keys_only_stream_delivers_keys(heard, table, put):
    await set_stream(table, StreamEnabled=False)
    await set_stream(table, StreamEnabled=True, StreamViewType="KEYS_ONLY")
    await heard.consumer.pin()
    async with heard.running():
        await put("chat")
        await heard.until(lambda: heard.records)
    (record,) = heard.records
    assert (record.name, record.event, record.new, record.old) == ("chat", "INSERT", None, None)


async def test_a_table_without_a_stream_is_polled(heard, table):
    await set_stream(table, StreamEnabled=False)
    await heard.consumer.pin()
    assert heard.modes == ["poll"]
    assert heard.consumer.snapshot().reason == "the table's stream is disabled"


async def test_a_recreated_stream_is_followed_after_one_gap(heard, table, put):
    await heard.consumer.pin()
    async with heard.running():
        await put("old")
        await heard.until(lambda: heard.names)
        await set_stream(table, StreamEnabled=False)
        await set_stream(table, StreamEnabled=True, StreamViewType="NEW_AND_OLD_IMAGES")
        await heard.until(lambda: heard.gaps and heard.consumer.snapshot().arn not in {None, table.stream_arn})
        await put("new")
        await heard.until(lambda: "new" in heard.names)
    assert heard.names == ["old", "new"]
    assert heard.mode == "stream"


async def test_a_stream_that_is_turned_off_is_noticed(heard, table):
    await heard.consumer.pin()
    async with heard.running():
        await set_stream(table, StreamEnabled=False)
        await heard.until(lambda: heard.mode == "poll")
    assert heard.modes == ["stream", "poll"]
    assert len(heard.gaps) == 1


@pytest.fixture(scope="module")
def own_plane(tmp_path_factory):
    """A control plane whose DynamoDB the tests of this module freeze and restart."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), controllers=False) as plane:
        yield plane


async def test_a_server_that_does_not_answer_for_a_time_costs_no_record(own_plane, monkeypatch):
    server = own_plane.servers["dynamodb"]
    tables = dynamodb.client(own_plane.dynamodb_url)
    create(tables, "endpoints")
    item = {"endpoint_name": {"S": "chat"}}
    times = StreamTimes(TIMES.poll_interval, call_timeout=1.0)
    async with consumer_of(own_plane.dynamodb_url, monkeypatch, tables, "endpoints", times) as heard:
        await heard.consumer.pin()
        async with heard.running():
            server.freeze()
            writing = asyncio.create_task(asyncio.to_thread(tables.put_item, TableName="endpoints", Item=item))
            await heard.until(lambda: heard.consumer.snapshot().errors.get("Timeout", 0) >= 3)
            server.thaw()
            await writing
            await heard.until(lambda: heard.names)
    tables.close()
    assert heard.names == ["chat"]
    assert heard.gaps == []


async def test_a_recreated_table_is_found(own_plane, monkeypatch):
    tables = dynamodb.client(own_plane.dynamodb_url)
    create(tables, "recreated")
    async with consumer_of(own_plane.dynamodb_url, monkeypatch, tables, "recreated") as heard:
        await heard.consumer.pin()
        old = heard.consumer.snapshot().arn
        async with heard.running():
            await asyncio.to_thread(own_plane.restart, "dynamodb")
            await asyncio.to_thread(create, tables, "recreated")
            await heard.until(lambda: heard.consumer.snapshot().arn not in {None, old})
            item = {"endpoint_name": {"S": "chat"}}
            await asyncio.to_thread(tables.put_item, TableName="recreated", Item=item)
            await heard.until(lambda: heard.names)
    tables.close()
    assert heard.gaps
    assert heard.mode == "stream"
