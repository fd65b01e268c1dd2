"""A table that never responds: each call times out, independent of the client's own timeout."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiobotocore.session import AioSession
from tenacity import wait_none

from gco_stream.aws.errors import Unreachable
from gco_stream.aws.session import new_session
from gco_stream.table import endpoints
from gco_stream.table.endpoints import EndpointTable
from tests.stream.scripted.doors import client_in_memory
from tests.stream.scripted.faults import Hang
from tests.stream.scripted.server import TABLE, ScriptedDynamoDB

pytestmark = pytest.mark.looptime(noop_cycles=2)

SECONDS = 3.0
PAGE_TRIES = 4
ITEM = {"endpoint_name": {"S": "chat"}, "desired_state": {"S": "deploying"}}


@functools.cache
def aws_session() -> AioSession:
    """One session for all tests, because reading AWS' models takes longer than a test."""
    return new_session()


@pytest.fixture
async def streams() -> ScriptedDynamoDB:
    return ScriptedDynamoDB("s1")


@pytest.fixture
async def table(streams: ScriptedDynamoDB) -> AsyncIterator[EndpointTable]:
    async with client_in_memory(streams, aws_session(), "dynamodb", timeout=6000) as client:
        yield EndpointTable(client, TABLE, timeout=SECONDS)


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("DescribeTable", lambda table: table.describe()),
        ("GetItem", lambda table: table.get("chat")),
        ("UpdateItem", lambda table: table.write_status("chat", "us-east-1", {"state": "running"}, epoch=1)),
        ("UpdateItem", lambda table: table.promote(ITEM)),
        ("DeleteItem", lambda table: table.purge(ITEM)),
    ],
    ids=["describe", "get", "write_status", "promote", "purge"],
)
async def test_a_call_without_a_response_times_out(
    streams: ScriptedDynamoDB,
    table: EndpointTable,
    operation: str,
    call: Callable[[EndpointTable], Awaitable[object]],
) -> None:
    streams.fail(operation, Hang())
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unreachable, match="in time"):
        await call(table)
    assert asyncio.get_running_loop().time() - began == pytest.approx(SECONDS, abs=0.1)
    assert [sent.operation for sent in streams.calls] == [operation]


async def test_a_page_without_a_response_fails_the_scan_after_four_attempts(
    streams: ScriptedDynamoDB, table: EndpointTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "wait_random_exponential", lambda **_: wait_none())
    streams.fail("Scan", Hang(), times=100)
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unreachable, match="in time"):
        await anext(aiter(table.scan()))
    assert asyncio.get_running_loop().time() - began == pytest.approx(PAGE_TRIES * SECONDS, abs=0.1)
    assert len(streams.calls) == PAGE_TRIES
