"""Three regions on one table: three programs, each with a namespace that represents its region's cluster."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from gco_stream.local.cluster_fixtures import create_namespace, delete_namespace
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.kube_api import KubeApi, path_of
from gco_stream.local.pytest_plugin import Table
from gco_stream.model import wire
from gco_stream.table.bootstrap import create
from gco_stream.table.sync_table import SyncEndpointTable
from tests.integration.support.harness.program import Program
from tests.integration.support.leases import release_lease
from tests.integration.support.pods import unless_gone
from tests.integration.support.rights import as_installed
from tests.support.items import item

US, EU, AP = REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-1")
FIRST, SECOND = "registry.example/serve:1.0", "registry.example/serve:2.0"
PATIENCE = 120.0
LOOK_EVERY = 0.05
# Tests here must not depend on a resync or be stopped by the mass-delete limit.
_SETTINGS = {
    "LOG_FORMAT": "json",
    "HTTP_HOST": "127.0.0.1",
    "HTTP_PORT": "0",
    "STATUS_INTERVAL_SECONDS": "1",
    "RESYNC_INTERVAL_SECONDS": "86400",
    "MASS_DELETE_LIMIT": "1000",
    # The machine may stall, and there is no other candidate for the lease.
    "LEASE_DURATION_SECONDS": "30",
    "LEASE_RENEW_DEADLINE_SECONDS": "20",
}


def endpoint_item(name: str, **attributes: Any) -> dict[str, Any]:
    """Returns an item that targets all three regions and has no namespace, because each region has its own."""
    spec = {"gpu_count": 0, "image": FIRST, **attributes.pop("spec", {})}
    return item(name, **{"target_regions": list(REGIONS), "namespace": None, "spec": spec, **attributes})


@dataclass(frozen=True, slots=True)
class Region:
    """One region: its program and its cluster."""

    name: str
    namespace: str
    program: Program
    kube: KubeApi

    def deployment(self, name: str) -> dict[str, Any] | None:
        return self.kube.find(path_of("Deployment", self.namespace, name))

    def replicas(self, name: str) -> int | None:
        found = self.deployment(name)
        return None if found is None else int(found["spec"]["replicas"])

    def image(self, name: str) -> str:
        found = self.deployment(name)
        return "" if found is None else str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def objects(self, name: str) -> set[str]:
        """Returns the live objects of an endpoint, as Kind/name."""
        return {
            f"{kind}/{obj['metadata']['name']}"
            for kind in ("Deployment", "Service", "Ingress", "HorizontalPodAutoscaler")
            for obj in self.kube.list(path_of(kind, self.namespace), labels="gco.io/type=inference")
            if obj["metadata"]["annotations"]["gco.io/endpoint"] == name
        }

    def pods(self, name: str, image: str = "") -> list[str]:
        """Returns the names of an endpoint's pods, optionally of those that run this image."""
        found = self.kube.list(path_of("Pod", self.namespace), labels=f"app={name}")
        return [
            pod["metadata"]["name"]
            for pod in found
            if image in {"", *(one["image"] for one in pod["spec"]["containers"])}
        ]

    def make_ready(self, name: str, *, ready: bool = True, image: str = "") -> None:
        for pod in self.pods(name, image):
            self._tell(pod, {"annotations": {"gco.local/ready": str(ready).lower()}})

    def keep_pods(self, name: str, *, keep: bool = True) -> None:
        """Adds a finalizer to the endpoint's pods, or removes it."""
        for pod in self.pods(name):
            self._tell(pod, {"finalizers": ["gco.local/kept"] if keep else None})

    def _tell(self, pod: str, metadata: dict[str, Any]) -> None:
        with unless_gone():
            self.kube.patch(path_of("Pod", self.namespace, pod), {"metadata": metadata})


