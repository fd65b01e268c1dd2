"""The fast parser returns what botocore's parser returns."""

import base64
import gc
import json
from typing import Any

import pytest
from aiobotocore.parsers import AioResponseParserFactory
from botocore.exceptions import HTTPClientError
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.aws.item_parser import ItemParserFactory

pytestmark = pytest.mark.slow

MODEL = get_session()
SHAPES = {
    "Scan": MODEL.get_service_model("dynamodb").operation_model("Scan").output_shape,
    "GetItem": MODEL.get_service_model("dynamodb").operation_model("GetItem").output_shape,
    "UpdateItem": MODEL.get_service_model("dynamodb").operation_model("UpdateItem").output_shape,
    "DescribeTable": MODEL.get_service_model("dynamodb").operation_model("DescribeTable").output_shape,
    "GetRecords": MODEL.get_service_model("dynamodbstreams").operation_model("GetRecords").output_shape,
}
HEADERS = {"X-Amzn-RequestId": "r", "x-amzn-requestid": "r", "content-type": "application/x-amz-json-1.0"}

_binary = st.binary(max_size=4).map(lambda data: base64.b64encode(data).decode())
_names = st.sampled_from(["B", "S", "Items", "endpoint_name", "é"])
_values = st.recursive(
    st.one_of(
        st.text(max_size=4).map(lambda text: {"S": text}),
        st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: {"N": str(number)}),
        st.booleans().map(lambda flag: {"BOOL": flag}),
        st.just({"NULL": True}),
        st.lists(st.text(max_size=2), min_size=1, max_size=2).map(lambda texts: {"SS": texts}),
        _binary.map(lambda data: {"B": data}),
        st.lists(_binary, min_size=1, max_size=2).map(lambda data: {"BS": data}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: {"L": values}),
        st.dictionaries(_names, inner, max_size=3).map(lambda values: {"M": values}),
    ),
    max_leaves=6,
)
_items = st.dictionaries(_names, _values, max_size=3)


async def parsed(operation: str, body: Any, *, fast: bool, status: int = 200) -> dict[str, Any]:
    factory: Any = AioResponseParserFactory()
    parser = (ItemParserFactory(factory) if fast else factory).create_parser("json")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = {"status_code": status, "headers": HEADERS, "body": content, "context": {"operation_name": operation}}
    answer: dict[str, Any] = await parser.parse(response, SHAPES[operation])
    return answer


async def assert_same(operation: str, body: Any, status: int = 200) -> None:
    by_botocore = await parsed(operation, body, fast=False, status=status)
    assert await parsed(operation, body, fast=True, status=status) == by_botocore


@given(items=st.lists(_items, max_size=3), key=st.none() | _items)
async def test_a_page_of_any_items_is_parsed_as_botocore_does(items: list[Any], key: Any) -> None:
    await assert_same("Scan", {"Items": items, "Count": len(items), "ScannedCount": 9, "LastEvaluatedKey": key})


@given(item=_items)
async def test_any_item_is_parsed_as_botocore_does(item: dict[str, Any]) -> None:
    await assert_same("GetItem", {"Item": item})
    await assert_same("UpdateItem", {"Attributes": item})


@given(
    image=_items,
    seconds=st.integers(0, 4_000_000_000) | st.floats(0, 4e9).map(lambda moment: round(moment, 3)),
    iterator=st.none() | st.text(max_size=5),
)
async def test_records_are_parsed_as_botocore_does(image: Any, seconds: float, iterator: str | None) -> None:
    change = {"ApproximateCreationDateTime": seconds, "NewImage": image, "SequenceNumber": "1", "SizeBytes": 3}
    record = {"eventID": "e", "eventName": "MODIFY", "dynamodb": change}
    await assert_same("GetRecords", {"Records": [record, {"eventID": "f"}], "NextShardIterator": iterator})


async def test_an_absent_item_is_parsed_as_botocore_does() -> None:
    await assert_same("GetItem", {})
    await assert_same("UpdateItem", {})


async def test_other_operations_and_errors_are_parsed_by_botocore() -> None:
    await assert_same("DescribeTable", {"Table": {"TableName": "t", "CreationDateTime": 1_795_250_000.5}})
    await assert_same("Scan", {"__type": "x#ThrottlingException", "message": "slow down"}, status=400)
    await assert_same(
        "UpdateItem", {"__type": "x#ConditionalCheckFailedException", "Item": {"a": {"S": "b"}}}, status=400
    )
    await assert_same("Scan", b"<html>", status=503)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"<html>", b"{}", b'{"records": []}'])
async def test_missing_records_are_an_error_and_not_an_empty_shard(body: bytes) -> None:
    with pytest.raises(HTTPClientError):
        await parsed("GetRecords", body, fast=True)


@pytest.mark.parametrize("body", [b"{" + b" " * 100_000, b'{"Items": []}' + b" " * 100_000])
@pytest.mark.parametrize("enabled", [True, False])
async def test_garbage_collection_is_restored(body: bytes, enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        if body.startswith(b"{ "):
            with pytest.raises(HTTPClientError):
                await parsed("Scan", body, fast=True)
        else:
            await parsed("Scan", body, fast=True)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
