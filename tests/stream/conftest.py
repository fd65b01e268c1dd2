"""Fixtures with a scripted stream and a consumer that reads it with the real client."""

from collections.abc import AsyncIterator

import pytest

from tests.stream.scripted.doors import client_in_memory
from tests.stream.scripted.server import ScriptedDynamoDB
from tests.stream.support.consumer_log import ConsumerLog, aws_session


@pytest.fixture
async def streams() -> ScriptedDynamoDB:
    return ScriptedDynamoDB("s1")


@pytest.fixture
async def heard(streams: ScriptedDynamoDB) -> AsyncIterator[ConsumerLog]:
    async with client_in_memory(streams, aws_session()) as client:
        yield ConsumerLog(streams, client)
