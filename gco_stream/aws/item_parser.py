"""DynamoDB's JSON answers without botocore's walk over every value, for the answers that carry items.

botocore's parser visits each attribute value by its model only to hand back the same dicts and strings: for 10,000
items that is seconds of CPU, in stalls of a page each. All but binary values and the records' times are JSON already.
Errors, other operations and pages with binary values go botocore's way. Registered as botocore's documented component
"response_parser_factory", so it serves every operation of a session.
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

# What each answer has to hold to be DynamoDB's; an empty, cut or foreign body would otherwise look like no items.
_REQUIRED: Final[Mapping[str, str]] = {
    "ScanOutput": "Items",
    "GetRecordsOutput": "Records",
    "GetItemOutput": "",
    "UpdateItemOutput": "",
}
# A binary value is base64 in JSON and bytes in botocore's answer. An attribute of this name costs only the short cut.
_BINARY: Final = (b'"B":', b'"BS":')
_PAGE: Final = 64 * 1024
# Half a character, which JSON's escapes can say and UTF-8 cannot.
_SURROGATES: Final = (b"\\ud", b"\\uD")


class _Parser(Protocol):
    async def parse(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any]: ...


class _Factory(Protocol):
    def create_parser(self, protocol_name: str) -> Any: ...

    def set_parser_defaults(self, **defaults: Any) -> None: ...


class ItemParserFactory:
    """Stands in for botocore's ResponseParserFactory: the same parsers, with the short cut before DynamoDB's."""

    def __init__(self, botocores: _Factory) -> None:
        self._botocores = botocores

    def set_parser_defaults(self, **defaults: Any) -> None:
        """As botocore's."""
        self._botocores.set_parser_defaults(**defaults)

    def create_parser(self, protocol_name: str) -> Any:
        """The parser of one answer."""
        parser = self._botocores.create_parser(protocol_name)
        return ItemParser(parser) if protocol_name == "json" else parser


class ItemParser:
    """Parses one answer.

    Raises botocore's HTTPClientError for a body that is not DynamoDB's where botocore itself would answer `{}` or fail
    with an error of its own making.
    """

    def __init__(self, botocores: _Parser) -> None:
        self._botocores = botocores

    async def parse(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any]:
        """The answer as botocore would give it. `response`: status_code, headers, body; `shape`: the output's model."""
        body = response["body"]
        if any(marker in body for marker in _SURROGATES):
            # One item with such text must not hide all others of its page.
            body = _whole_text(body)
            response = {**response, "body": body}
        if response["status_code"] >= 300 or shape is None or shape.name not in _REQUIRED:
            return await self._by_botocore(response, shape)
        if response["status_code"] != 200:
            raise HTTPClientError(error=f"an answer of status {response['status_code']}")
        parsed = _load(body)
        if _REQUIRED[shape.name] not in {"", *parsed}:
            raise HTTPClientError(error=f"an answer without {_REQUIRED[shape.name]}")
        if any(marker in body for marker in _BINARY):
            return await self._by_botocore(response, shape)
        records = parsed.get("Records") or ()
        if not isinstance(records, list | tuple) or not all(isinstance(record, dict) for record in records):
            raise HTTPClientError(error="an answer whose Records are not records")
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
            # botocore trusts the body to have the model's form; a proxy's page need not.
            raise HTTPClientError(error=f"a body that is not DynamoDB's ({type(error).__name__})") from error


def _load(body: bytes) -> dict[str, Any]:
    try:
        with _without_collection(len(body)):
            parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPClientError(error=f"a body that is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise HTTPClientError(error="a body that is not a JSON object")
    return parsed


def _whole_text(body: bytes) -> bytes:
    """The same JSON with ? for every half of a character."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return body


@contextmanager
def _without_collection(size: int) -> Iterator[None]:
    """No garbage collection while a page is made: its thousands of new dicts would set off several for nothing."""
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
            raise HTTPClientError(error=f"an answer with a record of no time that there is: {seconds:g}") from error
