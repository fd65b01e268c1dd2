"""Tests of the dashboard: generated from the code, without overlapping panels, and with valid queries."""

from pathlib import Path

import pytest
import yaml

from tests.metrics.support.alerts import promtool
from tests.metrics.support.panels import MADE, PANELS
from tools.metrics.dashboard import DASHBOARD, dashboard


def test_the_file_is_up_to_date() -> None:
    assert DASHBOARD.read_text() == dashboard(), "out of date: run python -m tools.metrics"


def test_the_rows_are_in_order() -> None:
    rows = [panel["title"] for panel in MADE["panels"] if panel["type"] == "row"]
    assert rows == ["Fleet", "Changes", "Stream", "Kubernetes", "Leadership", "Process"]


def test_panels_do_not_overlap_and_each_has_a_description() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in MADE["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in MADE["panels"]}) == len(MADE["panels"])
    assert all(panel["description"].endswith(".") and panel["targets"] for panel in PANELS)


def test_every_query_selects_only_the_chosen_fleet() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            chosen = target["expr"].count('namespace=~"$namespace",job=~"$job"')
            assert chosen == target["expr"].count("{"), target["expr"]


@pytest.mark.slow
def test_prometheus_accepts_every_query(promtool_binary: Path, tmp_path: Path) -> None:
    queries = [target["expr"].replace("$__rate_interval", "5m") for panel in PANELS for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(queries)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool(promtool_binary, "check", "rules", file)
