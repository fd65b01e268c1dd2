"""The table and namespace of one test."""

from typing import Any

from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.pytest_plugin import Table
from gco_stream.model import wire
from gco_stream.table.sync_table import SyncEndpointTable


class World:
    """The table and namespace of one test, with helpers that act as a user and inspect the cluster."""

    def __init__(self, table: Table, kube: KubeApi, namespace: str, region: str) -> None:
        self.table = table
        self.kube = kube
        self.namespace = namespace
        self.region = region
        self.user = SyncEndpointTable(table.client, table.name)

    def put(self, plain: dict[str, Any]) -> None:
        """Puts an item unchanged, except that its namespace is the test's."""
        self.table.client.put_item(TableName=self.table.name, Item=wire.encode(plain | {"namespace": self.namespace}))

    def item(self, name: str) -> dict[str, Any] | None:
        found = self.user.get(name)
        return None if found is None else wire.decode(found)

    def item_of(self, name: str) -> wire.WireItem:
        found = self.user.get(name)
        assert found is not None, name
        return found

    def update_spec(self, name: str, **changes: Any) -> None:
        """Changes the spec as the command line does; None removes a field."""
        seen = self.item_of(name)
        spec = {**wire.decode(seen)["spec"], **changes}
        self.user.replace_spec(seen, {key: value for key, value in spec.items() if value is not None})

    def set_desired_state(self, name: str, state: str) -> None:
        self.user.set_state(self.item_of(name), state)

    def state(self, name: str) -> str:
        """Returns the state that this region reports, or "" if it reports none."""
        return str(self.report(name).get("state", ""))

    def report(self, name: str) -> dict[str, Any]:
        item = self.item(name) or {}
        found: dict[str, Any] = item.get("region_status", {}).get(self.region, {})
        return found

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return self.kube.find(path_of(kind, self.namespace, name))

    def uid(self, kind: str, name: str) -> str:
        found = self.get(kind, name)
        assert found is not None, f"{kind}/{name} does not exist"
        return str(found["metadata"]["uid"])

    def replicas(self, name: str) -> int | None:
        found = self.get("Deployment", name)
        return None if found is None else int(found["spec"]["replicas"])

    def container(self, name: str) -> dict[str, Any]:
        found = self.get("Deployment", name)
        assert found is not None, name
        first: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
        return first

    def objects(self) -> dict[str, dict[str, Any]]:
        """Returns every object that the program manages, by Kind/name."""
        kinds = ("Deployment", "Service", "Ingress", "HorizontalPodAutoscaler")
        return {
            f"{kind}/{obj['metadata']['name']}": obj
            for kind in kinds
            for obj in self.kube.list(path_of(kind, self.namespace), labels="gco.io/type=inference")
        }

    def pods(self, app: str) -> dict[str, dict[str, Any]]:
        """Returns the pods of a Deployment that are not terminating, by UID."""
        return {
            pod["metadata"]["uid"]: pod
            for pod in self.kube.list(path_of("Pod", self.namespace), labels=f"app={app}")
            if "deletionTimestamp" not in pod["metadata"]
        }
