"""Fixtures that run the real program as a separate process against the session's control plane."""

from pathlib import Path

import pytest

from tests.integration.support.harness.fixtures import (
    controller,
    controller_env,
    program,
    unlimited_env,
    webhook,
    world,
)

__all__ = ["controller", "controller_env", "program", "unlimited_env", "webhook", "world"]
_TEST_SECONDS = 600.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sets a timeout that stops a hanging test without failing a test on a slow machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS), append=False)
