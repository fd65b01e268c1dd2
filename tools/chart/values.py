"""Reads values.yaml for the generators: every value with its default and its comment."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm" / "gco-stream"

_COMMENT = re.compile(r"^(?P<indent> *)# (?P<begins>-- )?(?P<text>.*)$")
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_]\w*):")


@dataclass(frozen=True, slots=True)
class Value:
    """`path` from the root, `default` as parsed from YAML, and `about`, the text of the comment."""

    path: tuple[str, ...]
    default: Any
    about: str


def documented(text: str) -> Iterator[Value]:
    """Every value of values.yaml that has a comment of the form `# -- ...`, in order."""
    defaults = yaml.safe_load(text)
    path: list[tuple[int, str]] = []
    about: list[str] = []
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            if comment["begins"]:
                about = []
            about.append(comment["text"])
        elif key := _KEY.match(line):
            indent = len(key["indent"])
            path = [*(parent for parent in path if parent[0] < indent), (indent, key["key"])]
            if about:
                names = tuple(name for _, name in path)
                yield Value(names, default_of(defaults, names), " ".join(about))
            about = []


def default_of(defaults: Any, path: tuple[str, ...]) -> Any:
    """The default at `path`."""
    for name in path:
        defaults = defaults[name]
    return defaults
