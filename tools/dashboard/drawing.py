"""Draws one panel as SVG: lines, areas or a single number, according to the settings of the panel."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from tools.dashboard.questions import Answered, Line
from tools.dashboard.units import marks, scale, written

# Grafana's palette for successive lines: (dark theme, light theme).
_COLOURS: Final = (
    ("#73bf69", "#3f9142"),
    ("#f2cc0c", "#c79a00"),
    ("#8ab8ff", "#5a8fe0"),
    ("#ff780a", "#e8660a"),
    ("#f2495c", "#d63a4d"),
    ("#5794f2", "#2f6fdb"),
    ("#b877d9", "#9a4fc4"),
    ("#705da0", "#705da0"),
    ("#37872d", "#1f6b18"),
    ("#fade2a", "#b59a00"),
)
_NAMED: Final = {"green": 0, "yellow": 1, "blue": 5, "orange": 3, "red": 4}
_LEGEND_LINES: Final = 3
_LEFT, _RIGHT, _TOP, _BOTTOM, _LEGEND, _LETTER = 62, 12, 8, 20, 20, 6.3


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of a drawing in pixels, its time range (Unix times), and whether it uses the dark theme."""

    width: float
    height: float
    since: float
    until: float
    dark: bool


def drawn(answered: Answered, frame: Frame) -> str:
    """The content of the panel. Raises ValueError for an unknown kind of panel or unit."""
    kind = answered.panel["type"]
    if not any(math.isfinite(value) for line in answered.lines for _, value in line.points):
        middle = f'x="{frame.width / 2:.0f}" y="{frame.height / 2:.0f}" text-anchor="middle"'
        return _svg(frame, f'<text class="none" {middle}>No data</text>')
    if kind == "stat":
        return _svg(frame, "".join(_stat(answered, frame)))
    if kind == "timeseries":
        return _svg(frame, "".join(_timeseries(answered, frame)))
    raise ValueError(f"panel {answered.panel['title']!r}: type: invalid value {kind!r}: must be stat or timeseries")


def _svg(frame: Frame, inside: str) -> str:
    size = f'width="{frame.width:.0f}" height="{frame.height:.0f}"'
    return f'<svg {size} viewBox="0 0 {frame.width:.0f} {frame.height:.0f}">{inside}</svg>'


def _colour(number: int, frame: Frame) -> str:
    return _COLOURS[number % len(_COLOURS)][not frame.dark]


def _stat(answered: Answered, frame: Frame) -> Iterator[str]:
    defaults: dict[str, Any] = answered.panel["fieldConfig"]["defaults"]
    (line,) = answered.lines
    last = next(value for _, value in reversed(line.points) if math.isfinite(value))
    steps = defaults["thresholds"]["steps"]
    colour = _colour(_NAMED[[one["color"] for one in steps if one["value"] is None or last >= one["value"]][-1]], frame)
    top = max(value for _, value in line.points if math.isfinite(value)) or 1.0
    below = frame.height * 0.4
    place = _Place(0, frame.width, frame.height - below, frame.height - 2, frame.since, frame.until, top * 1.05)
    for part in _parts(line.points):
        yield f'<path d="{place.area(part, [(at, 0.0) for at, _ in part])}" fill="{colour}" fill-opacity=".18"/>'
        yield f'<path d="{place.path(part)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    number = escape(written(last, defaults["unit"]))
    yield (
        f'<text class="great" x="{frame.width / 2:.0f}" y="{frame.height * 0.42:.0f}" text-anchor="middle" '
        f'fill="{colour}">{number}</text>'
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Maps time and value to pixels: the corners of the plot, its time range and its highest value."""

    left: float
    right: float
    top: float
    bottom: float
    since: float
    until: float
    highest: float

    def x(self, at: float) -> float:
        return self.left + (at - self.since) / (self.until - self.since) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - value / self.highest * (self.bottom - self.top)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.x(at):.1f} {self.y(value):.1f}" for at, value in points)

    def area(self, above: Sequence[tuple[float, float]], below: Sequence[tuple[float, float]]) -> str:
        return self.path(above) + "L" + self.path(below[::-1])[1:] + "Z"


def _parts(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Splits a line at values that are not finite."""
    part: list[tuple[float, float]] = []
    for at, value in points:
        if math.isfinite(value):
            part.append((at, value))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _timeseries(answered: Answered, frame: Frame) -> Iterator[str]:
    defaults: dict[str, Any] = answered.panel["fieldConfig"]["defaults"]
    unit, custom = defaults["unit"], defaults["custom"]
    stacked = custom["stacking"]["mode"] == "normal"
    lines = answered.lines
    legends = _legends([line.legend for line in lines], frame)
    shapes = _stacked(lines) if stacked else [(line.points, ()) for line in lines]
    top = max(value for above, _ in shapes for _, value in above if math.isfinite(value))
    # An axis of counts has no fractions.
    axis = marks(top, unit, 4, least=float(unit == "short" and _whole(lines)))
    bottom = frame.height - _BOTTOM - _LEGEND * len(legends) - 4
    place = _Place(_LEFT, frame.width - _RIGHT, _TOP, bottom, frame.since, frame.until, axis[-1])
    yield from _grid(place, axis, unit)
    opacity = custom["fillOpacity"] / 100
    for number, (above, below) in enumerate(shapes):
        colour = _colour(number, frame)
        floor = dict(below)
        for part in _parts(above):
            under = [(at, floor.get(at, 0.0)) for at, _ in part]
            yield f'<path d="{place.area(part, under)}" fill="{colour}" fill-opacity="{opacity:g}"/>'
            yield f'<path class="line" d="{place.path(part)}" stroke="{colour}"/>'
    yield from _names(legends, bottom + _BOTTOM + 4, frame)


def _whole(lines: Sequence[Line]) -> bool:
    return all(value.is_integer() for line in lines for _, value in line.points if math.isfinite(value))


def _stacked(
    lines: Sequence[Line],
) -> list[tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]]:
    """Upper and lower edge of each stacked line. A line without a value at some time adds nothing there."""
    times = sorted({at for line in lines for at, _ in line.points})
    below = [(at, 0.0) for at in times]
    shapes: list[tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]] = []
    for line in lines:
        own = {at: value for at, value in line.points if math.isfinite(value)}
        above = [(at, value + own.get(at, 0.0)) for at, value in below]
        shapes.append((above, below))
        below = above
    return shapes


