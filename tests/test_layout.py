"""Tests of how the tests are laid out."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def modules_named_by(source: str) -> Iterator[str]:
    """Yields each module that a source file may import. `from a import b` yields a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def is_collected(module: str) -> bool:
    """Returns whether pytest imports the module by itself: a test module or a conftest of this folder."""
    path = TESTS.parent / f"{module.replace('.', '/')}.py"
    return path.is_file() and (path.name == "conftest.py" or path.name.startswith("test_"))


def test_only_support_modules_are_imported_from() -> None:
    """What two test modules share is in a `support` folder; a conftest defines fixtures."""
    found = [
        f"{path.relative_to(TESTS.parent)}: {module}"
        for path in sorted(TESTS.rglob("*.py"))
        for module in modules_named_by(path.read_text())
        if is_collected(module)
    ]
    assert found == []


def test_imports_from_test_modules_and_conftests_are_detected() -> None:
    wrong = "import tests.conftest\nfrom tests import test_layout\nfrom tests.test_layout import is_collected\n"
    assert [module for module in modules_named_by(wrong) if is_collected(module)] == [
        "tests.conftest",
        "tests.test_layout",
        "tests.test_layout",
    ]
    assert not any(map(is_collected, modules_named_by("from tests.support.items import item\n")))
