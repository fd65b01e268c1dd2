"""Lists the removals of endpoints that no item requests, for review and approval.

They are planned as in the controller, from one snapshot of the table and the cluster, but without the deletion budget
and without the required evidence that an item is gone. The list therefore contains every removal that an approval can
permit.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import orjson

from gco_stream.admin.snapshot import snapshot
from gco_stream.aws.session import table_client
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.engine.deletion.approvals import APPROVED_ANNOTATION, MAX_APPROVED, approval_of, digest_of, entry_of
from gco_stream.engine.deletion.guard import unrequested_deletions
from gco_stream.engine.deletion.orphan_tracker import synced_objects
from gco_stream.engine.reconcile.plan_inputs import names_claimed_by_others, unsynced_reason
from gco_stream.model.endpoint import Endpoint, InvalidItem, read_endpoint
from gco_stream.planning.lifecycle.orphaned import plan_orphan
from gco_stream.planning.planner import plan_endpoint
from gco_stream.planning.types.plan import Delete, Plan
from gco_stream.planning.types.policy import FleetState, Policy, policy_of
from gco_stream.settings import LEASE_NAME, Settings
from gco_stream.table.endpoints import EndpointTable

# The API server's limit on the annotations of one object: the total size of all keys and values.
_MAX_BYTES: Final = 256 * 1024


class NotApproved(Exception):
    """The list cannot be approved. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class PendingDeletion:
    """An endpoint that would be removed.

    `why`: the reason. `objects`: its objects in the order of deletion. `entry`: the digest that an approval lists.
    """

    name: str
    why: str
    objects: tuple[str, ...]
    entry: str


@dataclass(frozen=True, slots=True)
class PendingDeletions:
    """The pending removals, sorted by name and limited to what one approval can hold.

    `more`: the number of removals beyond that limit. `unsynced`: the reason for each namespace that cannot be read. The
    list contains no objects of these namespaces.
    """

    deletions: tuple[PendingDeletion, ...]
    more: int
    unsynced: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Digest that identifies exactly this list."""
        return digest_of(removal.entry for removal in self.deletions)


async def pending_deletions(settings: Settings) -> PendingDeletions:
    """Returns the removals that are pending now. Changes nothing. Raises TableError and ClusterError."""
    async with _connected(settings) as client:
        return await _collect(settings, client)


async def approve(settings: Settings, digest: str) -> PendingDeletions:
    """Approves the current list for one hour if its digest is `digest`, and returns the list.

    Raises NotApproved, TableError and ClusterError.
    """
    async with _connected(settings) as client:
        pending = await _collect(settings, client)
        if not pending.deletions:
            raise NotApproved("no removals are pending")
        if digest != pending.digest:
            raise NotApproved(f"the list has changed since digest {digest!r:.40} was shown; review it again")
        path = f"/apis/{lease.API_VERSION}/namespaces/{quote(settings.inference_namespace)}/leases/{LEASE_NAME}"
        raw = await client.request("GET", path)
        text = approval_of((removal.entry for removal in pending.deletions), time.time())
        annotations = {**lease.annotations_of(raw), APPROVED_ANNOTATION: text}
        size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        if size > _MAX_BYTES:
            raise NotApproved(f"the Lease's annotations would have {size} bytes; at most {_MAX_BYTES} are allowed")
        # The UID keeps a Lease that was recreated in the meantime from being annotated. A resourceVersion would cause a
        # conflict, because the holder renews the Lease every two seconds.
        patch = {"metadata": {"uid": raw["metadata"]["uid"], "annotations": {APPROVED_ANNOTATION: text}}}
        await client.request(
            "PATCH",
            path,
            query={"fieldManager": "gco-stream-approve"},
            body=orjson.dumps(patch),
            content_type="application/merge-patch+json",
        )
        return pending


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[KubeClient]:
    async with KubeClient.connect(timeout=settings.k8s_api_timeout) as client:
        yield client


async def _collect(settings: Settings, client: KubeClient) -> PendingDeletions:
    async with AsyncExitStack() as stack:
        dynamodb = await stack.enter_async_context(
            table_client(settings.home_region, timeout=settings.dynamodb_timeout_seconds, connections=4)
        )
        table = EndpointTable(
            dynamodb, settings.inference_endpoints_table_name, timeout=settings.dynamodb_timeout_seconds
        )
        info = await table.describe()
        cache = await snapshot(client, settings.namespaces)
        # The table is read after the cluster. Otherwise, an endpoint created in between would have objects but no item.
        items = {item["endpoint_name"]["S"]: item async for page in table.scan() for item in page}
    return _listed_deletions(items, cache, policy_of(settings, info.arn))


def _listed_deletions(items: Mapping[str, Any], cache: ClusterCache, policy: Policy) -> PendingDeletions:
    now, unsynced = datetime.now(UTC), cache.unsynced
    found = []

    def read(name: str) -> Endpoint | InvalidItem | None:
        return read_endpoint(items[name]) if name in items else None

    for name in sorted(items.keys() | cache.endpoint_names()):
        fleet = FleetState(deletions_left=1, names_claimed_by_others=names_claimed_by_others(name, read))
        item = read(name)
        plan = _plan(name, item, fleet, cache, policy, now, unsynced)
        if plan is not None and unrequested_deletions(plan):
            found.append(_pending_deletion(plan))
    return PendingDeletions(tuple(found[:MAX_APPROVED]), max(0, len(found) - MAX_APPROVED), unsynced)


def _plan(
    name: str,
    item: Endpoint | InvalidItem | None,
    fleet: FleetState,
    cache: ClusterCache,
    policy: Policy,
    now: datetime,
    unsynced: Mapping[str, str],
) -> Plan | None:
    if item is None:
        return plan_orphan(name, synced_objects(cache, name), fleet, policy)
    return (
        None
        if unsynced_reason(item, unsynced, policy)
        else plan_endpoint(item, cache.observed(name), fleet, now, policy)
    )


def _pending_deletion(plan: Plan) -> PendingDeletion:
    steps: Sequence[Delete] = [step for step in plan.steps if isinstance(step, Delete)]
    objects = tuple(str(step.ref) for step in steps)
    return PendingDeletion(
        plan.endpoint, steps[0].reason, objects, entry_of(plan.endpoint, unrequested_deletions(plan))
    )
