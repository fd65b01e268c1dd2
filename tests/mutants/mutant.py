"""A mutant: one small edit of the sources that violates an invariant, and the tests that must fail because of it."""

import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Literal

Invariant = Literal["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11"]

# Python caches bytecode by the source's size and modification time in whole seconds, so each edit gets a new time.
_TIMES = count(1_000_000_000)


class NotApplicable(Exception):
    """The sources do not contain the mutant's old text exactly once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """Replaces `old`, which occurs exactly once in `file` (a path below the sources' root), with `new`.

    `breaks` describes the effect. `tests` are pytest node IDs; each of these tests must fail.
    """

    name: str
    invariant: Invariant
    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]

    @property
    def on_real_parts(self) -> bool:
        """Whether its tests need a control plane."""
        return any(test.startswith(("tests/integration/", "tests/chaos/")) for test in self.tests)

    def mutated(self, text: str) -> str:
        """Returns the text with the edit applied. Raises NotApplicable."""
        found = text.count(self.old)
        if found != 1:
            raise NotApplicable(f"{self.file} holds the old text {found} times: {self.old!r}")
        return text.replace(self.old, self.new)

    @contextmanager
    def applied(self, root: Path) -> Iterator[None]:
        """Applies the edit to the sources below `root` within the block. Raises NotApplicable."""
        path = root / self.file
        whole = path.read_text()
        _write(path, self.mutated(whole))
        try:
            yield
        finally:
            _write(path, whole)


def missing(root: Path, tests: tuple[str, ...]) -> list[str]:
    """Returns those of the pytest node IDs that do not exist below `root`."""
    return [test for test in tests if not _exists(root, test)]


def _exists(root: Path, test: str) -> bool:
    file, _, name = test.partition("::")
    return (root / file).is_file() and name.partition("[")[0] in _tests_in(root / file)


@cache
def _tests_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    at = next(_TIMES)
    os.utime(path, (at, at))
