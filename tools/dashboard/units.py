"""Formats values in their unit, as on a dashboard, and computes the round values of an axis."""

import math
from typing import Final

_PLAIN: Final = ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " K"), (1.0, ""))
_BYTES: Final = ((2.0**40, " TiB"), (2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B"))
_SECONDS: Final = ((86400.0, " d"), (3600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs"))
_AFTER: Final = {"ops": " ops/s", "reqps": " req/s"}
_DIGITS: Final = 3


def scale(value: float, unit: str) -> tuple[float, str]:
    """Divisor and suffix for values of this magnitude. Raises ValueError for an unknown unit."""
    size = abs(value)
    if unit == "percentunit":
        return 0.01, "%"
    if unit == "s":
        return next((one for one in _SECONDS if size >= one[0]), _SECONDS[-1] if size else (1.0, " s"))
    if unit == "bytes":
        return next((one for one in _BYTES if size >= one[0]), _BYTES[-1])
    if unit == "short" or unit in _AFTER:
        by, after = next((one for one in _PLAIN if size >= one[0]), _PLAIN[-1])
        return by, after + _AFTER.get(unit, "")
    raise ValueError(f"unit: invalid value {unit!r}: must be one of short, s, percentunit, bytes, ops, reqps")


def written(value: float, unit: str) -> str:
    """Formats a value with three significant digits."""
    by, after = scale(value, unit)
    shown = value / by
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(abs(shown)))) if shown else 0
    text = f"{shown:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + after


def marks(top: float, unit: str, most: int, least: float = 0.0) -> list[float]:
    """Round axis values from 0 to at least `top`, in at most `most` steps of at least `least`.

    Which values are round depends on the unit: powers of two for bytes, divisors of 60 for minutes and hours.
    """
    if top <= 0:
        return [0.0, max(1.0, least)]
    by, _ = scale(top, unit)
    wanted = max(top / most, least) / by
    bases: tuple[float, ...] = (1, 2, 5, 10)
    if unit == "bytes":
        bases = (1, 2, 4, 8, 10)
    elif unit == "s" and by in {60.0, 3600.0}:
        bases = (1, 2, 3, 5, 10)
    power = 10.0 ** math.floor(math.log10(wanted) + 1e-9)
    step = next(base * power for base in bases if base * power >= wanted * (1 - 1e-9)) * by
    return [number * step for number in range(math.ceil(top / step - 1e-9) + 1)]
