"""The dashboard: as the code makes it, laid out without holes, and Prometheus understands each of its questions."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metrics.test_alerts import promtool
from tools.metrics.dashboard import DASHBOARD, dashboard

MADE: dict[str, Any] = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in MADE["panels"] if panel["type"] != "row"]


def test_the_file_is_what_the_code_makes() -> None:
    assert DASHBOARD.read_text() == dashboard(), "python -m tools.metrics"


def test_it_has_the_rows_that_one_looks_for() -> None:
    rows = [panel["title"] for panel in MADE["panels"] if panel["type"] == "row"]
    assert rows == ["Fleet", "Changes", "Stream", "Kubernetes", "Leadership", "Process"]


def test_no_panel_lies_on_another_and_each_tells_what_it_shows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in MADE["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in MADE["panels"]}) == len(MADE["panels"])
    assert all(panel["description"].endswith(".") and panel["targets"] for panel in PANELS)


def test_every_panel_looks_at_the_chosen_fleet_only() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            chosen = target["expr"].count('namespace=~"$namespace",job=~"$job"')
            assert chosen == target["expr"].count("{"), target["expr"]


@pytest.mark.slow
def test_prometheus_understands_every_question(promtool_binary: Path, tmp_path: Path) -> None:
    asked = [target["expr"].replace("$__rate_interval", "5m") for panel in PANELS for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(asked)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool(promtool_binary, "check", "rules", file)
