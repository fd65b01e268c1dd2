"""Numeric values of Kubernetes quantities, as the API server stores them.

Grammar and limits are those of apimachinery (pkg/api/resource/quantity.go). Values are rounded in the same way as by
SetDefaults_ResourceList.
"""

import re
from decimal import ROUND_UP, Context, Decimal

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,3}|[num]|[kMGTPE]|[KMGTPE]i)?")
_SUFFIXES = {
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("n", "u", "m", "", "k", *"MGTPE"), start=-3)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}
_MAX_VALUE = Decimal(2**63 - 1)
_MILLI = Decimal("0.001")
# The default precision of 28 digits would round long quantities too early.
_EXACT = Context(prec=2000)


def value_of(quantity: str | int | float) -> Decimal:
    """Returns the value that the API server stores for a quantity: rounded up to thousandths, at most 2^63 - 1.

    A JSON number is a valid quantity, as in Kubernetes. Raises ValueError for an invalid quantity.
    """
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"not a Kubernetes quantity: {quantity!r:.60}")
    digits, suffix = match[1], match[2] or ""
    scale = _SUFFIXES.get(suffix)
    value = Decimal(digits + suffix) if scale is None else _EXACT.multiply(Decimal(digits), scale)
    if abs(value) >= _MAX_VALUE:
        return _MAX_VALUE.copy_sign(value)
    return value.quantize(_MILLI, ROUND_UP, _EXACT)
