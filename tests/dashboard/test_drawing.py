"""The drawing of the dashboard matches its file and the query results."""

import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tools.dashboard.drawing import Frame, drawn
from tools.dashboard.page import page
from tools.dashboard.prometheus import Series
from tools.dashboard.questions import Answered, Line, filled, legend, rows
from tools.metrics.dashboard import DASHBOARD

FRAME = Frame(480, 240, 0, 60, dark=False)


def panel(kind: str = "timeseries", *, stacked: bool = False, **defaults: Any) -> dict[str, Any]:
    custom = {"fillOpacity": 20, "stacking": {"mode": "normal" if stacked else "none"}}
    return {
        "type": kind,
        "title": "A panel",
        "fieldConfig": {"defaults": {"unit": "short", "custom": custom, **defaults}},
    }


def line(legend: str, *values: float) -> Line:
    return Line(legend, tuple((float(20 * number), float(value)) for number, value in enumerate(values)))


def shapes(svg: str, css: str = "line") -> list[str]:
    paths = [one.attrib for one in ElementTree.fromstring(svg).iter("path")]  # noqa: S314 - our own
    return [one["d"] for one in paths if one.get("class", "") == css]


def heights(path: str) -> list[float]:
    return [float(y) for y in re.findall(r" ([\d.]+)", path)]


def test_a_query_selects_all_namespaces_and_jobs_and_has_the_rate_interval() -> None:
    expr = 'rate(a{namespace=~"$namespace",job=~"$job"}[$__rate_interval])'
    assert filled(expr, 8) == 'rate(a{namespace=~".*",job=~".*"}[8s])'


def test_a_legend_is_filled_in_with_labels() -> None:
    assert legend("{{step}} {{ kind }}", {"step": "Apply", "kind": "Ingress"}) == "Apply Ingress"
    assert legend("", {"b": "2", "a": "1"}) == "a=1, b=2"


def test_a_missing_value_splits_a_line() -> None:
    svg = drawn(Answered(panel(), (line("a", 1, math.nan, 2, 3),)), FRAME)
    assert len(shapes(svg)) == 2


def test_stacked_lines_add_up() -> None:
    svg = drawn(Answered(panel(stacked=True), (line("a", 1, 1), line("b", 1, 1))), FRAME)
    lower, upper = (heights(path) for path in shapes(svg))
    bottom = max(heights(path)[0] for path in shapes(svg, "grid") if "H" in path)
    assert bottom - upper[0] == pytest.approx(2 * (bottom - lower[0]), abs=0.3)


def test_a_panel_without_values_shows_no_data() -> None:
    assert "No data" in drawn(Answered(panel(), ()), FRAME)
    assert "No data" in drawn(Answered(panel(), (line("a", math.nan),)), FRAME)


@pytest.mark.parametrize(("last", "colour"), [(0, "#3f9142"), (1, "#d63a4d"), (7, "#d63a4d")])
def test_a_number_has_the_color_of_its_threshold(last: float, colour: str) -> None:
    steps = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
    svg = drawn(Answered(panel("stat", thresholds={"steps": steps}), (line("", 0, last),)), FRAME)
    assert f'fill="{colour}">{last:g}</text>' in svg


def test_an_unknown_kind_of_panel_is_rejected() -> None:
    with pytest.raises(
        ValueError, match=r"^panel 'A panel': type: invalid value 'piechart': must be stat or timeseries"
    ):
        drawn(Answered(panel("piechart"), (line("a", 1),)), FRAME)


def test_names_are_escaped() -> None:
    svg = drawn(Answered(panel(), (line("<error>", 1, 1),)), FRAME)
    assert "&lt;error&gt;" in svg


def test_every_panel_of_the_file_is_on_the_page() -> None:
    found = list(rows(DASHBOARD, lambda _: [Series({"state": "running"}, ((0.0, 1.0), (60.0, 2.0)))], 8))
    assert [row.title for row in found] == ["Fleet", "Changes", "Stream", "Kubernetes", "Leadership", "Process"]
    html, height = page(found, 0, 60, dark=True, source="Prometheus")
    titles = [one.panel["title"] for row in found for one in row.panels]
    assert re.findall(r"<h3>([^<]*)</h3>", html) == titles
    assert "No data" not in html
    assert max(float(top) for top in re.findall(r"top:([\d.]+)px", html)) < height