@dataclass(frozen=True, slots=True)
class Record:
    """One change of an item, from the table's stream: decoded images, {} if there is none."""

    name: str
    old: dict[str, Any]
    new: dict[str, Any]
    intent: str

    @property
    def promotes(self) -> bool:
        return (self.old.get("desired_state"), self.new.get("desired_state")) == ("deploying", "running")

    @property
    def removes(self) -> bool:
        return not self.new

    def states(self) -> dict[str, str]:
        """Returns the state that each region reported before the change."""
        return {region: entry["state"] for region, entry in self.old["region_status"].items()}

    def all_targets(self, state: str) -> bool:
        """Returns whether every target region had reported this state for the current intent before the change."""
        entries = [self.old["region_status"].get(region, {}) for region in self.old["target_regions"]]
        return all(e.get("state") == state and e.get("intent", self.intent) == self.intent for e in entries)

    def desired_part(self) -> dict[str, Any]:
        """Returns the user's part of the item after the change."""
        return {key: self.new.get(key) for key in ("desired_state", "target_regions", "spec", "created_at")}

    def changes_desired_part(self) -> bool:
        return any(self.old.get(key) != value for key, value in self.desired_part().items())


class Regions:
    """The regions by name, and their shared table."""

    def __init__(self, table: Table, regions: dict[str, Region]) -> None:
        self.table = table
        self.user = SyncEndpointTable(table.client, table.name)
        self._regions = regions
        self._iterators: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._records: list[Record] = []

    def __getitem__(self, region: str) -> Region:
        return self._regions[region]

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions.values())

    def put(self, plain: dict[str, Any]) -> None:
        self.table.client.put_item(TableName=self.table.name, Item=wire.encode(plain))

    def remove(self, name: str) -> None:
        """Deletes the item by hand."""
        self.table.client.delete_item(TableName=self.table.name, Key={"endpoint_name": {"S": name}})

    def write(self, name: str, **attributes: Any) -> None:
        """Sets attributes by hand, as in the console: without a condition and without a change of updated_at."""
        self.table.client.update_item(
            TableName=self.table.name,
            Key={"endpoint_name": {"S": name}},
            UpdateExpression="SET " + ", ".join(f"#{attribute} = :{attribute}" for attribute in attributes),
            ExpressionAttributeNames={f"#{attribute}": attribute for attribute in attributes},
            ExpressionAttributeValues={f":{key}": wire.encode_value(value) for key, value in attributes.items()},
        )

    def seen(self, name: str) -> wire.WireItem:
        found = self.user.get(name)
        assert found is not None, name
        return found

    def item(self, name: str) -> dict[str, Any]:
        """Returns the current item, or {} if there is none."""
        return wire.decode(self.user.get(name) or {})

    def ask(self, name: str, state: str) -> None:
        self.user.set_state(self.seen(name), state)

    def respec(self, name: str, *, target_regions: tuple[str, ...] | None = None, **changes: Any) -> None:
        """Changes the spec as the command line does."""
        seen = self.seen(name)
        others = {} if target_regions is None else {"target_regions": list(target_regions)}
        self.user.replace_spec(seen, {**wire.decode(seen)["spec"], **changes}, **others)

    def desired(self, name: str) -> str:
        return str(self.item(name).get("desired_state", ""))

    def states(self, name: str) -> dict[str, str]:
        """Returns the states that regions report for the current intent; reports for other intents are omitted."""
        found = self.user.get(name) or {}
        intent = wire.intent_of(found)
        entries = wire.decode(found).get("region_status", {}).items()
        return {region: entry["state"] for region, entry in entries if entry.get("intent", intent) == intent}

    def until_all_report(self, name: str, state: str, *regions: str) -> bool:
        states = self.states(name)
        return all(states.get(region) == state for region in regions or REGIONS)

    def until(self, look: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not look():
            if time.monotonic() > deadline:
                items = "\n".join(f"{wire.decode(found)}" for found in self.user.scan())
                logs = "\n".join(line[:300] for region in self for line in region.program.tail().splitlines()[-8:])
                raise AssertionError(f"timed out after {patience:g} s waiting for: {what}\n{items}\n{logs}")
            time.sleep(LOOK_EVERY)

    def kill_all(self) -> None:
        """Kills every program with SIGKILL and releases their leases, so that restarts need not wait."""
        for region in self:
            region.program.kill()
            release_lease(region.kube, region.namespace)

    def until_promoted(self, name: str) -> None:
        self.until(lambda: self.desired(name) == "running", f"{name} is promoted")

    def until_gone(self, name: str) -> None:
        self.until(lambda: not self.item(name), f"{name} is purged")
        assert {region.name: region.objects(name) for region in self} == {region: set() for region in REGIONS}

    def until_settled(self, *regions: str) -> None:
        """Waits until these programs have read the stream to its end and have nothing left to do."""

        def settled() -> bool:
            before = len(self._read())
            for region in regions or REGIONS:
                try:
                    status = self[region].program.status()
                except (StopIteration, urllib3.exceptions.HTTPError):
                    return False
                read = {shard["shard_id"]: shard["last_sequence_number"] for shard in status["stream"]["shards"]}
                if status["queue"] or status["in_work"] or not self._last.items() <= read.items():
                    return False
            return len(self._read()) == before

        self.until(settled, "the programs have nothing left to do")

    def history(self, name: str | None = None) -> list[Record]:
        """Returns every change of an item, or of all items, since the table was created, in order."""
        return [record for record in self._read() if name in {None, record.name}]

    def promotions(self, name: str) -> list[Record]:
        return [record for record in self.history(name) if record.promotes]

    def expect_promotions(self, name: str, count: int) -> None:
        """Asserts the number of promotions, and that every target region ran the desired spec before each."""
        promotions = self.promotions(name)
        assert [record.all_targets("running") for record in promotions] == [True] * count, promotions

    def _read(self) -> list[Record]:
        streams, arn = self.table.streams, self.table.stream_arn
        for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            known = shard["ShardId"]
            if known not in self._iterators:
                self._iterators[known] = streams.get_shard_iterator(
                    StreamArn=arn, ShardId=known, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
        for known in self._iterators:
            while (page := streams.get_records(ShardIterator=self._iterators[known], Limit=1000))["Records"]:
                self._iterators[known] = page["NextShardIterator"]
                self._records += [_record(record["dynamodb"]) for record in page["Records"]]
                self._last[known] = page["Records"][-1]["dynamodb"]["SequenceNumber"]
        return self._records


def _record(change: dict[str, Any]) -> Record:
    # DynamoDB Local's streams show an empty map or list as `{}`.
    images = [change.get(image, {}) for image in ("OldImage", "NewImage")]
    old, new = ({key: value or {"M": {}} for key, value in image.items()} for image in images)
    return Record(change["Keys"]["endpoint_name"]["S"], wire.decode(old), wire.decode(new), wire.intent_of(old))


@contextmanager
def three_regions(
    plane: ControlPlane, clients: tuple[Any, Any], folder: Path, dynamodb_url: str = "", **settings: str
) -> Iterator[Regions]:
    """Creates a table and three regions that use it; `dynamodb_url` replaces their DynamoDB endpoint."""
    tables, streams = clients
    mark = uuid.uuid4().hex[:10]
    name = f"endpoints-{mark}"
    made = create(tables, name).info
    table = Table(name, made.arn, made.stream_arn or "", tables, streams)
    with ExitStack() as stack:
        stack.callback(tables.delete_table, TableName=name)
        regions = {}
        for region in REGIONS:
            namespace = f"t-{mark}-{region}"
            create_namespace(plane.kube, namespace)
            stack.callback(delete_namespace, plane.kube, namespace)
            environment = plane.environment(namespace=namespace, table=name)
            environment["KUBECONFIG"] = str(as_installed(plane, f"gco-stream:{namespace}", namespace))
            environment |= {"PATH": os.environ["PATH"], "REGION": region, **_SETTINGS, **settings}
            if dynamodb_url:
                environment["AWS_ENDPOINT_URL_DYNAMODB"] = dynamodb_url
            program = Program(environment, folder / f"{region}.log").start()
            stack.callback(program.kill)
            regions[region] = Region(region, namespace, program, plane.kube)
        for one in regions.values():
            one.program.wait_working()
        yield Regions(table, regions)
