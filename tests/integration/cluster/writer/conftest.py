"""Fixture with a writer on the shared API server."""

from collections.abc import AsyncIterator

import pytest

from gco_stream.cluster.api.client import KubeClient
from gco_stream.local.control_plane import ControlPlane
from tests.integration.support.harness.field_managers import Cluster


@pytest.fixture
async def cluster(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Cluster]:
    async with KubeClient.connect(kubeconfig=str(control_plane.kubeconfig)) as client:
        yield Cluster(client, namespace)
