"""Parser for YAML and JSON files with endpoints.

Numbers are read without rounding, and text fields get exactly what is in the file: 1.10 and 0755 stay as they are.

An endpoint is either a whole item or a short form with the fields of the spec at the top level:

    name: chat
    regions: [us-east-1]
    image: registry.example/serve:1.0
    replicas: 2
"""

import json
import sys
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

from gco_stream.cli.commands.endpoint.written_values import Written, item_values, problems_of
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
        # Editors on Windows begin a file with a byte order mark.
        return content.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{source}: {error.strerror or error}", USAGE) from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{source}: invalid UTF-8 at byte {error.start}", USAGE) from None


def _values(text: str, source: str) -> list[Any]:
    try:
        if source.endswith(".json"):
            loaded = [
                json.loads(
                    text, parse_float=_number, parse_int=_number, parse_constant=float, object_pairs_hook=_unique
                )
            ]
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
    if _is_dynamodb_json(value):
        raise CommandError(
            f"{where}: invalid format DynamoDB JSON: must be plain values, as `gco-stream endpoint get NAME -o json` "
            "prints them",
            USAGE,
        )
    problems: list[str] = []
    item: dict[str, Any] = {
        _SHORTHAND.get(str(key), str(key)): inner for key, inner in value.items() if key not in _MANAGED
    }
    if "spec" not in item:
        item = _expanded(item, problems)
    item = item_values(item)
    problems += problems_of(item)
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
    from gco_stream.model.item.spec import EndpointSpec

    spec = {key: inner for key, inner in item.items() if key not in _ATTRIBUTES}
    problems += [f"{key}: unknown field" for key in spec if key not in EndpointSpec.model_fields]
    return {key: inner for key, inner in item.items() if key in _ATTRIBUTES} | {"spec": spec}


def _is_dynamodb_json(value: dict[str, Any]) -> bool:
    """Whether this is an item as the AWS CLI prints it, alone or as the answer of GetItem or Scan."""
    name = value.get("endpoint_name")
    return "Item" in value or "Items" in value or (isinstance(name, dict) and set(name) == {"S"})


def _number(text: str) -> Written:
    return Written(Decimal(text) if not text.lstrip("-").isdecimal() else int(text), text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"duplicate key {key!r}")
        # JSON has only one spelling of a boolean.
        values[key] = _with_text(value)
    return values


def _with_text(value: Any) -> Any:
    match value:
        case bool():
            return Written(value, str(value).lower())
        case list():
            return [_with_text(inner) for inner in value]
        case _:
            return value


class _Loader(yaml.SafeLoader):
    """YAML loader that keeps the text of numbers and booleans, reads dates as strings, and rejects duplicate keys.

    A key is always the text in the file, so `NO` and `1` are valid names of variables.
    """

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
            if isinstance(key_node, yaml.ScalarNode):
                key_node.tag = "tag:yaml.org,2002:str"
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)

    def written_bool(self, node: yaml.ScalarNode) -> Written:
        """Constructs a boolean, which YAML 1.1 also spells yes, no, on and off."""
        return Written(self.construct_yaml_bool(node), str(node.value))

    def written_int(self, node: yaml.ScalarNode) -> Written:
        """Constructs an integer in any base."""
        return Written(self.construct_yaml_int(node), str(node.value))

    def written_float(self, node: yaml.ScalarNode) -> Written | str:
        """Constructs a number with a fraction or exponent, without rounding."""
        text = node.value.replace("_", "").lower()
        try:
            return Written(Decimal(text.replace(".inf", "inf").replace(".nan", "nan")), str(node.value))
        except ArithmeticError:
            return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:bool", _Loader.written_bool)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.written_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.written_float)
