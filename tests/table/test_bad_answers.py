"""Responses of an unhealthy DynamoDB, or of a proxy in front of it: none of them may pass for an empty table."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import AioSession
from aiohttp import web
from aiohttp.test_utils import TestServer
from tenacity import wait_none

from gco_stream.aws import session as clients
from gco_stream.aws.errors import (
    AccessDenied,
    AWSError,
    Contended,
    NotFound,
    Rejected,
    Throttled,
    Unreachable,
)
from gco_stream.local.certificates import Authority
from gco_stream.table import endpoints
from gco_stream.table.endpoints import EndpointTable

pytestmark = pytest.mark.slow

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGE = {"Items": [{"endpoint_name": {"S": "chat"}}], "Count": 1, "ScannedCount": 1}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one certificate authority. Each client reads one, and the default takes longer than a test."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    path.write_bytes(Authority().certificate)
    return path


@pytest.fixture(autouse=True)
def environment(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unit")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unit")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))


@pytest.fixture(autouse=True)
def no_wait_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries pages at once, because these tests only check how often and with which result."""
    monkeypatch.setattr(endpoints, "wait_random_exponential", lambda **_: wait_none())


@functools.cache
def aws_session() -> AioSession:
    """One session for all tests, because reading AWS' models takes longer than a test."""
    return clients.new_session()


@asynccontextmanager
async def answering(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, seconds: float = 5, session: AioSession | None = None
) -> AsyncIterator[EndpointTable]:
    """A table whose requests are answered by `handler`."""
    application = web.Application()
    application.router.add_post("/", handler)
    async with TestServer(application) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", str(server.make_url("/")))
        async with clients.table_client("us-east-1", timeout=seconds, session=session or aws_session()) as client:
            yield EndpointTable(client, "endpoints", timeout=seconds)


def always(body: Any, status: int = 200) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=content, status=status, content_type="application/x-amz-json-1.0")

    return handler


def error(name: str, message: str = "because", status: int = 400) -> Handler:
    return always({"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": message}, status)


NOT_A_PAGE = {
    "empty": b"",
    "cut": b'{"Count": 1, "Items": [{"endpoint_na',
    "html": b"<html>sign in to the guest network</html>",
    "not-utf8": b"\xff\xfe",
    "nothing": {},
    "null": b"null",
    "list": [],
    "text": "hello",
    "no-count": {"Items": []},
    "fewer-than-counted": {**PAGE, "Count": 2},
    "items-null": {"Items": None, "Count": 0},
    "items-are-a-map": {"Items": {}, "Count": 0},
}


