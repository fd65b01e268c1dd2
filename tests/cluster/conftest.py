"""Settings for the tests of the cluster room."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def _no_system_authorities() -> Iterator[None]:
    """Every client reads the system's certificate authorities, which takes longer than most tests; none needs one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", os.devnull)
        yield