def _grid(place: _Place, axis: Sequence[float], unit: str) -> Iterator[str]:
    for value in axis:
        y, text = place.y(value), mark(value, axis, unit)
        yield f'<path class="grid" d="M{place.left} {y:.1f}H{place.right}"/>'
        yield f'<text class="axis" x="{place.left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    span = place.until - place.since
    every = next(one for one in (15, 30, 60, 120, 300, 600, 1800, 3600) if span / one <= 6)
    at = math.ceil(place.since / every) * every
    while at <= place.until:
        x = place.x(at)
        yield f'<path class="grid" d="M{x:.1f} {place.top}V{place.bottom}"/>'
        form = "%H:%M" if every >= 60 else "%H:%M:%S"
        if place.left + 14 < x < place.right - 14:
            text = time.strftime(form, time.gmtime(at))
            yield f'<text class="axis" x="{x:.1f}" y="{place.bottom + 16:.1f}" text-anchor="middle">{text}</text>'
        at += every


def mark(value: float, axis: Sequence[float], unit: str) -> str:
    """Label of a value on an axis. All labels use the unit of the highest value."""
    by, after = scale(axis[-1], unit)
    step = (axis[1] - axis[0]) / by
    return f"{value / by:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}{after}"


def _legends(names: Sequence[str], frame: Frame) -> list[list[tuple[float, int, str]]]:
    """Lays out the legend in up to three lines. Each entry is (x position, line number, name)."""
    placed: list[list[tuple[float, int, str]]] = [[]]
    x = 10.0
    for number, name in enumerate(names):
        width = 24 + len(name) * _LETTER
        if x + width > frame.width - 8 and placed[-1]:
            if len(placed) == _LEGEND_LINES:
                placed[-1].append((x, -1, f"+{len(names) - number}"))
                break
            placed.append([])
            x = 10.0
        placed[-1].append((x, number, name))
        x += width + 10
    return placed


def _names(legends: Sequence[Sequence[tuple[float, int, str]]], top: float, frame: Frame) -> Iterator[str]:
    for row, names in enumerate(legends):
        y = top + 13 + row * _LEGEND
        for x, number, name in names:
            if number >= 0:
                colour = _colour(number, frame)
                yield f'<rect x="{x:.0f}" y="{y - 6:.0f}" width="14" height="4" rx="2" fill="{colour}"/>'
            yield f'<text class="legend" x="{x + 19:.0f}" y="{y:.0f}">{escape(name)}</text>'
