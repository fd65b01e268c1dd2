"""Conversion between plain values and DynamoDB's AttributeValue form, and digests of items.

boto3's TypeDeserializer takes about twice as long, and a resync reads every item.
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
# DynamoDB's numbers end at 9.9e125. Larger ones are rejected because converting 1e1000000 to an int takes minutes.
_LARGEST_EXPONENT = 150
_NOT_INTENT = ("region_status", "updated_at")


def decode(item: Mapping[str, Any]) -> dict[str, Any]:
    """Converts an item to plain values.

    Integral numbers become int, others Decimal; sets become frozensets. Raises ValueError if the item is not in
    DynamoDB's form.
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
    """Converts plain values to their AttributeValue form; the inverse of `decode`."""
    return {name: encode_value(value) for name, value in item.items()}


def encode_value(value: Any) -> dict[str, Any]:
    """Converts one plain value to an AttributeValue. Raises ValueError for a type that DynamoDB does not support."""
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
            # DynamoDB stores decimals, not binary floats: repr is the shortest text that converts back to the same
            # float.
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
    """Digest of what the user requests: desired_state, target_regions and spec, including unknown attributes.

    deploying and running have the same intent, because promotion is not a change by the user. target_regions count as a
    set, and numbers by value, so 1, 1.0 and 1E0 are equal.
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
    """Digest of everything except region_status and updated_at. Items with the same digest need the same plan."""
    content = {name: _canonical(value) for name, value in item.items() if name not in _NOT_INTENT}
    return _digest(content)


def _digest(value: Any) -> str:
    return hashlib.sha256(_dumps(value)).hexdigest()


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # DynamoDB never stores lone surrogates, which are not valid UTF-8, but JSON escapes can contain them.
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
