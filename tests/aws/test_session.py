"""How the clients identify themselves."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gco_stream import __version__
from gco_stream.aws.session import streams_client, table_client

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("client", "call"),
    [
        (table_client, lambda client: client.describe_table(TableName="endpoints")),
        (streams_client, lambda client: client.list_streams(TableName="endpoints")),
    ],
    ids=["table", "streams"],
)
async def test_each_call_sends_the_program_name_and_version(
    client: Callable[[str], Any], call: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        names.append(request.headers["User-Agent"])
        return web.json_response({})

    application = web.Application()
    application.router.add_post("/", handler)
    async with TestServer(application) as server:
        for name in ("DYNAMODB", "DYNAMODB_STREAMS"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", str(server.make_url("/")))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unit")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unit")
        async with client("us-east-1") as opened:
            await call(opened)
    assert [name.partition(" botocore/")[0] for name in names] == [f"gco-stream/{__version__}"]
