"""The connections of an administrative command to the cluster and the table."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gco_stream.aws.session import table_client
from gco_stream.cluster.api.client import KubeClient
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings
from gco_stream.planning.types.policy import Policy, policy_of
from gco_stream.settings import Settings
from gco_stream.table.endpoints import EndpointTable

_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Installation:
    """The cluster and the table that `settings` selects, and the controller's policy for these settings."""

    settings: Settings
    client: KubeClient
    table: EndpointTable
    policy: Policy


@asynccontextmanager
async def connect(settings: Settings, renderings: Renderings = RENDERINGS) -> AsyncIterator[Installation]:
    """Connects to the cluster, and to the table, which must exist. Raises AWSError, ClusterError."""
    timeout = settings.dynamodb_timeout_seconds
    async with (
        KubeClient.connect(timeout=settings.k8s_api_timeout) as client,
        table_client(settings.home_region, timeout=timeout, connections=_CONNECTIONS) as dynamodb,
    ):
        table = EndpointTable(dynamodb, settings.inference_endpoints_table_name, timeout=timeout)
        arn = (await table.describe()).arn
        yield Installation(settings, client, table, policy_of(settings, arn, renderings))
