"""The forms in which single values occur in items, read leniently and bounded strictly.

Numbers arrive as Decimal, integral or not, and as text; text arrives as numbers. Each type's `description` is the
sentence an author reads when the value is refused.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field


def _whole_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not a number")
    if isinstance(value, str):
        try:
            value = Decimal(value.strip())
        except InvalidOperation:
            raise ValueError("not a number") from None
    if isinstance(value, float | Decimal):
        if not Decimal(value).is_finite() or value != int(value):
            raise ValueError("not a whole number")
        return int(value)
    return value


def text_of(value: Any) -> Any:
    """Text as Kubernetes needs it, of a number or boolean in an item, as GCO's monitor wrote it (str of the value)."""
    match value:
        case bool() | int():
            return str(value)
        case Decimal():
            return str(int(value)) if value == value.to_integral_value() else str(float(value))
        case float():
            return str(int(value)) if value.is_integer() else str(value)
        case _:
            return value


NUMBER = BeforeValidator(_whole_number)
TEXT = BeforeValidator(text_of)


def bounds(low: int, high: int) -> Any:
    """The bounds of a whole number, and their description."""
    return Field(ge=low, le=high, description=f"a whole number from {low} to {high}")


def matching(pattern: str) -> AfterValidator:
    """Text must match the pattern whole."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError("does not match")
        return value

    return AfterValidator(check)


def _about(description: str, longest: int = 1024) -> Any:
    return Field(max_length=longest, description=description)


_QUALIFIED_NAME = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_QUANTITY = r"[+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3}|m|u|n|k|Ki|[MGTPE]i?)?"

FreeText = Annotated[str, TEXT, matching(r"[^\x00]*"), _about("text without NUL characters", 128 * 1024)]
Image = Annotated[
    str,
    TEXT,
    matching(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*"),
    _about("an image reference like registry/name:tag or registry/name@sha256:…, without spaces"),
]
UrlPath = Annotated[
    str,
    TEXT,
    matching(r"/[A-Za-z0-9._~!$&'()+,;=:@%/-]*"),
    _about("a URL path starting with '/', of letters, digits and ._~!$&'()+,;=:@%/-"),
]
EnvName = Annotated[
    str,
    TEXT,
    matching(r"[-._a-zA-Z][-._a-zA-Z0-9]*"),
    _about("a variable name of letters, digits, '_', '-' and '.', not starting with a digit"),
]
Quantity = Annotated[
    str, TEXT, matching(_QUANTITY), _about("a Kubernetes quantity like 500m, 2, 4Gi, not negative", 40)
]
QualifiedName = Annotated[
    str, TEXT, matching(_QUALIFIED_NAME), _about("a Kubernetes label or resource name like example.com/name", 317)
]
LabelValue = Annotated[
    str,
    TEXT,
    matching(_LABEL_VALUE),
    _about("at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit"),
]
Region = Annotated[str, TEXT, matching(r"[a-z0-9-]{1,40}"), _about("a region's name like us-east-1")]


def without_nulls(value: Any) -> Any:
    """An item's map without its NULL attributes, which mean the same as missing ones."""
    if isinstance(value, Mapping):
        return {name: inner for name, inner in value.items() if inner is not None}
    return value
