"""Builders of DynamoDB expressions: conditions that an item is unchanged since it was read, and updates."""

from collections.abc import Iterable, Mapping
from typing import Any

from gco_stream.model import wire
from gco_stream.model.wire import WireItem

Path = tuple[str, ...]
"""Path in an item: an attribute, then the keys of nested maps."""


def unchanged_since(last_read: Mapping[str, Any], attributes: Iterable[str]) -> tuple[str, dict[str, str], WireItem]:
    """ConditionExpression, names and values: the item exists and these attributes equal those in `last_read`.

    Maps and lists compare deeply and numbers by value. An attribute that is missing in `last_read` must still be
    missing.
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
    """UpdateExpression, names and values that set these paths to plain values and remove others."""
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
