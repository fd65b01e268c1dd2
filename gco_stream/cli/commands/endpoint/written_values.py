"""Values of a file as their author wrote them.

YAML reads 1.10 as a number, true as a boolean and 0755 as an octal number. In a field that is text in the end, such as
a variable of `env`, the pod must get exactly what is in the file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from gco_stream.model.item.field_types import text_of
from gco_stream.model.item.spec import EndpointSpec

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_MAX_DIGITS: Final = 38
_MAX_EXPONENT: Final = 125
_MIN_EXPONENT: Final = -130


@dataclass(frozen=True, slots=True)
class Written:
    """A number or boolean of a file: its value, and the text in the file."""

    value: bool | int | Decimal
    text: str

    def __repr__(self) -> str:
        return self.text


def item_values(item: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an item whose `Written` values are replaced by their text in text fields, and by their value elsewhere.

    In a text field, a number is kept if the controller makes the same text of it, so that an item that is already
    stored does not change.
    """
    schema = EndpointSpec.model_json_schema()
    return {name: _resolved(inner, schema if name == "spec" else {}, schema) for name, inner in item.items()}


def problems_of(value: Any, path: str = "") -> Iterator[str]:
    """Yields what DynamoDB cannot store, with the path of the field."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from problems_of(inner, f"{path}.{key}" if path else key)
        case list():
            for number, inner in enumerate(value):
                yield from problems_of(inner, f"{path}[{number}]")
        case Decimal() if not value.is_finite():
            yield f"{path}: invalid value {value}: must be a finite number"
        case Decimal() | int() if not _is_storable(value):
            yield (
                f"{path}: invalid value {value!s:.60}: must be a number that DynamoDB can store, "
                f"with at most {_MAX_DIGITS} digits; put it in quotes if it is text"
            )
        case Decimal() | int() | str() | None:
            return
        case _:
            yield f"{path}: invalid value {value!r:.60}: must be a type that DynamoDB can store"


def _resolved(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    match value:
        case Written():
            return _scalar(value, is_text=schema.get("type") == "string")
        case dict():
            fields, other = schema.get("properties", {}), schema.get("additionalProperties")
            return {
                key: _resolved(inner, _schema_of(fields.get(key, other), root), root) for key, inner in value.items()
            }
        case list():
            return [_resolved(inner, _schema_of(schema.get("items"), root), root) for inner in value]
        case _:
            return value


def _schema_of(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follows a reference, and skips the null of an optional field. Returns {} if the type is unknown."""
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return dict(root["$defs"][schema["$ref"].rpartition("/")[2]])
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null":
            return _schema_of(one, root)
    return schema


def _scalar(written: Written, *, is_text: bool) -> Any:
    value = written.value
    is_same = not isinstance(value, bool) and text_of(value) == written.text and _is_storable(value)
    return written.text if is_text and not is_same else value


def _is_storable(value: Decimal | int) -> bool:
    if isinstance(value, bool) or not Decimal(value).is_finite():
        return isinstance(value, bool)
    _, digits, exponent = Decimal(value).as_tuple()
    significant = len("".join(map(str, digits)).strip("0")) or 1
    leading = len(digits) + int(exponent) - 1
    return significant <= _MAX_DIGITS and (not value or _MIN_EXPONENT <= leading <= _MAX_EXPONENT)
