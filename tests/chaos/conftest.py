"""Fixtures for the fault tests: the integration fixtures (programs as processes, one world per test) and `replicas`."""

from pathlib import Path

import pytest

from tests.chaos.leadership.replicas import replicas
from tests.integration.support.harness.fixtures import (
    controller,
    controller_env,
    program,
    unlimited_env,
    webhook,
    world,
)

__all__ = ["controller", "controller_env", "program", "replicas", "unlimited_env", "webhook", "world"]
_TEST_SECONDS = 600.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sets a timeout long enough for a slow machine; only a test that hangs reaches it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS), append=False)
