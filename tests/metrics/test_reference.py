"""docs/metrics.md tells of every metric, and of nothing else."""

from tools.metrics.reference import REFERENCE, reference


def test_the_page_is_what_the_code_makes() -> None:
    assert REFERENCE.read_text() == reference(), "python -m tools.metrics"
