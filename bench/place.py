"""Environment of a benchmark: its own control plane, with a new table and namespace for each run."""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from gco_stream.cluster.api.config import ClusterConfig, load_config
from gco_stream.local.cluster_fixtures import create_namespace
from gco_stream.local.control_plane import ControlPlane
from gco_stream.local.servers import dynamodb
from gco_stream.model.wire import WireItem
from gco_stream.planning.types.policy import Policy
from gco_stream.table import bootstrap
from gco_stream.table.sync_table import SyncEndpointTable

_BATCH = 25


@contextmanager
def control_plane(*, controllers: bool) -> Iterator[ControlPlane]:
    """Runs a control plane while the block runs. Without `controllers` there are no pods and no load from them."""
    folder = Path(tempfile.mkdtemp(prefix="gco-stream-bench-"))
    try:
        with ControlPlane(folder, controllers=controllers) as plane:
            yield plane
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Place:
    """A new table and a new namespace on a control plane, with a user name that is unique to it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.namespace = f"bench-{uuid.uuid4().hex[:8]}"
        self.user = f"program:{self.namespace}"
        self.client: Any = dynamodb.client(plane.dynamodb_url)
        self._info = bootstrap.create(self.client, self.namespace).info
        self.table = SyncEndpointTable(self.client, self.namespace)
        create_namespace(plane.kube, self.namespace)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for the program."""
        return self.plane.environment(namespace=self.namespace, table=self.namespace, user=self.user)

    @property
    def policy(self) -> Policy:
        """Policy that the program uses for planning."""
        return Policy(region=dynamodb.REGION, namespaces=(self.namespace,), table_arn=self._info.arn)

    def access(self, user: str) -> ClusterConfig:
        """Administrator access to the API server as `user`, whose name identifies its calls in the audit log."""
        return asyncio.run(load_config(str(self.plane.kubeconfig_for(user))))

    def fill(self, items: Iterable[WireItem]) -> None:
        """Puts items into the table, 25 per call."""
        rest = iter(items)
        while batch := list(islice(rest, _BATCH)):
            left: Sequence[dict[str, Any]] = [{"PutRequest": {"Item": item}} for item in batch]
            while left:
                answer = self.client.batch_write_item(RequestItems={self.namespace: left})
                left = answer["UnprocessedItems"].get(self.namespace, [])

    def turn_stream_off(self) -> str | None:
        """Disables the stream of the table and returns its ARN."""
        before = bootstrap.describe(self.client, self.namespace).stream_arn
        self.client.update_table(TableName=self.namespace, StreamSpecification={"StreamEnabled": False})
        return before

    def turn_stream_on(self) -> None:
        """Enables the stream of the table, which creates a new one."""
        bootstrap.enable_stream(self.client, self.namespace)

    def records(self, iterators: Iterable[str]) -> list[dict[str, Any]]:
        """The records of the stream from `iterators` on, which come from `tails`."""
        streams = dynamodb.client(self.plane.dynamodb_url, "dynamodbstreams")
        found: list[dict[str, Any]] = []
        for first in iterators:
            iterator: str | None = first
            while iterator:
                page = streams.get_records(ShardIterator=iterator)
                found += page["Records"]
                iterator = page.get("NextShardIterator") if page["Records"] else None
        return found

    def tails(self) -> list[str]:
        """Iterators at the end of every open shard of the stream."""
        streams = dynamodb.client(self.plane.dynamodb_url, "dynamodbstreams")
        arn = self._info.stream_arn
        shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        return [
            streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="LATEST")[
                "ShardIterator"
            ]
            for shard in shards
            if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        ]
