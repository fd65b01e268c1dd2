"""Fixture for tests of commands that need only the table."""

from pathlib import Path

import pytest

from gco_stream.cli.options import TABLE_VARIABLE
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.pytest_plugin import Table
from gco_stream.local.servers.dynamodb import CREDENTIALS
from tests.integration.support.harness.shell import HERE, Shell


@pytest.fixture
def shell(
    control_plane: ControlPlane,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Shell:
    settings = {"AWS_ENDPOINT_URL": control_plane.dynamodb_url, "REGION": HERE, TABLE_VARIABLE: table.name}
    for variable, value in {**CREDENTIALS, **settings}.items():
        monkeypatch.setenv(variable, value)
    return Shell(capsys, tmp_path)
