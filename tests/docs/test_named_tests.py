"""The documentation names tests as its witnesses: every test and file that it names is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])


@cache
def every_test() -> frozenset[str]:
    """The names of all tests."""
    return frozenset(
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_and_file_that_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"`([^`\n]+)`", page.read_text())
    witnesses = {name for name in named if re.fullmatch(r"test_[a-z0-9_]+", name)}
    files = {name for name in named if re.fullmatch(r"(tests|gco_stream|docs|examples)/[\w./-]+\.\w+", name)}
    assert sorted(witnesses - every_test()) == []
    assert sorted(name for name in files if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_that_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text())
    assert sorted(link for link in links if not (page.parent / link).exists()) == []


def test_every_difference_names_a_test_that_holds_it() -> None:
    rows = [line for line in (ROOT / "docs" / "differences.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 30
    assert [row for row in rows if "held by" not in row and "`test_" not in row.rsplit("|", 2)[1]] == []
