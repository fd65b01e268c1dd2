"""Tests of how the tests are laid out."""

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
_IMPORT = re.compile(r"^[ \t]*(?:from (tests[\w.]*) import (\([^)]*\)|.*)|import (tests[\w.]*))", re.MULTILINE)


def imported_modules(source: str) -> Iterator[str]:
    """Yields each module of this folder that a source file may import. `from a import b` yields a and a.b."""
    for package, names, module in _IMPORT.findall(source):
        yield package or module
        yield from (f"{package}.{name}" for name in re.findall(r"\w+", names))


def is_collected(module: str) -> bool:
    """Returns whether pytest imports the module by itself: a test module or a conftest of this folder."""
    path = TESTS.parent / f"{module.replace('.', '/')}.py"
    return path.name.startswith(("conftest.", "test_")) and path.is_file()


def test_only_support_modules_are_imported_from() -> None:
    """What two test modules share is in a `support` folder; a conftest defines fixtures."""
    found = [
        f"{path.relative_to(TESTS.parent)}: {module}"
        for path in sorted(TESTS.rglob("*.py"))
        if path != Path(__file__)
        for module in imported_modules(path.read_text())
        if is_collected(module)
    ]
    assert found == []


def test_imports_from_test_modules_and_conftests_are_detected() -> None:
    source = """
import tests.conftest
from tests import test_layout
from tests.test_layout import (
    is_collected,
)
from tests.support.items import item
"""
    found = [module for module in imported_modules(source) if is_collected(module)]
    assert found == ["tests.conftest", "tests.test_layout", "tests.test_layout"]
