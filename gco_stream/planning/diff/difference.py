"""One difference between the desired and the live state of an object, and its text form.

Differences appear in logs, Events and `explain`. Values of environment variables may be secrets, so they are never
shown.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Step = str | int | tuple[Any, ...]
"""One step of a path: a field name, a list index, or the merge keys of a list item."""

_MAX_LENGTH = 80
_FIELD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ENV = "env"
_IN_ENV = re.compile(r"\.env(\[|$)")


@dataclass(frozen=True, slots=True, repr=False)
class Difference:
    """A field whose live value (`observed`) differs from the desired value. None means that the field is absent."""

    path: str
    observed: Any
    desired: Any

    def __str__(self) -> str:
        if _IN_ENV.search(self.path):
            return f"{self.path}: {self._without_values()}"
        if self.desired is None:
            return f"{self.path}: is {_truncated(self.observed)}, should be absent"
        if self.observed is None:
            return f"{self.path}: is missing, should be {_truncated(self.desired)}"
        return f"{self.path}: is {_truncated(self.observed)}, should be {_truncated(self.desired)}"

    def __repr__(self) -> str:
        return f"<Difference {self}>"

    def _without_values(self) -> str:
        if self.desired is None:
            return "should be absent"
        return "is missing" if self.observed is None else "differs from the desired value"


def path_text(steps: Iterable[Step]) -> str:
    """Returns the text form of a path, such as `spec.template.spec.containers[inference].ports[8000/TCP].name`."""
    text = ""
    for step in steps:
        match step:
            case str() if _FIELD.fullmatch(step):
                text += f".{step}" if text else step
            case tuple():
                text += f"[{'/'.join(map(str, step))}]"
            case _:
                text += f"[{step}]"
    return text


def _truncated(value: Any) -> str:
    text = repr(_without_env(value))
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + "…"


def _without_env(value: Any) -> Any:
    """The value with all environment variables replaced by their names."""
    if isinstance(value, dict):
        return {
            name: [variable.get("name") for variable in inner]
            if name == _ENV and isinstance(inner, list | tuple) and all(isinstance(one, dict) for one in inner)
            else _without_env(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_env(inner) for inner in value]
    return value
