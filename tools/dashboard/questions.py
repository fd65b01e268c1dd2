"""What the dashboard's file asks, as Grafana would ask it: the variables filled in, and what each line is called."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.dashboard.prometheus import Series

# Both variables may be many, and All is chosen.
_CHOSEN: Final = {"$namespace": ".*", "$job": ".*"}
_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel: what its legend says, and (Unix time, value) pairs; NaN where it has no value."""

    legend: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A panel of the file, and its lines."""

    panel: Mapping[str, Any]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file: its title, and its panels."""

    title: str
    panels: tuple[Answered, ...]


def filled(expr: str, rate_interval: float) -> str:
    """An expression of the file as Prometheus is asked it; `rate_interval` in seconds."""
    for variable, value in _CHOSEN.items():
        expr = expr.replace(variable, value)
    return expr.replace("$__rate_interval", f"{rate_interval:g}s")


def legend(form: str, labels: Mapping[str, str]) -> str:
    """A line's name: `form` with its labels' values in it; all of the labels where the form is empty."""
    if not form:
        return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return _LABEL.sub(lambda found: labels.get(found[1], ""), form)


def rows(file: Path, ask: Callable[[str], list[Series]], rate_interval: float) -> Iterator[Row]:
    """The dashboard's rows with the answers that `ask` gives."""
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
