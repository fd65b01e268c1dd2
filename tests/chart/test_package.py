"""Tests of the packaged chart."""

import tarfile
from pathlib import Path

import pytest

import gco_stream
from tests.chart.helm import Helm

pytestmark = pytest.mark.slow


def test_the_chart_passes_helm_lint(helm: Helm) -> None:
    output = helm("lint", "--strict", str(helm.chart), "--set", "settings.REGION=us-east-1")
    assert "0 chart(s) failed" in output
    assert "WARNING" not in output


def test_the_package_contains_only_the_chart(helm: Helm, tmp_path: Path) -> None:
    helm("package", str(helm.chart), "--destination", str(tmp_path))
    with tarfile.open(tmp_path / f"gco-stream-{gco_stream.__version__}.tgz") as package:
        packed = {name.removeprefix("gco-stream/") for name in package.getnames()}
    sources = {str(path.relative_to(helm.chart)) for path in helm.chart.rglob("*") if path.is_file()}
    assert packed == sources - {".helmignore"} | ({".helmignore"} & packed)
    kinds = {"Chart.yaml", "README.md", "values.yaml", "values.schema.json", ".helmignore"}
    assert {name.split("/")[0] for name in packed} - kinds <= {"templates", "alerts", "dashboards"}


def test_the_package_renders_like_the_directory(helm: Helm, tmp_path: Path) -> None:
    helm("package", str(helm.chart), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("*.tgz")
    assert helm.render(chart=package) == helm.render()
