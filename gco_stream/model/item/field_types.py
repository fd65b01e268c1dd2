"""Types of the fields of an item. They are lenient about data types, but limit the size of every value.

A number may be given as text, and text as a number. The description of each type completes "must be ..." in the error
message for an invalid value.
"""

import copy
import re
from collections.abc import Callable, Mapping, Sized
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

MAX_ENTRIES = 1000
"""Maximum number of entries in one map or list of an item.

No plausible endpoint has more, and validating a larger one would delay all other endpoints.
"""
MAX_PATH_LENGTH = 512
# Load balancer rules accept path patterns of up to 128 characters. For an Ingress path of type Prefix, the AWS Load
# Balancer Controller creates two patterns: the path itself, and the path with /* appended.
MAX_INGRESS_PATH_LENGTH = 126

# The exponent is limited because Decimal also accepts 1e1000000, which takes minutes to convert to an int.
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


def _rounded_up(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, float | Decimal) and Decimal(value).is_finite():
        return Decimal(value).to_integral_value(ROUND_CEILING)
    return value


def _texts_of_map(value: Any) -> Any:
    # As in GCO: whatever is not text counts as missing.
    if not isinstance(value, Mapping):
        return {}
    return {name: inner for name, inner in value.items() if isinstance(inner, str)}


def text_of(value: Any) -> Any:
    """Converts a number or boolean to text, as GCO's monitor does. Returns any other value unchanged."""
    match value:
        case bool() | int():
            return str(value)
        case Decimal():
            return str(int(value)) if value == value.to_integral_value() else str(float(value))
        case float():
            return str(int(value)) if value.is_integer() else str(value)
        case _:
            return value


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


NUMBER = BeforeValidator(_whole_number)
ROUNDED_UP = BeforeValidator(_rounded_up)
TEXTS_OF_MAP = BeforeValidator(_texts_of_map)
TEXT = BeforeValidator(text_of)
STRIPPED = BeforeValidator(_stripped)
LOWER = BeforeValidator(_lower)


def bounds(low: int, high: int) -> Any:
    """Returns the inclusive bounds of a whole number, with a description."""
    return Field(ge=low, le=high, description=f"a whole number from {low} to {high}")


def _limited_entries(value: Any) -> Any:
    if isinstance(value, Sized) and not isinstance(value, str) and len(value) > MAX_ENTRIES:
        raise ValueError(f"more than {MAX_ENTRIES} entries")
    return value


LIMITED_ENTRIES = BeforeValidator(_limited_entries)


def _ordered(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        # Its elements would come in another order in each process, and a restart of the controller would restart pods.
        raise ValueError("a set has no order; write a list")
    return value


ORDERED = BeforeValidator(_ordered)


def accepted_by(holds: Callable[[str], object]) -> AfterValidator:
    """Returns a validator that accepts text if `holds` returns a true value for it."""

    def check(value: str) -> str:
        if not holds(value):
            raise ValueError("does not match")
        return value

    return AfterValidator(check)


def matching(pattern: str) -> AfterValidator:
    """Returns a validator that accepts text if all of it matches the pattern."""
    return accepted_by(re.compile(pattern).fullmatch)


def _text_field(description: str, max_length: int = 1024) -> Any:
    return Field(max_length=max_length, description=description)


# The grammar of image references in github.com/distribution/reference.
_HOST = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = rf"({_HOST}(\.{_HOST})*|\[[0-9A-Fa-f:]+\])"
_REPOSITORY = r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"({_DOMAIN}(:[0-9]+)?/)?{_REPOSITORY}(/{_REPOSITORY})*"
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
# Load balancer rules accept no other characters, and one invalid rule prevents the update of all other rules.
_INGRESS_PATH = re.compile(r"/|(/[A-Za-z0-9_.$~'@:+&-]+)+/?")
# Characters that no text may contain: NUL, and lone surrogates, which UTF-8 cannot encode.
_NO_TEXT = "\\x00\\ud800-\\udfff"
_S3_SOURCE = re.compile(rf"s3://[^/\x00-\x1f\x7f{_NO_TEXT}][^\x00-\x1f\x7f{_NO_TEXT}]*")
_MAX_SOURCE_LENGTH = 2048


def is_qualified_name(name: str) -> bool:
    """Whether this is a valid name of a label, taint or resource: a name with an optional domain prefix."""
    domain = name.rpartition("/")[0]
    return len(domain) <= _MAX_DOMAIN_LENGTH and _QUALIFIED_NAME.fullmatch(name) is not None


def is_url_path(path: str) -> bool:
    """Whether this is a valid URL path without a query, of at most `MAX_PATH_LENGTH` characters."""
    return len(path) <= MAX_PATH_LENGTH and _URL_PATH.fullmatch(path) is not None


def is_ingress_path(path: str) -> bool:
    """Whether the load balancer accepts this path in an Ingress."""
    if len(path) > MAX_INGRESS_PATH_LENGTH:
        return False
    # The API server rejects paths with the segments . and .., because clients resolve them.
    return _INGRESS_PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))


