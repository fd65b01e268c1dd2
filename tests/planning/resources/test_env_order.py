import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.planning.resources.env_order import references_first


def ordered(**values: str) -> list[str]:
    return [one["name"] for one in references_first([{"name": name, "value": values[name]} for name in values])]


@pytest.mark.parametrize(
    ("values", "order"),
    [
        ({"A": "1", "B": "2"}, ["A", "B"]),
        ({"A": "$(Z)/x", "B": "2", "Z": "1"}, ["Z", "A", "B"]),
        ({"A": "$(B)", "B": "$(C)", "C": "1"}, ["C", "B", "A"]),
        ({"A": "$(C)$(B)", "B": "1", "C": "2"}, ["C", "B", "A"]),
        # The kubelet does not replace these.
        ({"A": "$$(Z)", "Z": "1"}, ["A", "Z"]),
        ({"A": "$Z ${Z} $(Z", "Z": "1"}, ["A", "Z"]),
        ({"A": "$(NOT_SET)"}, ["A"]),
        # $$ is an escaped dollar sign, which the reference follows.
        ({"A": "$$$(Z)", "Z": "1"}, ["Z", "A"]),
        # A circle cannot be resolved; all variables stay.
        ({"A": "$(A)"}, ["A"]),
        ({"A": "$(B)", "B": "$(A)", "C": "$(A)"}, ["B", "A", "C"]),
    ],
)
def test_a_referenced_variable_comes_first(values: dict[str, str], order: list[str]) -> None:
    assert ordered(**values) == order


def test_a_long_chain_is_ordered() -> None:
    names = [f"V{number:04}" for number in range(1000)]
    values = {one: f"$({other})" for one, other in itertools.pairwise(names)} | {names[-1]: "1"}
    assert ordered(**values) == names[::-1]


@given(
    st.dictionaries(st.sampled_from("ABCDEFG"), st.lists(st.sampled_from("ABCDEFG"), max_size=3)),
    st.randoms(use_true_random=False),
)
def test_the_result_is_a_permutation_that_a_second_pass_does_not_change(
    references: dict[str, list[str]], rng: random.Random
) -> None:
    names = list(references)
    rng.shuffle(names)
    variables = [{"name": name, "value": "".join(f"$({other})" for other in references[name])} for name in names]
    found = references_first(variables)
    assert sorted(one["name"] for one in found) == sorted(names)
    acyclic = all(other < name for name, others in references.items() for other in others)
    if acyclic:
        position = {one["name"]: number for number, one in enumerate(found)}
        assert all(
            position[other] < position[name]
            for name, others in references.items()
            for other in others
            if other in position
        )
        assert references_first(found) == found
