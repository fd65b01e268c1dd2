"""Formatting of values and axes."""

import pytest

from tools.dashboard.drawing import mark
from tools.dashboard.units import marks, written


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "short", "0"),
        (48, "short", "48"),
        (1234, "short", "1.23 K"),
        (0.0042, "s", "4.2 ms"),
        (0, "s", "0 s"),
        (90, "s", "1.5 min"),
        (90 * 2**20, "bytes", "90 MiB"),
        (0.125, "percentunit", "12.5%"),
        (2.5, "ops", "2.5 ops/s"),
        (3200, "reqps", "3.2 K req/s"),
    ],
)
def test_a_value_is_formatted_in_its_unit(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


def test_an_unknown_unit_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"^unit: invalid value 'furlongs': must be one of short, s, "):
        written(1, "furlongs")


@pytest.mark.parametrize(
    ("top", "unit", "least", "texts"),
    [
        (0, "short", 1, ["0", "1"]),
        (3, "short", 1, ["0", "1", "2", "3"]),
        (48, "short", 1, ["0", "20", "40", "60"]),
        (0.031, "s", 0, ["0 ms", "10 ms", "20 ms", "30 ms", "40 ms"]),
        (250, "s", 0, ["0 min", "2 min", "4 min", "6 min"]),
        (100 * 2**20, "bytes", 0, ["0 MiB", "40 MiB", "80 MiB", "120 MiB"]),
        (0.0171, "percentunit", 0, ["0.0%", "0.5%", "1.0%", "1.5%", "2.0%"]),
    ],
)
def test_an_axis_has_a_few_round_values(top: float, unit: str, least: float, texts: list[str]) -> None:
    found = marks(top, unit, 4, least)
    assert found[-1] >= top
    assert [mark(value, found, unit) for value in found] == texts
