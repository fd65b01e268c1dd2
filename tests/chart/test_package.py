"""The chart as it is published."""

import tarfile
from pathlib import Path

import pytest

import gco_stream
from tests.chart.helm import Helm

pytestmark = pytest.mark.slow


def test_lint_has_nothing_to_say(helm: Helm) -> None:
    told = helm("lint", "--strict", str(helm.chart), "--set", "settings.REGION=us-east-1")
    assert "0 chart(s) failed" in told
    assert "WARNING" not in told


def test_the_package_holds_the_chart_and_nothing_else(helm: Helm, tmp_path: Path) -> None:
    helm("package", str(helm.chart), "--destination", str(tmp_path))
    with tarfile.open(tmp_path / f"gco-stream-{gco_stream.__version__}.tgz") as package:
        packed = {name.removeprefix("gco-stream/") for name in package.getnames()}
    stands = {str(path.relative_to(helm.chart)) for path in helm.chart.rglob("*") if path.is_file()}
    assert packed == stands - {".helmignore"} | ({".helmignore"} & packed)
    kinds = {"Chart.yaml", "README.md", "values.yaml", "values.schema.json", ".helmignore"}
    assert {name.split("/")[0] for name in packed} - kinds <= {"templates", "alerts", "dashboards"}


def test_the_package_renders_as_the_folder_does(helm: Helm, tmp_path: Path) -> None:
    helm("package", str(helm.chart), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("*.tgz")
    assert helm.render(chart=package) == helm.render()
