"""Builds DynamoDB expressions: conditions that an item has not changed since it was read, and updates."""

from collections.abc import Iterable, Mapping
from typing import Any

from gco_stream.model import wire
from gco_stream.model.wire import WireItem

Path = tuple[str, ...]
"""Path in an item: an attribute, then the keys of nested maps."""


def unchanged_since(last_read: Mapping[str, Any], attributes: Iterable[str]) -> tuple[str, dict[str, str], WireItem]:
    """Returns a ConditionExpression with its names and values.

    It requires that the item exists and that these attributes equal those in `last_read`. Maps and lists are compared
    deeply, and numbers by value. An attribute that is missing from `last_read` must still be missing.
    """
    parts, names, values = ["attribute_exists(endpoint_name)"], {}, {}
    for number, attribute in enumerate(attributes):
        names[f"#seen{number}"] = attribute
        if attribute in last_read:
            values[f":seen{number}"] = last_read[attribute]
            parts.append(f"#seen{number} = :seen{number}")
        else:
            parts.append(f"attribute_not_exists(#seen{number})")
    return " AND ".join(parts), names, values


def changes(sets: Mapping[Path, Any], removes: Iterable[Path] = ()) -> tuple[str, dict[str, str], WireItem]:
    """Returns an UpdateExpression with its names and values.

    It sets the paths in `sets` to the given plain values and removes the paths in `removes`.
    """
    names: dict[str, str] = {}

    def placeholders(path: Path) -> str:
        known = {word: placeholder for placeholder, word in names.items()}
        for word in path:
            placeholder = known.setdefault(word, f"#to{len(known)}")
            names[placeholder] = word
        return ".".join(known[word] for word in path)

    assignments = [f"{placeholders(path)} = :to{number}" for number, path in enumerate(sets)]
    removals = [placeholders(path) for path in removes]
    expression = " ".join(
        f"{verb} {', '.join(parts)}" for verb, parts in (("SET", assignments), ("REMOVE", removals)) if parts
    )
    return expression, names, {f":to{number}": wire.encode_value(value) for number, value in enumerate(sets.values())}
