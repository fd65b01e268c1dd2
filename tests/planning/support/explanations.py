"""Explanations of one endpoint in a simulated cluster."""

from typing import Any

from gco_stream.model.item.endpoint import Endpoint, InvalidItem
from gco_stream.model.objects import Kind, ObjectRef, Observed, PodHealth
from gco_stream.planning.explain.explanation import Explanation, explain
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.plan_inputs import PlanInputs
from gco_stream.planning.types.policy import FleetState
from tests.support.simulated_cluster import NAMESPACE, SimulatedCluster

DOWN = PodHealth("chat-1", containers_ready=False, ready=False, reason="CrashLoopBackOff")
DEPLOYMENT, SERVICE, HPA = (ObjectRef(kind, NAMESPACE, "chat") for kind in (Kind.DEPLOYMENT, Kind.SERVICE, Kind.HPA))
INGRESS = ObjectRef(Kind.INGRESS, NAMESPACE, "inference-chat")
BOTH = ["us-east-1", "eu-west-1"]


def explained(cluster: SimulatedCluster, asked: Endpoint | InvalidItem, fleet: FleetState | None = None) -> Explanation:
    observed, fleet = Observed(dict(cluster.objects), cluster.pods), fleet or FleetState()
    inputs = PlanInputs(asked.name, asked, observed, fleet, cluster.now, cluster.policy)
    return explain(inputs, plan_endpoint(inputs))


def changed(cluster: SimulatedCluster, ref: ObjectRef, **fields: Any) -> None:
    """Sets fields of the object's spec as another field manager."""
    cluster.change(ref, spec={**cluster.objects[ref].spec, **fields})
