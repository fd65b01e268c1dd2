"""docs/reasons.md has every reason code once, and what to do about it."""

import re
from pathlib import Path

from gco_stream.model.reasons import Reason

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reasons.md").read_text()
CODES, EVENTS = PAGE.split("## Events about changes")


def rows(text: str) -> list[list[str]]:
    """The cells of each table row that begins with a code."""
    lines = [line for line in text.splitlines() if re.match(r"\| `\w+` \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_reason_has_one_row_and_every_row_a_reason() -> None:
    listed = [row[0].strip("`") for row in rows(CODES)]
    assert sorted(listed) == sorted(Reason)


def test_every_row_says_when_it_is_reported_and_what_to_do() -> None:
    assert [row for row in rows(CODES) if len(row) != 3 or not all(row)] == []


def test_every_reason_of_an_event_about_a_change_has_a_row() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "gco_stream").rglob("*.py"))
    news = (ROOT / "gco_stream" / "engine" / "reconcile" / "event_publisher.py").read_text()
    emitted = {*re.findall(r'\bStepEvent\(\s*"(\w+)"', sources), *re.findall(r'"Normal", "(\w+)", ', news)}
    assert len(emitted) >= 7
    assert {row[0].strip("`") for row in rows(EVENTS)} == emitted