def is_label_value(text: str) -> bool:
    """Whether Kubernetes accepts this value of a label, and so of a node selector."""
    return re.fullmatch(_LABEL_VALUE, text) is not None


def has_s3_scheme(source: str) -> bool:
    """Whether a model source is on S3, and therefore synced. The case of the scheme does not matter."""
    return source[:5].lower() == "s3://"


def _is_model_source(source: str) -> bool:
    """Whether the source is a valid s3:// URL. Any other source is also accepted, because it is ignored, as in GCO."""
    if not source.startswith("s3://"):
        return True
    return len(source) <= _MAX_SOURCE_LENGTH and _S3_SOURCE.fullmatch(source) is not None


FreeText = Annotated[
    str, TEXT, matching(rf"[^{_NO_TEXT}]*"), _text_field("text without NUL characters", max_length=128 * 1024)
]
Image = Annotated[
    str,
    TEXT,
    STRIPPED,
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
    accepted_by(is_ingress_path),
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
    # What Kubernetes 1.34 accepts (KEP-4369). Older API servers reject some of these names.
    _text_field("a variable name of printable ASCII characters other than '='"),
    matching(r"[ -<>-~]+"),
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
LABEL_VALUE_RULE = "at most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit"
LabelValue = Annotated[
    str,
    TEXT,
    _text_field(LABEL_VALUE_RULE),
    matching(_LABEL_VALUE),
]
Region = Annotated[str, TEXT, _text_field("the name of a region such as us-east-1"), matching(r"[a-z0-9-]{1,40}")]


def without_nulls(value: Any) -> Any:
    """Removes the NULL attributes of a map, because they count as missing. Returns any other value unchanged."""
    if isinstance(value, Mapping):
        return {name: inner for name, inner in value.items() if inner is not None}
    return value


def retry_without_empty(value: Any, validate: Callable[[Any], Any]) -> Any:
    """Validates a map. Empty text, blanks and NULL count as missing wherever they are not a valid value.

    Consoles, ORMs and Terraform write them for attributes that are not set. A value that is valid is never removed, so
    the text of an environment variable may be empty. Elements of lists are not removed.
    """
    try:
        return validate(value)
    except ValidationError as error:
        empty = [detail["loc"] for detail in error.errors() if _is_empty(detail["input"])]
        if not empty or not isinstance(value, Mapping):
            raise
    pruned = copy.deepcopy(dict(value))
    for loc in empty:
        _remove(pruned, loc)
    return validate(pruned)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and (not value or value.isspace()))


def _remove(value: Any, loc: tuple[int | str, ...]) -> None:
    for step in loc[:-1]:
        if isinstance(value, list) and isinstance(step, int):
            value = value[step]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value.pop(loc[-1], None)
