"""Tests of the objects around the pods: network policy, namespaces, monitors, alerts and dashboards."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import Helm, Object
from tests.chart.support.labels import SELECTOR
from tests.support.items import parity_objects

pytestmark = pytest.mark.slow

RULES = {
    "groups": [{"name": "one", "rules": [{"alert": "A", "expr": "up == 0", "annotations": {"is": "{{ $value }}"}}]}]
}
EVERYTHING = {
    "metrics": {
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "gco"}},
    }
}


def test_the_network_policy_allows_the_http_port_and_the_controllers_egress(helm: Helm) -> None:
    assert "NetworkPolicy/gco-stream" not in helm.render()
    prometheus = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    policy = helm.render(
        {
            "networkPolicy": {
                "enabled": True,
                "from": [prometheus],
                "apiServerPorts": [443, 7443],
                "extraEgress": [{"ports": [{"port": 4566, "protocol": "TCP"}]}],
            }
        }
    )["NetworkPolicy/gco-stream"]["spec"]
    # The policy also applies to the doctor's pod, so its findings hold for the controller.
    assert policy["podSelector"]["matchLabels"].items() < SELECTOR.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}], "from": [prometheus]}]
    assert policy["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 7443, "protocol": "TCP"}]},
        {
            "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}, {"ipBlock": {"cidr": "fd00:ec2::23/128"}}],
            "ports": [{"port": 80, "protocol": "TCP"}],
        },
        {"ports": [{"port": 4566, "protocol": "TCP"}]},
    ]


def test_the_service_includes_pods_that_are_not_ready(plain: dict[str, Object]) -> None:
    assert plain["Service/gco-stream"]["spec"] == {
        "type": "ClusterIP",
        "publishNotReadyAddresses": True,
        "ports": [{"name": "http", "port": 8080, "targetPort": "http", "protocol": "TCP"}],
        "selector": SELECTOR,
    }


def test_namespaces_are_created_on_request_and_outlive_the_release(helm: Helm) -> None:
    objects = helm.render(
        {"namespaces": {"create": True}, "settings": {"ALLOWED_NAMESPACES": ["team-a", "gco-system"]}}
    )
    made = {name: obj for name, obj in objects.items() if obj["kind"] == "Namespace"}
    assert made.keys() == {"Namespace/gco-inference", "Namespace/team-a"}
    for namespace in made.values():
        assert namespace["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_endpoints_service_account_is_created_on_request_and_outlives_the_release(helm: Helm) -> None:
    annotations = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/models"}
    values = {"endpoints": {"serviceAccount": {"create": True, "annotations": annotations}}}
    objects = helm.render({**values, "settings": {"ALLOWED_NAMESPACES": ["team-a"]}})
    deployment = parity_objects("minimal")["Deployment/minimal"]
    name = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    for namespace in ("gco-inference", "team-a"):
        account = objects[f"ServiceAccount/{namespace}/{name}"]
        assert account["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep", **annotations}
    assert [one for one in helm.render() if one.endswith(name)] == []


@pytest.mark.parametrize(
    ("kind", "value", "endpoints"),
    [("ServiceMonitor", "serviceMonitor", "endpoints"), ("PodMonitor", "podMonitor", "podMetricsEndpoints")],
)
def test_a_monitor_scrapes_every_replica_with_the_given_settings(
    kind: str, value: str, endpoints: str, helm: Helm
) -> None:
    relabelings = [{"action": "labeldrop", "regex": "pod"}]
    settings = {"enabled": True, "interval": "15s", "labels": {"release": "p"}, "relabelings": relabelings}
    monitor = helm.render({"metrics": {value: settings}})[f"{kind}/gco-stream"]
    assert monitor["metadata"]["labels"]["release"] == "p"
    assert monitor["spec"] == {
        "jobLabel": "app.kubernetes.io/name",
        "selector": {"matchLabels": SELECTOR},
        endpoints: [
            {
                "port": "http",
                "path": "/metrics",
                "interval": "15s",
                "scrapeTimeout": "10s",
                "relabelings": relabelings,
            }
        ],
    }


def test_a_service_monitor_has_a_service_even_if_the_service_is_disabled(helm: Helm) -> None:
    objects = helm.render({"service": {"enabled": False}, "metrics": {"serviceMonitor": {"enabled": True}}})
    assert "Service/gco-stream" in objects
    assert "Service/gco-stream" not in helm.render({"service": {"enabled": False}})


def test_all_alert_and_dashboard_files_are_rendered_and_none_is_required(helm: Helm, tmp_path: Path) -> None:
    chart = tmp_path / "gco-stream"
    shutil.copytree(helm.chart, chart, ignore=shutil.ignore_patterns("alerts", "dashboards"))
    without = helm.render(EVERYTHING, chart=chart)
    assert not {"PrometheusRule/gco-stream", "ConfigMap/gco-stream-dashboards"} & without.keys()
    for name in ("alerts", "dashboards"):
        (chart / name).mkdir()
    board = json.dumps({"title": "{{ pod }}", "panels": [{"id": 1}]})
    for number in (1, 2):
        (chart / "alerts" / f"{number}.yaml").write_text(yaml.safe_dump(RULES))
        (chart / "dashboards" / f"{number}.json").write_text(board)
    objects = helm.render(EVERYTHING, chart=chart)
    rule, boards = objects["PrometheusRule/gco-stream"], objects["ConfigMap/gco-stream-dashboards"]
    assert rule["spec"] == {"groups": [*RULES["groups"], *RULES["groups"]]}
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert boards["data"] == {"1.json": board, "2.json": board}
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert boards["metadata"]["annotations"] == {"grafana_folder": "gco"}
    assert without.keys() == objects.keys() - {"PrometheusRule/gco-stream", "ConfigMap/gco-stream-dashboards"}


def test_the_charts_own_alerts_and_dashboards_are_rendered_unchanged(helm: Helm) -> None:
    objects = helm.render(EVERYTHING)
    alerts = [yaml.safe_load(path.read_text()) for path in sorted((helm.chart / "alerts").glob("*.yaml"))]
    groups = [group for one in alerts for group in one["groups"]]
    assert objects.get("PrometheusRule/gco-stream", {"spec": {"groups": []}})["spec"]["groups"] == groups
    boards = {path.name: json.loads(path.read_text()) for path in (helm.chart / "dashboards").glob("*.json")}
    data = objects.get("ConfigMap/gco-stream-dashboards", {"data": {}})["data"]
    assert {name: json.loads(text) for name, text in data.items()} == boards
