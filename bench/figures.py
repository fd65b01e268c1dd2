"""What a measurement gives: figures with their spread, and whether each is within its aim."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Fewer values have no 99th percentile that is not simply the largest.
_ENOUGH_FOR_P99 = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured once or often. `at_most`: aims by statistic (min, median, p99, max)."""

    name: str
    unit: str
    values: Sequence[float]
    at_most: Mapping[str, float] = field(default_factory=dict)

    def statistics(self) -> dict[str, float]:
        """Those that make sense for so many values."""
        ordered = sorted(self.values)
        if len(ordered) < 2:
            return {"median": ordered[0]} if ordered else {}
        found = {"min": ordered[0], "median": statistics.median(ordered)}
        if len(ordered) >= _ENOUGH_FOR_P99:
            found["p99"] = percentile(ordered, 0.99)
        return found | {"max": ordered[-1]}

    def verdicts(self) -> dict[str, bool]:
        """For each aim whether it holds; one that was aimed at a statistic there are too few values for is left out."""
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
    """Its figures, and what a reader must know to read them right."""

    figures: Sequence[Figure]
    notes: Sequence[str] = ()


def percentile(ordered: Sequence[float], share: float) -> float:
    """By nearest rank: a value that was really measured."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
