"""Generates the tables of the chart's README: values from the comments in values.yaml, and the settings."""

import json
import re
from collections.abc import Iterable
from typing import Any

from tools.chart.schema import Schema
from tools.chart.values import Value


def with_tables(readme: str, values: Iterable[Value], settings: Schema) -> str:
    """Replaces the two tables in `readme`, each between `<!-- NAME -->` and `<!-- end of NAME -->`.

    Raises ValueError if one of the markers is missing or appears more than once.
    """
    return _between(_between(readme, "values", _values(values)), "settings", _settings(settings))


def _between(text: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    changed, found = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}{table}{end}", text, flags=re.DOTALL
    )
    if found != 1:
        raise ValueError(f"README.md: found {begin.strip()} ... {end} {found} times: must appear exactly once")
    return changed


def _values(values: Iterable[Value]) -> str:
    rows = ["| value | default | description |", "|---|---|---|"]
    rows += [
        f"| `{'.'.join(value.path)}` | {_code(value.default)} | {value.about} |"
        for value in values
        if value.path[0] != "settings"
    ]
    return "\n".join(rows) + "\n"


def _settings(settings: Schema) -> str:
    rows = ["| setting | default | allowed | description |", "|---|---|---|---|"]
    rows += [
        f"| `settings.{name}` | {_code(field['default']) if 'default' in field else 'must be set'} "
        f"| {_allowed(field)} | {field['description']} |"
        for name, field in settings["properties"].items()
    ]
    return "\n".join(rows) + "\n"


def _code(value: Any) -> str:
    if value is None:
        return ""
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


def _allowed(field: Schema) -> str:
    if options := field.get("enum"):
        # A name that is allowed in either case is listed once.
        return ", ".join(
            f"`{option}`" for option in options if option == option.upper() or option.upper() not in options
        )
    kinds = [field, *field.get("anyOf", ())]
    bounds = {key: value for kind in kinds for key, value in kind.items() if key.endswith(("imum", "Minimum"))}
    if "exclusiveMinimum" in bounds:
        return f"above {bounds['exclusiveMinimum']}, up to {bounds['maximum']}"
    if bounds:
        return f"{bounds['minimum']} to {bounds['maximum']}"
    return {"boolean": "`true`, `false`", "array": "a list of names"}.get(str(field.get("type")), "")
