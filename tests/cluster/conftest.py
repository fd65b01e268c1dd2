"""Fixtures for the cluster tests."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _no_system_authorities() -> Iterator[None]:
    """Skip loading the system's CA certificates: it takes longer than most tests, and none needs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", os.devnull)
        yield
