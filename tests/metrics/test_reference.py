"""Tests that docs/metrics.md is generated from the code."""

from tools.metrics.reference import REFERENCE, reference


def test_the_page_is_up_to_date() -> None:
    assert REFERENCE.read_text() == reference(), "out of date: run python -m tools.metrics"
