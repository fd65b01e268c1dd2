"""Kubernetes quantities compared by value, because the API server rewrites them: 1000m is stored as 1, 1024Mi as 1Gi.

A quantity that is compared by its text alone looks like drift for ever.
"""

from typing import Any

from gco_stream.model.quantities import value_of

__all__ = ["same_quantity", "value_of"]


def same_quantity(one: Any, other: Any) -> bool:
    """Whether two JSON values are one quantity. What is not a quantity equals only itself."""
    if one == other:
        return True
    try:
        return value_of(one) == value_of(other)
    except ValueError:
        return False
