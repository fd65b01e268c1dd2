"""The order of environment variables that refer to each other.

The kubelet replaces $(NAME) in a value only if NAME is defined earlier in the list. $$(NAME) is an escape and is not
replaced (https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/).
"""

import re
from collections.abc import Sequence

from gco_stream.model.objects import JsonObject

# A pair of dollar signs is consumed first, so it never starts a reference.
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")


def references_first(variables: Sequence[JsonObject]) -> list[JsonObject]:
    """Returns the variables with every referenced one before those that refer to it; otherwise, the order is kept.

    A list that already satisfies this is returned in the same order. Variables that refer to each other in a circle
    cannot all be replaced; they keep their relative order as far as possible.
    """
    by_name = {one["name"]: one for one in variables}
    placed: dict[str, JsonObject] = {}
    started: set[str] = set()
    # An explicit stack instead of recursion, because a chain of references may have a thousand links.
    stack = [one["name"] for one in reversed(variables)]
    while stack:
        name = stack[-1]
        if name in placed:
            stack.pop()
            continue
        missing = [] if name in started else [other for other in _references(by_name[name]) if other in by_name]
        started.add(name)
        missing = [other for other in missing if other not in placed and other not in started]
        if missing:
            stack += reversed(missing)
        else:
            placed[name] = by_name[name]
            stack.pop()
    return list(placed.values())


def _references(variable: JsonObject) -> list[str]:
    return [name for name in _REFERENCE.findall(variable.get("value") or "") if name]
