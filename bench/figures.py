"""Results of a benchmark: figures with their statistics, and whether each meets its target."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# With fewer values, the 99th percentile is just the maximum.
_ENOUGH_FOR_P99 = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured one or more times. `at_most` has upper limits by statistic (min, median, p99, max)."""

    name: str
    unit: str
    values: Sequence[float]
    at_most: Mapping[str, float] = field(default_factory=dict)

    def statistics(self) -> dict[str, float]:
        """The statistics that are meaningful for this number of values."""
        ordered = sorted(self.values)
        if len(ordered) < 2:
            return {"median": ordered[0]} if ordered else {}
        found = {"min": ordered[0], "median": statistics.median(ordered)}
        if len(ordered) >= _ENOUGH_FOR_P99:
            found["p99"] = percentile(ordered, 0.99)
        return found | {"max": ordered[-1]}

    def verdicts(self) -> dict[str, bool]:
        """Whether each target is met. Leaves out targets on statistics for which there are too few values."""
        found = self.statistics()
        return {name: found[name] <= limit for name, limit in self.at_most.items() if name in found}

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "n": len(self.values),
            **{name: round(value, 4) for name, value in self.statistics().items()},
            **({"at_most": dict(self.at_most), "holds": self.verdicts()} if self.at_most else {}),
            "values": [round(value, 4) for value in self.values],
        }


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of a benchmark, and notes that explain them."""

    figures: Sequence[Figure]
    notes: Sequence[str] = ()


def percentile(ordered: Sequence[float], share: float) -> float:
    """Percentile by nearest rank, which is always a measured value."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
