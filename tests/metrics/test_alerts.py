"""Tests of the alerts: Prometheus accepts the rules, each fires when it should, and each has a runbook."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import Helm
from tests.metrics.scenarios import HEALTHY, SCENARIOS, Series
from tests.metrics.support.alerts import ALERTS, ROOT, RULES, promtool
from tools.metrics.dashboard import DASHBOARD

RUNBOOKS = ROOT / "docs" / "operations.md"


def write_tests(file: Path, rules: Path, *groups: dict[str, Any]) -> Path:
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
def test_prometheus_accepts_the_rules(promtool_binary: Path) -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool(promtool_binary, "check", "rules", "--lint=all", RULES)


@pytest.mark.slow
def test_the_charts_rules_link_to_the_runbooks_url_from_the_values(
    helm_binary: Path, promtool_binary: Path, tmp_path: Path
) -> None:
    url = "https://wiki.example/operations"
    wanted = {"metrics": {"prometheusRule": {"enabled": True, "runbooks": url}, "dashboards": {"enabled": True}}}
    made = Helm(helm_binary, tmp_path).render(wanted)
    spec = made["PrometheusRule/gco-stream"]["spec"]
    urls = {rule["alert"]: rule["annotations"]["runbook_url"] for group in spec["groups"] for rule in group["rules"]}
    assert urls == {name: f"{url}#{name.lower()}" for name in ALERTS}
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(spec))
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool(promtool_binary, "check", "rules", file)
    (board,) = made["ConfigMap/gco-stream-dashboards"]["data"].values()
    assert json.loads(board) == json.loads(DASHBOARD.read_text())


@pytest.mark.slow
def test_no_alert_fires_for_a_healthy_fleet(promtool_binary: Path, tmp_path: Path) -> None:
    healthy = group("healthy", HEALTHY, 170, "ALERTS")
    healthy["promql_expr_test"] += [{**healthy["promql_expr_test"][0], "eval_time": f"{at}m"} for at in (20, 60, 120)]
    promtool(promtool_binary, "test", "rules", write_tests(tmp_path / "healthy.yaml", RULES, healthy))


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_not_before(promtool_binary: Path, tmp_path: Path) -> None:
    assert SCENARIOS.keys() == ALERTS.keys()
    files = []
    for name, scenario in SCENARIOS.items():
        rule = ALERTS[name]
        rules = tmp_path / f"{name}.rules.yaml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [rule]}]}))
        # Omit series that the rule does not use, to save time: there are 60 of these tests.
        healthy = {series: values for series, values in HEALTHY.items() if series.partition("{")[0] in rule["expr"]}
        firing, at = 'group by (alertname) (ALERTS{alertstate="firing"})', scenario.minutes
        fires = group("fires", healthy | scenario.fires, at, firing, f'{{alertname="{name}"}}')
        silent = group("is silent", healthy | scenario.silent, at, firing)
        files.append(write_tests(tmp_path / f"{name}.yaml", rules, fires, silent))
    promtool(promtool_binary, "test", "rules", *files)


@pytest.mark.slow
def test_the_summary_of_an_alert_has_its_labels_filled_in(promtool_binary: Path, tmp_path: Path) -> None:
    name = "GcoStreamNoLeader"
    firing = group("annotations", HEALTHY | SCENARIOS[name].fires, 60, "vector(1)", "{}")
    annotations = {**ALERTS[name]["annotations"], "summary": "No replica in gco is the leader."}
    labels = {"severity": "critical", "namespace": "gco", "job": "gco-stream"}
    expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    firing["alert_rule_test"] = [{"eval_time": "60m", "alertname": name, "exp_alerts": expected}]
    promtool(promtool_binary, "test", "rules", write_tests(tmp_path / "annotations.yaml", RULES, firing))


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_runbook_with_meaning_impact_diagnosis_and_mitigation(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None
    for part in ("**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mitigation.**"):
        assert part in section[1]
    assert re.search(r"`(kubectl|gco-stream|aws) |```sh\n", section[1]), "the runbook has no command"


def test_there_is_no_runbook_without_an_alert() -> None:
    assert set(re.findall(r"^### (GcoStream\w+)$", RUNBOOKS.read_text(), re.MULTILINE)) == ALERTS.keys()
