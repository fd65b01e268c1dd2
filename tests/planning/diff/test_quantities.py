from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gco_stream.planning.diff.drift import same_quantity, value_of

WHOLE = st.integers(min_value=0, max_value=10**6)


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("2.", "2"),
        ("+2", "2"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1e3", "1k"),
        ("1E3", "1k"),
        ("12e-1", "1200m"),
        ("1000k", "1M"),
        ("1000000000n", "1"),
        ("1000000u", "1"),
        (2, "2"),
        (0.5, "500m"),
        ("0", "0m"),
        ("1E", "1000P"),
        ("1Ei", "1024Pi"),
    ],
)
def test_the_servers_normalized_spelling_is_the_same_quantity(asked, stored):
    assert same_quantity(asked, stored)
    assert same_quantity(stored, asked)


@pytest.mark.parametrize(("asked", "stored"), [("0.0001", "1m"), ("1n", "1m"), ("1.0001", "1001m"), ("1e-300", "1m")])
def test_fractions_of_a_thousandth_are_rounded_up_like_on_the_server(asked, stored):
    assert same_quantity(asked, stored)


def test_quantities_beyond_the_servers_maximum_equal_the_maximum():
    assert same_quantity("1e999", 2**63 - 1)
    assert same_quantity("9" * 40 + "Ei", "9223372036854775807")


@pytest.mark.parametrize(
    ("one", "other"), [("1", "2"), ("1k", "1Ki"), ("1M", "1m"), ("1G", "1Gi"), ("1", "1001m"), ("1", None), ("1", "")]
)
def test_different_amounts_differ(one, other):
    assert not same_quantity(one, other)


@pytest.mark.parametrize(
    "text", ["", "Gi", "1 Gi", "1gi", "1K", "0x1", "1e", "1e1e1", "\u0661", "nan", "inf", "1Gi\n", True]
)
def test_an_invalid_quantity_is_rejected_and_equals_only_itself(text):
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        value_of(text)
    assert same_quantity(text, text)
    assert not same_quantity(text, "3")


@given(WHOLE)
def test_a_whole_number_is_a_thousand_thousandths_of_itself(number):
    assert value_of(f"{number * 1000}m") == value_of(number) == number


@given(WHOLE, st.sampled_from(["Ki", "Mi", "Gi", "Ti"]))
def test_binary_suffixes_are_powers_of_1024(number, suffix):
    larger = {"Ki": "Mi", "Mi": "Gi", "Gi": "Ti", "Ti": "Pi"}[suffix]
    assert same_quantity(f"{number * 1024}{suffix}", f"{number}{larger}")


@given(st.decimals(0, 10**9, places=6))
def test_rounding_never_decreases_and_never_adds_a_thousandth(number):
    kept = value_of(format(number, "f"))
    assert 0 <= kept - number < Decimal("0.001")


@given(WHOLE, WHOLE)
def test_different_numbers_are_different_quantities(one, other):
    assert same_quantity(f"{one}m", f"{other}m") == (one == other)
