"""Conversion between plain values and DynamoDB's AttributeValue form, and digests of items.

boto3's TypeDeserializer takes about twice as long, which matters because a resync reads every item.
"""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

WireItem = dict[str, Any]
"""An item in wire form: attribute name -> {"S": …} | {"N": …} | {"M": …} | …"""

INTENT_PREFIX = "1:"
# DynamoDB's limit is 9.99e125. Much larger numbers are rejected because converting 1e1000000 to an int takes minutes.
_LARGEST_EXPONENT = 150
_NOT_INTENT = ("region_status", "updated_at")


def decode(item: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an item to plain values.

    Whole numbers become int, all others Decimal. Sets become frozensets. Raises ValueError if an attribute is not a
    valid AttributeValue.
    """
    return {name: decode_value(value) for name, value in item.items()}


def decode_value(value: Mapping[str, Any]) -> Any:
    """Converts one AttributeValue to a plain value; see `decode`."""
    try:
        ((tag, content),) = value.items()
    except (AttributeError, ValueError):
        raise ValueError(f"not a DynamoDB attribute value: {value!r:.80}") from None
    match tag:
        case "S" | "BOOL" | "B":
            return content
        case "N":
            return _number(content)
        case "M":
            return {name: decode_value(inner) for name, inner in content.items()}
        case "L":
            return [decode_value(inner) for inner in content]
        case "NULL":
            return None
        case "SS" | "BS":
            return frozenset(content)
        case "NS":
            return frozenset(map(_number, content))
        case _:
            raise ValueError(f"not a DynamoDB attribute type: {tag!r:.20}")


def _number(text: str) -> int | Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(f"not a DynamoDB number: {text!r:.20}")
    integral = number.to_integral_value()
    return int(integral) if number == integral else number


def encode(item: Mapping[str, Any]) -> WireItem:
    """Converts plain values to AttributeValues; see `encode_value`."""
    return {name: encode_value(value) for name, value in item.items()}


def encode_value(value: Any) -> dict[str, Any]:
    """Converts one plain value to an AttributeValue.

    Raises ValueError for any other type, and for a set that is empty or contains anything other than strings.
    """
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": str(value)}
        case float():
            # DynamoDB stores decimal numbers. repr returns the shortest decimal that converts back to the same float.
            return {"N": repr(value)}
        case Mapping():
            return {"M": encode(value)}
        case list() | tuple():
            return {"L": [encode_value(inner) for inner in value]}
        case bytes():
            return {"B": value}
        case set() | frozenset() if value and all(isinstance(inner, str) for inner in value):
            return {"SS": sorted(value)}
        case _:
            raise ValueError(f"DynamoDB does not support values of type {type(value).__name__}: {value!r:.80}")


def intent_of(item: Mapping[str, Any]) -> str:
    """Returns a digest of the desired state: desired_state, target_regions and the spec with its unknown attributes.

    deploying and running have the same digest, because the controller itself changes deploying to running. The order of
    target_regions does not matter. Numbers are compared by value, so 1, 1.0 and 1E0 are equal.
    """
    state = item.get("desired_state", {"S": "running"})
    regions = item.get("target_regions", {"NULL": True})
    if "L" in regions:
        regions = {"SET": sorted({_dumps(_canonical(region)).decode() for region in regions["L"]})}
    elif "SS" in regions:
        regions = {"SET": sorted({_dumps({"S": region}).decode() for region in regions["SS"]})}
    else:
        regions = _canonical(regions)
    intent = {
        "desired_state": {"S": "running"} if state == {"S": "deploying"} else _canonical(state),
        "target_regions": regions,
        "spec": _canonical(item.get("spec", {"NULL": True})),
    }
    return INTENT_PREFIX + _digest(intent)


def change_digest(item: Mapping[str, Any]) -> str:
    """Returns a digest of all attributes except region_status and updated_at."""
    content = {name: _canonical(value) for name, value in item.items() if name not in _NOT_INTENT}
    return _digest(content)


def _digest(value: Any) -> str:
    return hashlib.sha256(_dumps(value)).hexdigest()


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # orjson rejects lone surrogates. DynamoDB cannot store them, but an item from a JSON file can contain them.
        return json.dumps(value, sort_keys=True).encode()


def _canonical(value: Mapping[str, Any]) -> Any:
    ((tag, content),) = value.items()
    match tag:
        case "M":
            return {"M": {name: _canonical(inner) for name, inner in content.items()}}
        case "L":
            return {"L": [_canonical(inner) for inner in content]}
        case "N":
            return {"N": _plain_number(content)}
        case "NS":
            return {"NS": sorted(map(_plain_number, content))}
        case "SS":
            return {"SS": sorted(content)}
        case "B":
            return {"B": content.hex()}
        case "BS":
            return {"BS": sorted(inner.hex() for inner in content)}
        case _:
            return {tag: content}


def _plain_number(text: str) -> str:
    plain = format(Decimal(text), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in {"-0", ""} else plain
