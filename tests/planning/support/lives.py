"""Executes the plans of an endpoint with a hostile item."""

from typing import Any

from gco_stream.model.item.endpoint import Endpoint
from gco_stream.planning.types.steps import Apply, Create
from tests.support.simulated_cluster import SimulatedCluster

LONGEST_REPORT = 2500


def lives(asked: Endpoint, cluster: SimulatedCluster) -> list[dict[str, Any]]:
    """Executes all plans of the endpoint, twice, with pods that become ready. Returns all manifests."""
    for _ in range(2):
        cluster.reconcile(asked)
        cluster.roll_out()
    return [step.manifest for step in cluster.steps if isinstance(step, Create | Apply)]
