"""Fixtures for helm without a cluster."""

from pathlib import Path

import pytest

from tests.chart.helm import Helm, Object


@pytest.fixture(scope="session")
def helm(helm_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(helm_binary, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def plain(helm: Helm) -> dict[str, Object]:
    """Objects of the chart with default values and a region."""
    return helm.render()
