"""DynamoDB's expressions as values: conditions that hold only while an item is as it was read, and changes to it."""

from collections.abc import Iterable, Mapping
from typing import Any

from gco_stream.model import wire
from gco_stream.model.wire import WireItem

Path = tuple[str, ...]
"""Where in an item: attribute, then keys of the maps inside."""


def unchanged_since(last_read: Mapping[str, Any], attributes: Iterable[str]) -> tuple[str, dict[str, str], WireItem]:
    """A ConditionExpression, its names and values: the item exists and these attributes equal those in `last_read`.

    Maps and lists compare deeply and numbers by value; an attribute that `last_read` lacks must still be missing.
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
    """An UpdateExpression, its names and values: these paths get these plain values, those go."""
    names: dict[str, str] = {}

    def placed(path: Path) -> str:
        known = {word: placeholder for placeholder, word in names.items()}
        for word in path:
            placeholder = known.setdefault(word, f"#to{len(known)}")
            names[placeholder] = word
        return ".".join(known[word] for word in path)

    assignments = [f"{placed(path)} = :to{number}" for number, path in enumerate(sets)]
    gone = [placed(path) for path in removes]
    expression = " ".join(
        f"{verb} {', '.join(parts)}" for verb, parts in (("SET", assignments), ("REMOVE", gone)) if parts
    )
    return expression, names, {f":to{number}": wire.encode_value(value) for number, value in enumerate(sets.values())}
