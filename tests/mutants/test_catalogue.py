"""The mutants match the current sources: each can be applied, and its tests exist."""

from collections import Counter
from typing import get_args

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Invariant, Mutant, missing

EACH = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@EACH
def test_every_mutant_changes_one_place_into_something_that_compiles(mutant: Mutant) -> None:
    whole = (ROOT / mutant.file).read_text()
    broken = mutant.mutated(whole)
    assert broken != whole
    compile(broken, mutant.file, "exec")


@EACH
def test_every_test_of_a_mutant_exists(mutant: Mutant) -> None:
    assert mutant.tests
    assert missing(ROOT, mutant.tests) == []


def test_every_invariant_has_several_mutants_with_unique_names() -> None:
    found = Counter(mutant.invariant for mutant in MUTANTS)
    assert {invariant: found[invariant] for invariant in get_args(Invariant) if found[invariant] < 3} == {}
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
