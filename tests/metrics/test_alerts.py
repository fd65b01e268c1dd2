"""The alerts: Prometheus takes them, each fires when it should and not before, and each has its runbook."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import Helm
from tests.metrics.scenarios import SCENARIOS, WELL, Series
from tools.metrics.dashboard import DASHBOARD

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "helm" / "gco-stream" / "alerts" / "gco-stream.yaml"
RUNBOOKS = ROOT / "docs" / "operations.md"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}


def promtool(binary: Path, *arguments: str | Path) -> str:
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(file: Path, rules: Path, *groups: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": list(groups)}))
    return file


def group(name: str, scraped: Series, minutes: int, expr: str, *expected: str) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in scraped.items()],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": labels, "value": 1} for labels in expected],
            }
        ],
    }


@pytest.mark.slow
def test_prometheus_takes_the_rules(promtool_binary: Path) -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool(promtool_binary, "check", "rules", "--lint=all", RULES)


@pytest.mark.slow
def test_the_charts_rules_lead_to_the_runbooks_that_its_values_name(
    helm_binary: Path, promtool_binary: Path, tmp_path: Path
) -> None:
    where = "https://wiki.example/operations"
    wanted = {"metrics": {"prometheusRule": {"enabled": True, "runbooks": where}, "dashboards": {"enabled": True}}}
    made = Helm(helm_binary, tmp_path).render(wanted)
    spec = made["PrometheusRule/gco-stream"]["spec"]
    urls = {rule["alert"]: rule["annotations"]["runbook_url"] for group in spec["groups"] for rule in group["rules"]}
    assert urls == {name: f"{where}#{name.lower()}" for name in ALERTS}
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(spec))
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool(promtool_binary, "check", "rules", file)
    (board,) = made["ConfigMap/gco-stream-dashboards"]["data"].values()
    assert json.loads(board) == json.loads(DASHBOARD.read_text())


@pytest.mark.slow
def test_nothing_fires_while_all_is_well(promtool_binary: Path, tmp_path: Path) -> None:
    well = group("all is well", WELL, 170, "ALERTS")
    well["promql_expr_test"] += [{**well["promql_expr_test"][0], "eval_time": f"{at}m"} for at in (20, 60, 120)]
    promtool(promtool_binary, "test", "rules", written(tmp_path / "well.yaml", RULES, well))


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_not_before(promtool_binary: Path, tmp_path: Path) -> None:
    assert SCENARIOS.keys() == ALERTS.keys()
    files = []
    for name, scenario in SCENARIOS.items():
        rule = ALERTS[name]
        rules = tmp_path / f"{name}.rules.yaml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [rule]}]}))
        # What the rule does not look at is left out: there are 60 of these tests.
        well = {series: values for series, values in WELL.items() if series.partition("{")[0] in rule["expr"]}
        firing, at = 'group by (alertname) (ALERTS{alertstate="firing"})', scenario.minutes
        fires = group("fires", well | scenario.fires, at, firing, f'{{alertname="{name}"}}')
        silent = group("is silent", well | scenario.silent, at, firing)
        files.append(written(tmp_path / f"{name}.yaml", rules, fires, silent))
    promtool(promtool_binary, "test", "rules", *files)


@pytest.mark.slow
def test_what_an_alert_says_can_be_read_at_night(promtool_binary: Path, tmp_path: Path) -> None:
    name = "GcoStreamNoLeader"
    firing = group("said", WELL | SCENARIOS[name].fires, 60, "vector(1)", "{}")
    annotations = {**ALERTS[name]["annotations"], "summary": "No replica in gco leads."}
    labels = {"severity": "critical", "namespace": "gco", "job": "gco-stream"}
    expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    firing["alert_rule_test"] = [{"eval_time": "60m", "alertname": name, "exp_alerts": expected}]
    promtool(promtool_binary, "test", "rules", written(tmp_path / "said.yaml", RULES, firing))


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_runbook_that_tells_what_it_means_what_to_look_at_and_what_mends_it(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    for part in ("**Means.**", "**Look at.**", "**Mend.**"):
        assert part in section[1]
    assert re.search(r"`(kubectl|gco-stream|aws) |```sh\n", section[1]), "no command"


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    assert set(re.findall(r"^### (GcoStream\w+)$", RUNBOOKS.read_text(), re.MULTILINE)) == ALERTS.keys()
