"""Checks that each dashboard panel has data, from metrics that are scraped from a real controller."""

from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.support.harness.program import Program
from tests.integration.support.harness.world import World
from tests.metrics.support.alerts import promtool
from tests.metrics.support.panels import PANELS
from tests.support.items import item
from tools.dashboard.questions import filled

# Labels that Prometheus adds by service discovery.
ADDED = 'namespace="gco-system",job="gco-stream",pod="gco-stream-0"'
SCRAPES = 6


def scraped(program: Program) -> dict[str, float]:
    """Scrapes the program and returns the value of each series, by its name in Prometheus."""
    found = {}
    for family in text_string_to_metric_families(program.http("/metrics")[1]):
        for sample in family.samples:
            own = "".join(f",{name}={_quoted(value)}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{ADDED}{own}}}"] = float(sample.value)
    return found


def _quoted(value: str) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def test_each_panel_has_something_to_show_of_a_real_controller(
    world: World, controller: Program, promtool_binary: Path, tmp_path: Path
) -> None:
    before = scraped(controller)
    world.put(item(spec={"gpu_count": 0}))
    controller.until(lambda: (world.item("chat") or {}).get("desired_state") == "running", "the endpoint is promoted")
    after = scraped(controller)
    assert after["gco_stream_endpoints{" + ADDED + "}"] == 1
    series = [
        {"series": name, "values": f"{before.get(name, 0.0)!r} " + f"{value!r} " * (SCRAPES - 1)}
        for name, value in after.items()
    ]
    asked = {
        f"{panel['title']} {target['refId']}": filled(target["expr"], 60)
        for panel in PANELS
        for target in panel["targets"]
    }
    questions = [
        {"expr": f"absent({expr})", "eval_time": f"{15 * (SCRAPES - 1)}s", "exp_samples": []} for expr in asked.values()
    ]
    tests = tmp_path / "answers.yaml"
    one = {"name": "scraped", "interval": "15s", "input_series": series, "promql_expr_test": questions}
    tests.write_text(yaml.safe_dump({"tests": [one]}))
    assert "SUCCESS" in promtool(promtool_binary, "test", "rules", tests)
