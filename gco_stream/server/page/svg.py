"""Geometry of the status page's SVG diagrams, which the templates draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from gco_stream.engine.state.endpoint_history import Change
from gco_stream.server.page import formatting as words
from gco_stream.server.page.view_models import Shard

_LEFT: Final = 60.0
_RIGHT: Final = 900.0
_MIN_WIDTH: Final = 120.0
_LANE: Final = 44.0
_MAX_LANES: Final = 64
# Lag in seconds at which the bar is full.
_FULL: Final = 300.0


@dataclass(frozen=True, slots=True)
class Milestone:
    """A step of a change: its position, label, time of day, and whether it has been reached."""

    x: float
    label: str
    time: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Interval:
    """The line between two milestones. `took`: the formatted duration, "" if it is not known yet."""

    x: float
    width: float
    took: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """The timeline of a change. `description`: the text alternative for screen readers."""

    milestones: tuple[Milestone, ...]
    intervals: tuple[Interval, ...]
    description: str


def timeline(change: Change) -> Timeline:
    """Returns the timeline of a change: changed, read, applied, ready. Widths grow with the logarithm of durations."""
    last = "ready" if change.ended in {"", "running"} else change.ended
    labels = ("changed", "read", "applied", last)
    times = (change.changed, change.read, change.applied, change.ready)
    spans = [
        max(0.0, after - before) if before is not None and after is not None else None
        for before, after in pairwise(times)
    ]
    weights = [0.0 if one is None else math.log10(1 + 1000 * one) for one in spans]
    spare_width = _RIGHT - _LEFT - _MIN_WIDTH * len(spans)
    total = sum(weights) or 1.0
    widths = [
        _MIN_WIDTH + spare_width * weight / total if any(weights) else (_RIGHT - _LEFT) / len(spans)
        for weight in weights
    ]
    positions = [_LEFT + sum(widths[:number]) for number in range(len(times))]
    milestones = tuple(
        Milestone(round(x, 1), label, words.clock(time) if time is not None else "not yet", time is not None)
        for x, label, time in zip(positions, labels, times, strict=True)
    )
    intervals = tuple(
        Interval(round(x, 1), round(width, 1), "" if took is None else words.span(took), took is not None)
        for x, width, took in zip(positions, widths, spans, strict=False)
    )
    return Timeline(milestones, intervals, _describe(change, spans, last))


def _describe(change: Change, spans: Sequence[float | None], last: str) -> str:
    parts = []
    for took, what in zip(spans, ("read", "applied", last), strict=True):
        if took is not None:
            parts.append(f"{what} {words.span(took)} later")
    if change.applied is None and change.ended:
        parts.append("nothing to apply")
    elif change.applied is None:
        parts.append("not applied yet")
    elif change.ready is None:
        parts.append("not ready yet")
    return f"Changed; {', '.join(parts)}."


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of the shard diagram. `behind`: the shard's lag as text.

    The bar shows the upper bound on the lag, on a logarithmic scale up to 5 minutes.
    """

    y: float
    id: str
    state: str
    behind: str
    width: float
    tone: str


@dataclass(frozen=True, slots=True)
class Lanes:
    """The shard diagram. `left_out`: the number of shards that it does not show."""

    lanes: tuple[Lane, ...]
    height: float
    left_out: int


def lanes(shards: Sequence[Shard], poll_interval: float) -> Lanes:
    """Returns the shard diagram, with the shards that are being read first.

    A shard is shown as late if its lag exceeds both 10 poll intervals and 5 seconds. `poll_interval`: seconds.
    """

    ordered = sorted(shards, key=lambda shard: (shard.state != "reading", shard.id))
    drawn = []
    for number, shard in enumerate(ordered[:_MAX_LANES]):
        share = 0.0 if shard.behind is None else min(1.0, math.log10(1 + shard.behind) / math.log10(1 + _FULL))
        late = shard.behind is not None and shard.behind > max(5.0, 10 * poll_interval)
        drawn.append(
            Lane(
                y=number * _LANE,
                id=short_id(shard.id),
                state=shard.state,
                behind="waiting for its parent" if shard.state == "waiting" else _behind(shard),
                width=round(max(12.0, share * 560), 1),
                tone="quiet" if shard.behind is None else "bad" if late else "good",
            )
        )
    return Lanes(tuple(drawn), max(_LANE, len(drawn) * _LANE), max(0, len(ordered) - _MAX_LANES))


def _behind(shard: Shard) -> str:
    return "not read yet" if shard.behind is None else f"at most {words.span(shard.behind)} behind"


def short_id(shard_id: str) -> str:
    """Returns a shard ID, abbreviated to its start and end if it is long."""
    return shard_id if len(shard_id) <= 24 else f"{shard_id[:15]}…{shard_id[-8:]}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a bar, in units of a thousandth of the bar's width."""

    x: float
    width: float
    label: str
    count: int


def bar(counts: Sequence[tuple[str, int]]) -> tuple[Segment, ...]:
    """Returns the segments of a bar. Every count above 0 has a visible segment."""
    total = sum(count for _, count in counts)
    shown = [(label, count) for label, count in counts if count]
    if not total:
        return ()
    raw = [max(6.0, 1000 * count / total) for _, count in shown]
    scale = 1000 / sum(raw)
    segments, x = [], 0.0
    for (label, count), width in zip(shown, raw, strict=True):
        segments.append(Segment(round(x, 1), round(width * scale, 1), label, count))
        x += width * scale
    return tuple(segments)
