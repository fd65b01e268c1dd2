"""Runs the queries of the dashboard file as Grafana would: fills in variables and names the lines."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.dashboard.prometheus import Series

# Both variables allow several values, and All is selected.
_CHOSEN: Final = {"$namespace": ".*", "$job": ".*"}
_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel: its legend, and (Unix time, value) pairs. A missing value is NaN."""

    legend: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A panel of the dashboard file with its lines."""

    panel: Mapping[str, Any]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the dashboard file: its title and panels."""

    title: str
    panels: tuple[Answered, ...]


def filled(expr: str, rate_interval: float) -> str:
    """The expression with its variables filled in, for Prometheus. `rate_interval` is in seconds."""
    for variable, value in _CHOSEN.items():
        expr = expr.replace(variable, value)
    return expr.replace("$__rate_interval", f"{rate_interval:g}s")


def legend(form: str, labels: Mapping[str, str]) -> str:
    """Name of a line: `form` with the label values filled in, or all labels if `form` is empty."""
    if not form:
        return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return _LABEL.sub(lambda found: labels.get(found[1], ""), form)


def rows(file: Path, ask: Callable[[str], list[Series]], rate_interval: float) -> Iterator[Row]:
    """The rows of the dashboard with the query results from `ask`."""
    title, panels = "", list[Answered]()
    for panel in json.loads(file.read_text("utf-8"))["panels"]:
        if panel["type"] == "row":
            if panels:
                yield Row(title, tuple(panels))
            title, panels = panel["title"], []
            continue
        lines = (
            Line(legend(target["legendFormat"], one.labels), one.points)
            for target in panel["targets"]
            for one in ask(filled(target["expr"], rate_interval))
        )
        panels.append(Answered(panel, tuple(lines)))
    yield Row(title, tuple(panels))
