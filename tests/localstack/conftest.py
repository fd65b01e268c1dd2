"""Fixture with LocalStack in host mode, shared by all tests in this folder."""

from collections.abc import Iterator

import pytest

from gco_stream.local.ports import Ports
from gco_stream.local.toolchain.cache import default_cache
from tools.localstack.host_mode import localstack


@pytest.fixture(scope="session")
def localstack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ports = Ports(default_cache() / "ports")
    try:
        with localstack(tmp_path_factory.mktemp("localstack"), ports.reserve()) as url:
            yield url
    finally:
        ports.release()
