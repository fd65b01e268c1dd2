"""A cluster cache whose endpoints have no items, and complete scans of the table."""

from gco_stream.engine.deletion.orphan_tracker import OrphanTracker
from gco_stream.model.objects import ObjectRef, Observed, ObservedObject
from tests.support.items import endpoint
from tests.support.simulated_cluster import SimulatedCluster


class Cluster:
    """A cache with the objects of endpoints that this controller created."""

    def __init__(self, *made: str) -> None:
        simulated = SimulatedCluster()
        for _ in range(2):
            # The Ingress is created with the first ready pod.
            for name in made:
                simulated.reconcile(endpoint(name))
            simulated.roll_out()
        self.objects: dict[ObjectRef, ObservedObject] = simulated.objects
        self.unsynced: dict[str, str] = {}

    def endpoint_names(self) -> frozenset[str]:
        return frozenset(obj.endpoint or obj.ref.name for obj in self.objects.values())

    def observed(self, name: str) -> Observed:
        given = {name, f"{name}-canary", f"inference-{name}"}
        return Observed({ref: obj for ref, obj in self.objects.items() if ref.name in given})

    def forget(self, name: str) -> None:
        self.objects = {ref: obj for ref, obj in self.objects.items() if obj.endpoint != name}


async def scan(one: OrphanTracker, *seen: str) -> frozenset[str]:
    one.scan_started()
    for name in seen:
        one.item_seen(name)
    return await one.scan_ended(set(seen))
