"""Parser for YAML and JSON files with endpoints. Numbers are read without rounding.

An endpoint is either a whole item or a short form with the fields of the spec at the top level:

    name: chat
    regions: [us-east-1]
    image: registry.example/serve:1.0
    replicas: 2
"""

import json
import sys
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

from gco_stream.cli.errors import USAGE, CommandError
from gco_stream.cli.output import REDACTED

_SHORTHAND: Final = {"name": "endpoint_name", "regions": "target_regions"}
_ATTRIBUTES: Final = frozenset(
    {"endpoint_name", "target_regions", "desired_state", "namespace", "ingress_path", "labels", "created_by", "hold"}
)
# Attributes that are ignored: `endpoint get -o yaml` shows them, but users do not set them.
_MANAGED: Final = frozenset({"region_status", "created_at", "updated_at"})


@dataclass(frozen=True, slots=True)
class Document:
    """One endpoint in a file.

    `source`: the file and, if it has several endpoints, the number of this one. Used in messages. `item`: the item as
    plain values.
    """

    source: str
    item: dict[str, Any]

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return str(self.item["endpoint_name"])


def read_documents(file: str) -> list[Document]:
    """Returns the endpoints in a file, or in standard input if `file` is "-".

    Raises CommandError if the file cannot be read or parsed, or has no endpoints, duplicates or malformed endpoints.
    """
    source = "standard input" if file == "-" else file
    text = _text(file, source)
    values = [value for value in _values(text, source) if value is not None]
    if not values:
        raise CommandError(f"{source}: contains no endpoints", USAGE)
    documents = []
    for number, value in enumerate(values, start=1):
        where = source if len(values) == 1 else f"{source}, document {number}"
        documents.append(Document(where, _item(value, where)))
    seen: dict[str, str] = {}
    for document in documents:
        if document.name in seen:
            raise CommandError(
                f"{document.source}: duplicate endpoint {document.name}: already in {seen[document.name]}", USAGE
            )
        seen[document.name] = document.source
    return documents


def _text(file: str, source: str) -> str:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return content.decode()
    except OSError as error:
        raise CommandError(f"{source}: {error.strerror or error}", USAGE) from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{source}: invalid UTF-8 at byte {error.start}", USAGE) from None


def _values(text: str, source: str) -> list[Any]:
    try:
        if source.endswith(".json"):
            loaded = [json.loads(text, parse_float=Decimal, object_pairs_hook=_unique)]
        else:
            loaded = list(yaml.load_all(text, Loader=_Loader))
    except json.JSONDecodeError as error:
        raise CommandError(f"{source}, line {error.lineno}: invalid JSON: {error.msg}", USAGE) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise CommandError(f"{source}{line}: invalid YAML: {error.problem or error.context}", USAGE) from None
    except (yaml.YAMLError, ValueError) as error:
        raise CommandError(f"{source}: {' '.join(str(error).split())}", USAGE) from None
    return [value for document in loaded for value in (document if isinstance(document, list) else [document])]


def _item(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CommandError(f"{where}: invalid value {value!r:.60}: must be a map with endpoint_name and spec", USAGE)
    problems = list(_problems(value, ""))
    item: dict[str, Any] = {
        _SHORTHAND.get(str(key), str(key)): inner for key, inner in value.items() if key not in _MANAGED
    }
    if "spec" not in item:
        item = _expanded(item, problems)
    name = item.get("endpoint_name")
    if not isinstance(name, str) or not name:
        found = "missing required value" if name is None else f"invalid value {name!r}"
        problems.append(f"endpoint_name: {found}: must be a name")
    environment = item["spec"].get("env") if isinstance(item.get("spec"), dict) else None
    for variable, text in environment.items() if isinstance(environment, dict) else ():
        if text == REDACTED:
            problems.append(f"spec.env.{variable}: redacted value: use `endpoint get -o yaml --show-secrets`")
    if problems:
        raise CommandError("\n".join(f"{where}: {complaint}" for complaint in problems), USAGE)
    return item


def _expanded(item: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    from gco_stream.model.spec import EndpointSpec

    spec = {key: inner for key, inner in item.items() if key not in _ATTRIBUTES}
    problems += [f"{key}: unknown field" for key in spec if key not in EndpointSpec.model_fields]
    return {key: inner for key, inner in item.items() if key in _ATTRIBUTES} | {"spec": spec}


def _problems(value: Any, path: str) -> Iterator[str]:
    match value:
        case dict():
            for key, inner in value.items():
                if isinstance(key, str):
                    yield from _problems(inner, f"{path}.{key}" if path else key)
                else:
                    yield f"{path or 'document'}: invalid key {key!r}: must be a string; put it in quotes"
        case list():
            for number, inner in enumerate(value):
                yield from _problems(inner, f"{path}[{number}]")
        case Decimal() if not value.is_finite():
            yield f"{path}: invalid value {value}: must be a finite number"
        case Decimal() | int() | str() | None:
            return
        case _:
            yield f"{path}: invalid value {value!r:.60}: must be a type that DynamoDB can store"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"duplicate key {key!r}")
        values[key] = value
    return values


class _Loader(yaml.SafeLoader):
    """YAML loader that reads floats as Decimal and dates as strings, and rejects duplicate keys."""

    # The resolver for timestamps is left out, so that an unquoted date (for example in env) stays a string.
    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to configure a loader
        first: [pair for pair in resolvers if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Constructs a mapping. Raises ConstructorError if a key is duplicated."""
        keys = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal | str:
    text = node.value.replace("_", "").lower()
    try:
        return Decimal(text.replace(".inf", "inf").replace(".nan", "nan"))
    except ArithmeticError:
        return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
