"""The page with the panels, placed by their `gridPos` on a grid of 24 columns."""

import time
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from tools.dashboard.drawing import Frame, drawn
from tools.dashboard.questions import Answered, Row

WIDTH: Final = 1480
_COLUMNS, _CELL, _GAP, _EDGE, _TITLE = 24, 30, 8, 16, 34
_STYLE: Final = """
:root { --page: #f4f5f5; --panel: #fff; --border: #e4e5e6; --text: #24292e; --soft: #6b7280; --grid: #24292e14 }
:root.dark { --page: #111217; --panel: #181b1f; --border: #25272c; --text: #d8d9da; --soft: #9a9da3; --grid: #d8d9da14 }
* { box-sizing: border-box; margin: 0 }
body { background: var(--page); color: var(--text); font: 13px/1.4 Inter, system-ui, sans-serif; position: relative }
header { position: absolute; left: 16px; right: 16px; top: 16px; display: flex; gap: 10px; align-items: center }
header h1 { font-size: 20px; font-weight: 600; flex: 1 }
header span { background: var(--panel); border: 1px solid var(--border); border-radius: 3px; padding: 4px 10px }
header b { font-weight: 500; color: var(--soft); margin-right: 8px }
h2 { position: absolute; left: 20px; font-size: 16px; font-weight: 600 }
h2::before { content: "▾"; margin-right: 8px; color: var(--soft) }
section { position: absolute; background: var(--panel); border: 1px solid var(--border); border-radius: 4px }
section { overflow: hidden }
h3 { font-size: 14px; font-weight: 500; line-height: 33px; padding: 0 10px; white-space: nowrap }
svg { display: block; font: 12px Inter, system-ui, sans-serif }
.grid { stroke: var(--grid); fill: none }
.axis, .none { fill: var(--soft) }
.legend { fill: var(--text) }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.great { font-size: 52px; font-weight: 600 }
"""


def page(rows: Sequence[Row], since: float, until: float, *, dark: bool, source: str) -> tuple[str, int]:
    """HTML of the rows from `since` to `until` (Unix times), and its height in pixels. The header shows `source`."""
    column = (WIDTH - 2 * _EDGE + _GAP) / _COLUMNS
    parts, top = [], 64.0
    for row in rows:
        parts.append(f'<h2 style="top:{top:.0f}px">{escape(row.title)}</h2>')
        top += _CELL + _GAP
        first = min(one.panel["gridPos"]["y"] for one in row.panels)
        lowest = 0.0
        for one in row.panels:
            place = one.panel["gridPos"]
            left, upper = _EDGE + place["x"] * column, top + (place["y"] - first) * (_CELL + _GAP)
            width, height = place["w"] * column - _GAP, place["h"] * (_CELL + _GAP) - _GAP
            parts.append(_section(one, left, upper, Frame(width - 2, height - _TITLE - 2, since, until, dark)))
            lowest = max(lowest, upper + height)
        top = lowest + _EDGE
    chosen = {"Data source": source, "Namespace": "All", "Job": "All", "Time": _span(since, until)}
    named = "".join(f"<span><b>{escape(name)}</b>{escape(value)}</span>" for name, value in chosen.items())
    begin = f'<!doctype html><html lang="en" class="{"dark" if dark else "light"}"><meta charset="utf-8">'
    body = f"<header><h1>gco-stream</h1>{named}</header>{''.join(parts)}"
    size = f"width:{WIDTH}px;height:{top:.0f}px"
    return f'{begin}<title>gco-stream</title><style>{_STYLE}</style><body style="{size}">{body}', round(top)


def _section(one: Answered, left: float, top: float, frame: Frame) -> str:
    panel: Any = one.panel
    place = f"left:{left:.1f}px;top:{top:.1f}px;width:{frame.width + 2:.1f}px;height:{frame.height + _TITLE + 2:.1f}px"
    return f'<section style="{place}"><h3>{escape(panel["title"])}</h3>{drawn(one, frame)}</section>'


def _span(since: float, until: float) -> str:
    begin, end = (time.strftime("%H:%M:%S", time.gmtime(at)) for at in (since, until))
    return f"{begin} to {end} UTC"
