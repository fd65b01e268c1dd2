"""Tests of the values: each is documented and used, and an invalid one is rejected with its path and the reason."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import gco_stream
from gco_stream.settings import Settings
from tests.chart.helm import Helm
from tools.chart.__main__ import made
from tools.chart.values import CHART, documented

pytestmark = pytest.mark.slow

VALUES = list(documented((CHART / "values.yaml").read_text()))


def test_the_schema_and_the_readme_match_the_values_and_settings() -> None:
    for name, text in made().items():
        assert (CHART / name).read_text() == text, f"{name} is out of date: run python -m tools.chart"


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for name, below in value.items():
            yield from leaves(below, (*path, name))
    else:
        yield path


def test_every_value_is_documented() -> None:
    documented_paths = {value.path for value in VALUES if value.about.endswith(".")}
    for leaf in leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
        assert any(leaf[:length] in documented_paths for length in range(1, len(leaf) + 1)), leaf


def test_every_value_is_used_by_a_template() -> None:
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    for value in VALUES:
        if value.path[0] != "settings":
            assert re.search(rf"\.{value.path[-1]}\b", templates), value.path


def test_the_schema_has_every_setting() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    # HOSTNAME differs per replica, so it is not a setting of the release.
    assert schema.keys() == {name.upper() for name in Settings.model_fields} - {"HOSTNAME"}


# Invalid values and the error for each. Helm reports all of them at once.
INVALID = {
    "settings.REGOIN=x": "at '/settings': additional properties 'REGOIN' not allowed",
    "settings.LOG_LEVEL=LOUD": "at '/settings/LOG_LEVEL': value must be one of 'DEBUG', 'INFO'",
    "settings.RECONCILE_WORKERS=0": "at '/settings/RECONCILE_WORKERS': minimum: got 0, want 1",
    "settings.RESYNC_INTERVAL_SECONDS=soon": "at '/settings/RESYNC_INTERVAL_SECONDS': 'soon' does not match pattern",
    "settings.ALLOWED_NAMESPACES={ok,Bad_}": "at '/settings/ALLOWED_NAMESPACES/1': 'Bad_' does not match pattern",
    "settings.HTTP_PORT=0": "at '/settings/HTTP_PORT': minimum: got 0, want 1",
    "replicas=2": "at '': additional properties 'replicas' not allowed",
    "replicaCount=0": "at '/replicaCount': minimum: got 0, want 1",
    "image.digest=sha256:12": "at '/image/digest': 'sha256:12' does not match pattern",
    "terminationGracePeriodSeconds=5": "at '/terminationGracePeriodSeconds': minimum: got 5, want 22",
    "metrics.podMonitor.interval=30": "at '/metrics/podMonitor/interval': got number, want string",
    "resources.limit.memory=1Gi": "at '/resources': additional properties 'limit' not allowed",
}
CONFLICTING = {
    "settings.REGION=": "settings.REGION: required but not set: must be the region that this cluster serves",
    "podDisruptionBudget.minAvailable=2": "podDisruptionBudget.minAvailable: invalid value 2: must be less than",
    "metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true": "podMonitor.enabled: invalid value true",
}


def refusal(helm: Helm, *values: str) -> str:
    sets = [part for one in ("settings.REGION=us-east-1", *values) for part in ("--set", one)]
    return helm.refusal("template", "r", str(CHART), *sets)


def test_invalid_values_are_rejected_together_each_with_its_path_and_limits(helm: Helm) -> None:
    output = refusal(helm, *INVALID)
    assert [message for message in INVALID.values() if message not in output] == []


@pytest.mark.parametrize("values", CONFLICTING)
def test_conflicting_values_are_rejected_with_what_is_allowed(values: str, helm: Helm) -> None:
    assert CONFLICTING[values] in refusal(helm, values)


def test_a_number_from_the_command_line_stays_a_number(helm: Helm) -> None:
    text = helm(
        *("template", "r", str(CHART), "--set", "settings.REGION=us-east-1"),
        *("--set", "settings.STREAM_POLL_INTERVAL_SECONDS=0.5", "--set", "settings.K8S_API_TIMEOUT=20"),
    )
    assert re.search(r'name: STREAM_POLL_INTERVAL_SECONDS\n +value: "0.5"', text)
    assert re.search(r'name: K8S_API_TIMEOUT\n +value: "20"', text)


def test_the_chart_the_program_and_the_image_have_the_same_version() -> None:
    chart = (CHART / "Chart.yaml").read_text()
    assert f"\nversion: {gco_stream.__version__}\n" in chart
    assert f'\nappVersion: "{gco_stream.__version__}"\n' in chart
