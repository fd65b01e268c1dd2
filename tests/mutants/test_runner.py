"""A mutant is caught only if every one of its tests fails."""

from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.runner import Copy, Run, failure_summary

pytestmark = pytest.mark.slow

SOURCE = "def half(number):\n    return number / 2\n"
TESTS = """
from half import half

def test_half_of_four_is_two():
    assert half(4) == 2

def test_half_of_nothing_is_nothing():
    assert half(0) == 0
"""
GOOD, BLIND = "test_half.py::test_half_of_four_is_two", "test_half.py::test_half_of_nothing_is_nothing"


def mutant(*tests: str, old: str = "/ 2") -> Mutant:
    return Mutant("another-share", "I1", "half.py", old, "/ 3", "a half is a third", tests)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    (tmp_path / "half.py").write_text(SOURCE)
    (tmp_path / "test_half.py").write_text(TESTS)
    return Copy(tmp_path)


def test_an_undetected_mutant_survives_and_the_next_is_caught(copy: Copy) -> None:
    assert copy.judge(mutant(BLIND)).trouble == "survives"
    caught = copy.judge(mutant(GOOD))
    assert (caught.trouble, caught.caught_by) == ("", (GOOD,))
    assert (copy.root / "half.py").read_text() == SOURCE


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (Run(1, (GOOD, BLIND), ""), ""),
        (Run(1, (GOOD,), ""), f"not noticed by {BLIND}"),
        (Run(0, (), ""), "survives"),
        (Run(2, ("test_half.py",), "cannot import half"), "the tests could not be run"),
        (Run(-1, (), "no end"), "the tests could not be run"),
    ],
)
def test_every_listed_test_must_fail_and_pytest_must_complete(run: Run, said: str) -> None:
    found = failure_summary(mutant(GOOD, BLIND), run)
    assert found.startswith(said) if said else found == ""


@pytest.mark.parametrize("old", ["/ 4", "number"])
def test_a_mutant_without_exactly_one_match_is_reported(copy: Copy, old: str) -> None:
    assert "holds the old text" in copy.judge(mutant(GOOD, old=old)).trouble
