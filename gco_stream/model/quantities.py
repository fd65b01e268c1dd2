"""Numeric values of Kubernetes quantities, as the API server stores them.

The grammar and the limits are those of apimachinery (pkg/api/resource/quantity.go), and the rounding of resource lists
is that of SetDefaults_ResourceList.
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
# The largest quantity has 22 digits in thousandths. Longer values are capped or rounded, never wrapped.
_EXACT = Context(prec=2000)


def value_of(quantity: str | int | float) -> Decimal:
    """Returns the stored value of a resource quantity: rounded up to thousandths, at most 2^63 - 1.

    Numbers are accepted as Kubernetes accepts them from JSON. Raises ValueError for an invalid quantity.
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
