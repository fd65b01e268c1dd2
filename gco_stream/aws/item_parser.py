"""Fast parser for DynamoDB responses that contain items or stream records.

botocore's parser walks each attribute value according to the service model, only to return the same dicts and strings.
For 10,000 items, this takes seconds of CPU time and blocks the event loop for each page. Only binary values and the
times of stream records differ from the JSON. Error responses, other operations, and responses with binary values are
still parsed by botocore.

The factory is registered as botocore's component "response_parser_factory", so it creates the parsers for all
operations of a session.
"""

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
from botocore.exceptions import HTTPClientError
from botocore.parsers import ResponseParserError

# Member that must be present in a response ("": none), by output shape. Without this check, an empty body, or one that
# is not from DynamoDB, would look like a page without items.
_REQUIRED: Final[Mapping[str, str]] = {
    "ScanOutput": "Items",
    "GetRecordsOutput": "Records",
    "GetItemOutput": "",
    "UpdateItemOutput": "",
}
# Markers of binary values, which are base64 in JSON but bytes in botocore's result. An attribute named B or BS also
# matches, which only disables the fast path.
_BINARY: Final = (b'"B":', b'"BS":')
# Smallest body, in bytes, for which garbage collection is suspended.
_PAGE: Final = 64 * 1024
# Escapes of surrogates. JSON can contain lone surrogates, but UTF-8 cannot encode them.
_SURROGATES: Final = (b"\\ud", b"\\uD")


class _Parser(Protocol):
    async def parse(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any]: ...


class _Factory(Protocol):
    def create_parser(self, protocol_name: str) -> Any: ...

    def set_parser_defaults(self, **defaults: Any) -> None: ...


class ItemParserFactory:
    """Replacement for botocore's ResponseParserFactory that adds the fast path to parsers for DynamoDB."""

    def __init__(self, botocores: _Factory) -> None:
        self._botocores = botocores

    def set_parser_defaults(self, **defaults: Any) -> None:
        """Passes the defaults on to botocore's factory."""
        self._botocores.set_parser_defaults(**defaults)

    def create_parser(self, protocol_name: str) -> Any:
        """Creates a parser for responses in the given protocol."""
        parser = self._botocores.create_parser(protocol_name)
        return ItemParser(parser) if protocol_name == "json" else parser


class ItemParser:
    """Parser for responses from DynamoDB and DynamoDB Streams.

    Raises HTTPClientError for a body that is not from DynamoDB. botocore's parser would return `{}` or fail with an
    internal error.
    """

    def __init__(self, botocores: _Parser) -> None:
        self._botocores = botocores

    async def parse(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any]:
        """Parses a response into the same dict that botocore's parser returns.

        `response`: dict with status_code, headers and body. `shape`: botocore's model of the output.
        """
        body = response["body"]
        if any(marker in body for marker in _SURROGATES):
            # One item with invalid text must not make the whole page unreadable.
            body = _whole_text(body)
            response = {**response, "body": body}
        if response["status_code"] >= 300 or shape is None or shape.name not in _REQUIRED:
            return await self._by_botocore(response, shape)
        if response["status_code"] != 200:
            raise HTTPClientError(error=f"unexpected HTTP status {response['status_code']}")
        parsed = _load(body)
        if _REQUIRED[shape.name] not in {"", *parsed}:
            raise HTTPClientError(error=f"response has no {_REQUIRED[shape.name]}")
        if any(marker in body for marker in _BINARY):
            return await self._by_botocore(response, shape)
        records = parsed.get("Records") or ()
        if not isinstance(records, list | tuple) or not all(isinstance(record, dict) for record in records):
            raise HTTPClientError(error="response has invalid Records")
        for record in records:
            _with_time(record)
        parsed = {name: value for name, value in parsed.items() if value is not None}
        headers = {str(name).lower(): value for name, value in response["headers"].items()}
        parsed["ResponseMetadata"] = {
            "HTTPStatusCode": 200,
            "HTTPHeaders": headers,
            **({"RequestId": headers["x-amzn-requestid"]} if "x-amzn-requestid" in headers else {}),
        }
        return parsed

    async def _by_botocore(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any]:
        try:
            return await self._botocores.parse(response, shape)
        except (AttributeError, TypeError, KeyError, ValueError, ResponseParserError) as error:
            # botocore assumes that the body matches the model, but it may be a proxy's error page.
            raise HTTPClientError(error=f"response body is not from DynamoDB ({type(error).__name__})") from error


def _load(body: bytes) -> dict[str, Any]:
    try:
        with _without_collection(len(body)):
            parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPClientError(error=f"response body is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise HTTPClientError(error="response body is not a JSON object")
    return parsed


def _whole_text(body: bytes) -> bytes:
    """Returns the same JSON with each lone surrogate replaced by ?; returns invalid JSON unchanged."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return body


@contextmanager
def _without_collection(size: int) -> Iterator[None]:
    """Suspends garbage collection while a large body is parsed; its new dicts would trigger useless collections."""
    if size < _PAGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _with_time(record: dict[str, Any]) -> None:
    change = record.get("dynamodb")
    if isinstance(change, dict) and isinstance(seconds := change.get("ApproximateCreationDateTime"), int | float):
        try:
            change["ApproximateCreationDateTime"] = datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise HTTPClientError(error=f"response has a record with an invalid time: {seconds:g}") from error
