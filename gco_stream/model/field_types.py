"""Field types of items, which are lenient in form and strictly bounded.

Numbers may be Decimal, integral or not, or text; text may be a number. The `description` of each type completes the
"must be" of the error message for an invalid value.
"""

import re
from collections.abc import Callable, Mapping, Sized
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

MAX_ENTRIES = 1000
"""Maximum number of entries in one map or list of an item.

A larger one is not a plausible endpoint, and validating it would delay all others.
"""
MAX_PATH_LENGTH = 512
# The load balancer accepts patterns of up to 128 characters, and its controller creates two from a prefix: the prefix
# itself, and the prefix with /* appended.
MAX_INGRESS_PATH_LENGTH = 126

# Decimal would accept 1e1000000 as well, and converting that to an int takes minutes.
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,2})?")


def _whole_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not a number")
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            raise ValueError("not a number")
        value = Decimal(value.strip())
    if isinstance(value, float | Decimal):
        if not Decimal(value).is_finite() or value != int(value):
            raise ValueError("not a whole number")
        return int(value)
    return value


def text_of(value: Any) -> Any:
    """Converts a number or boolean of an item to text, as GCO's monitor does (str of the value)."""
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
    """Bounds of a whole number, with their description."""
    return Field(ge=low, le=high, description=f"a whole number from {low} to {high}")


def _limited_entries(value: Any) -> Any:
    if isinstance(value, Sized) and not isinstance(value, str) and len(value) > MAX_ENTRIES:
        raise ValueError(f"more than {MAX_ENTRIES} entries")
    return value


LIMITED_ENTRIES = BeforeValidator(_limited_entries)


def accepted_by(holds: Callable[[str], object]) -> AfterValidator:
    """Requires the text to satisfy `holds`."""

    def check(value: str) -> str:
        if not holds(value):
            raise ValueError("does not match")
        return value

    return AfterValidator(check)


def matching(pattern: str) -> AfterValidator:
    """Requires the whole text to match the pattern."""
    return accepted_by(re.compile(pattern).fullmatch)


def _text_field(description: str, max_length: int = 1024) -> Any:
    return Field(max_length=max_length, description=description)


# The grammar of the OCI distribution (distribution/reference), without bracketed addresses.
_HOST = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_REPOSITORY = r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"({_HOST}(\.{_HOST})*(:[0-9]+)?/)?{_REPOSITORY}(/{_REPOSITORY})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_QUALIFIED_NAME = re.compile(rf"({_DNS_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_QUANTITY = r"[+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3}|m|u|n|k|Ki|[MGTPE]i?)?"
_MAX_DOMAIN_LENGTH = 253

_URL_CHARACTER = r"([A-Za-z0-9._~!$&'()+,;=:@-]|%[0-9A-Fa-f]{2})"
_URL_PATH = re.compile(rf"(/{_URL_CHARACTER}*)+")
# The load balancer accepts no other characters in a rule, and one invalid rule blocks all other rules.
_INGRESS_PATH = re.compile(r"/|(/[A-Za-z0-9_.$~'@:+&-]+)+/?")
# Lone surrogates are not valid text, because UTF-8 cannot encode them.
_NO_TEXT = "\\x00\\ud800-\\udfff"
_S3_SOURCE = re.compile(rf"s3://[^/\x00-\x1f\x7f{_NO_TEXT}][^\x00-\x1f\x7f{_NO_TEXT}]*")
_MAX_SOURCE_LENGTH = 2048


def is_qualified_name(name: str) -> bool:
    """Whether this is a valid key of a label, taint or resource: a name with an optional domain prefix."""
    domain = name.rpartition("/")[0]
    return len(domain) <= _MAX_DOMAIN_LENGTH and _QUALIFIED_NAME.fullmatch(name) is not None


def is_url_path(path: str) -> bool:
    """Whether this is the path of a URL, without a query."""
    return len(path) <= MAX_PATH_LENGTH and _URL_PATH.fullmatch(path) is not None


def _is_ingress_path(path: str) -> bool:
    # The API server rejects segments that a client would resolve.
    return _INGRESS_PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))


def _is_model_source(source: str) -> bool:
    """Whether the source is valid. Sources other than s3:// are ignored, as in GCO, and always valid."""
    if not source.startswith("s3://"):
        return True
    return len(source) <= _MAX_SOURCE_LENGTH and _S3_SOURCE.fullmatch(source) is not None


FreeText = Annotated[
    str, TEXT, matching(rf"[^{_NO_TEXT}]*"), _text_field("text without NUL characters", max_length=128 * 1024)
]
Image = Annotated[
    str,
    TEXT,
    _text_field("an image reference such as registry/name:tag or registry/name@sha256:…, without spaces"),
    matching(_IMAGE),
]
HealthPath = Annotated[
    str,
    TEXT,
    _text_field(
        "a URL path that starts with '/' and has letters, digits, %XX and ._~!$&'()+,;=:@-, optionally with a ?query",
        MAX_PATH_LENGTH,
    ),
    matching(rf"{_URL_PATH.pattern}(\?({_URL_CHARACTER}|[/?])*)?"),
]
IngressPath = Annotated[
    str,
    TEXT,
    _text_field(
        f"a URL path that starts with '/' and has letters, digits and _.$~'@:+&-, without empty or dot segments, "
        f"at most {MAX_INGRESS_PATH_LENGTH} characters",
        MAX_INGRESS_PATH_LENGTH,
    ),
    accepted_by(_is_ingress_path),
]
ModelSource = Annotated[
    str,
    TEXT,
    _text_field("s3://bucket/key without control characters, at most 2048 characters", 128 * 1024),
    matching(rf"[^{_NO_TEXT}]*"),
    accepted_by(_is_model_source),
]
EnvName = Annotated[
    str,
    TEXT,
    _text_field("a variable name of letters, digits, '_', '-' and '.' that does not start with a digit or '..'"),
    matching(r"(?!\.\.|\.$)[-._a-zA-Z][-._a-zA-Z0-9]*"),
]
Quantity = Annotated[
    str, TEXT, _text_field("a non-negative Kubernetes quantity such as 500m, 2 or 4Gi", 40), matching(_QUANTITY)
]
QualifiedName = Annotated[
    str,
    TEXT,
    _text_field("a Kubernetes label or resource name such as example.com/name", 317),
    accepted_by(is_qualified_name),
]
LabelValue = Annotated[
    str,
    TEXT,
    _text_field("at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit"),
    matching(_LABEL_VALUE),
]
Region = Annotated[str, TEXT, _text_field("the name of a region such as us-east-1"), matching(r"[a-z0-9-]{1,40}")]


def without_nulls(value: Any) -> Any:
    """Returns a map of an item without its NULL attributes, which mean the same as missing ones."""
    if isinstance(value, Mapping):
        return {name: inner for name, inner in value.items() if inner is not None}
    return value