@pytest.mark.parametrize("body", NOT_A_PAGE.values(), ids=NOT_A_PAGE)
async def test_an_invalid_page_is_an_error_and_not_an_empty_table(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(always(body), monkeypatch) as table:
        with pytest.raises(Unreachable):
            await anext(aiter(table.scan()))


@pytest.mark.parametrize("body", [b"", b'{"Item": {', b"<html></html>", b"null", b"[]"])
async def test_a_foreign_body_is_not_a_missing_item(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(always(body), monkeypatch) as table:
        with pytest.raises(Unreachable):
            await table.get("chat")


@pytest.mark.parametrize("status", [201, 204])
async def test_any_other_success_status_is_an_error(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(always(b"" if status == 204 else {}, status), monkeypatch) as table:
        with pytest.raises(Unreachable):
            await table.get("chat")
        with pytest.raises(Unreachable):
            await anext(aiter(table.scan()))


@pytest.mark.parametrize(
    "answer",
    [
        error("ConditionalCheckFailedException"),
        error("ValidationException", "The document path provided in the update expression is invalid for update"),
    ],
)
async def test_errors_specific_to_writes_reject_any_other_call(
    answer: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(answer, monkeypatch) as table:
        for call in (table.get("chat"), table.describe(), anext(aiter(table.scan()))):
            with pytest.raises(Rejected):
                await call


async def test_an_invalid_document_path_rejects_a_promotion_or_purge(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {"endpoint_name": {"S": "chat"}}
    async with answering(error("ValidationException", "The document path is invalid"), monkeypatch) as table:
        with pytest.raises(Rejected):
            await table.promote(seen)
        with pytest.raises(Rejected):
            await table.purge(seen)


@pytest.mark.parametrize("body", [b"", b'{"Attributes": {', b"<html></html>", b"{}", b"[]", b'"hello"'])
async def test_a_truncated_response_leaves_the_outcome_of_a_write_unknown(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(always(body), monkeypatch) as table:
        with pytest.raises(Unreachable):
            await table.write_status("chat", "us-east-1", {"state": "running"}, epoch=1)
        with pytest.raises(Unreachable):
            await table.promote({"endpoint_name": {"S": "chat"}})


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (error("ResourceNotFoundException"), NotFound),
        (error("AccessDeniedException"), AccessDenied),
        (error("UnrecognizedClientException"), AccessDenied),
        (error("ExpiredTokenException"), AccessDenied),
        (error("ProvisionedThroughputExceededException"), Throttled),
        (error("ReplicatedWriteConflictException"), Contended),
        (error("TransactionConflictException"), Contended),
        (error("ThrottlingException"), Throttled),
        (error("RequestLimitExceeded"), Throttled),
        (error("ValidationException"), Rejected),
        (error("InternalServerError", status=500), Unreachable),
        (error("ServiceUnavailable", status=503), Unreachable),
        (always(b"", 500), Unreachable),
        (always(b"<html>bad gateway</html>", 502), Unreachable),
        (always(b"forbidden by the proxy", 403), AccessDenied),
        (always([], 400), Unreachable),
        (always("hello", 404), Unreachable),
    ],
)
async def test_each_error_response_maps_to_its_error_class(
    handler: Handler, kind: type[AWSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(handler, monkeypatch) as table:
        with pytest.raises(AWSError) as caught:
            await table.get("chat")
        assert type(caught.value) is kind
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("trouble", [error("ThrottlingException"), always(b"", 503), always({**PAGE, "Count": 3})])
async def test_a_page_that_fails_temporarily_is_retried(trouble: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(await request.json())
        if len(asked) == 2:
            return await trouble(request)
        more = {"LastEvaluatedKey": {"endpoint_name": {"S": "chat"}}} if len(asked) == 1 else {}
        return await always({**PAGE, **more})(request)

    async with answering(handler, monkeypatch) as table:
        assert [page async for page in table.scan()] == [PAGE["Items"]] * 2
    assert asked[1] == asked[2] != asked[0]


async def test_a_denied_scan_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return await error("AccessDeniedException")(request)

    async with answering(handler, monkeypatch) as table:
        with pytest.raises(AccessDenied):
            await anext(aiter(table.scan()))
    assert len(asked) == 1


@pytest.mark.parametrize(
    "handler", [error("ThrottlingException"), always(b"", 500), error("InternalServerError", status=500)]
)
async def test_a_write_is_sent_once_regardless_of_the_response(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    async def counting(request: web.Request) -> web.StreamResponse:
        sent.append(request)
        return await handler(request)

    async with answering(counting, monkeypatch) as table:
        with pytest.raises(AWSError):
            await table.write_status("chat", "us-east-1", {"state": "running"}, epoch=1)
    assert len(sent) == 1


async def test_a_timeout_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    hang_up = asyncio.Event()

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not hang_up.is_set():
            # Occasional bytes defeat a timeout between bytes, so the whole call needs one.
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    async with answering(trickle, monkeypatch, seconds=0.2) as table:
        with pytest.raises(Unreachable, match="in time"):
            await table.get("chat")
        hang_up.set()


async def test_a_refused_connection_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async with TestServer(web.Application()) as server:
        gone = str(server.make_url("/"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", gone)
    async with clients.table_client("us-east-1", session=aws_session()) as client:
        with pytest.raises(Unreachable, match="cannot be reached"):
            await EndpointTable(client, "endpoints").describe()


async def test_missing_credentials_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    async with answering(always(PAGE), monkeypatch, session=clients.new_session()) as table:
        with pytest.raises(AccessDenied, match="credentials"):
            await table.describe()


async def test_an_unknown_profile_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AccessDenied, match="nobody"):
        async with clients.table_client("us-east-1"):
            pass
