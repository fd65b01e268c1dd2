"""Everything that would be removed here without its item asking for it, for a person to look at and to approve.

It is worked out as the controller does it, from one look at the table and the cluster, as if there were neither a limit
nor any doubt: what is listed is what an approval can let go.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import orjson

from gco_stream.admin.snapshot import look_once
from gco_stream.aws.session import table_client
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache
from gco_stream.cluster.leaderelection import record as lease
from gco_stream.engine.deletion.approvals import APPROVED_ANNOTATION, MOST_APPROVED, approval_of, digest_of, entry_of
from gco_stream.engine.deletion.guard import doomed
from gco_stream.engine.deletion.orphan_tracker import known_for_certain
from gco_stream.engine.reconcile.reconciler import claimed, not_known
from gco_stream.model.endpoint import Endpoint, Unreadable, read_endpoint
from gco_stream.planning.lifecycle.orphaned import plan_orphan
from gco_stream.planning.planner import plan
from gco_stream.planning.types.plan import Delete, Plan
from gco_stream.planning.types.policy import Fleet, Policy, policy_of
from gco_stream.settings import LEASE_NAME, Settings
from gco_stream.table.endpoints import EndpointTable

# apimachinery's limit on all annotations of one object, keys and values together.
_MOST_BYTES: Final = 256 * 1024


class NotApproved(Exception):
    """The list cannot be approved; the message says why."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One endpoint that would be removed: why, its objects as they would go, and what stands for it in an approval."""

    name: str
    why: str
    objects: tuple[str, ...]
    entry: str


@dataclass(frozen=True, slots=True)
class RemovalList:
    """All of them by name, at most as many as one approval takes. `more`: how many there are beyond these.

    `blind`: namespaces that cannot be read, and why; nothing of them is in the list.
    """

    removals: tuple[Removal, ...]
    more: int
    blind: Mapping[str, str]

    @property
    def digest(self) -> str:
        """What stands for exactly this list."""
        return digest_of(removal.entry for removal in self.removals)


async def removal_list(settings: Settings) -> RemovalList:
    """What would be removed now. Reads only. Raises TableError, ClusterError."""
    async with _connected(settings) as client:
        return await _look(settings, client)


async def approve(settings: Settings, digest: str) -> RemovalList:
    """Approves for an hour what would be removed now, if its digest is this one.

    Raises NotApproved, TableError, ClusterError.
    """
    async with _connected(settings) as client:
        found = await _look(settings, client)
        if not found.removals:
            raise NotApproved("nothing waits to be removed")
        if digest != found.digest:
            raise NotApproved(f"the list is not the one that {digest!r:.40} stands for; look at it again")
        path = f"/apis/{lease.API_VERSION}/namespaces/{quote(settings.inference_namespace)}/leases/{LEASE_NAME}"
        raw = await client.request("GET", path)
        text = approval_of((removal.entry for removal in found.removals), time.time())
        annotations = {**lease.annotations_of(raw), APPROVED_ANNOTATION: text}
        size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        if size > _MOST_BYTES:
            raise NotApproved(f"the Lease's annotations would have {size} bytes, {_MOST_BYTES} are allowed")
        # The uid, so that no other Lease is annotated; not the version, which its holder raises every two seconds.
        patch = {"metadata": {"uid": raw["metadata"]["uid"], "annotations": {APPROVED_ANNOTATION: text}}}
        await client.request(
            "PATCH",
            path,
            query={"fieldManager": "gco-stream-approve"},
            body=orjson.dumps(patch),
            content_type="application/merge-patch+json",
        )
        return found


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[KubeClient]:
    async with KubeClient.connect(timeout=settings.k8s_api_timeout) as client:
        yield client


async def _look(settings: Settings, client: KubeClient) -> RemovalList:
    async with AsyncExitStack() as stack:
        dynamodb = await stack.enter_async_context(
            table_client(settings.home_region, timeout=settings.dynamodb_timeout_seconds, connections=4)
        )
        table = EndpointTable(
            dynamodb, settings.inference_endpoints_table_name, timeout=settings.dynamodb_timeout_seconds
        )
        info = await table.describe()
        cache = await look_once(client, settings.namespaces)
        # After the cluster: whatever was made by then has its item here.
        items = {item["endpoint_name"]["S"]: item async for page in table.scan() for item in page}
    return _listed(items, cache, policy_of(settings, info.arn))


def _listed(items: Mapping[str, Any], cache: ClusterCache, policy: Policy) -> RemovalList:
    now, blind = datetime.now(UTC), cache.unsynced
    found = []

    def read(name: str) -> Endpoint | Unreadable | None:
        return read_endpoint(items[name]) if name in items else None

    for name in sorted(items.keys() | cache.endpoint_names()):
        fleet = Fleet(deletions_left=1, claimed=claimed(name, read))
        item = read(name)
        made = _plan(name, item, fleet, cache, policy, now, blind)
        if made is not None and doomed(made):
            found.append(_removal(made))
    return RemovalList(tuple(found[:MOST_APPROVED]), max(0, len(found) - MOST_APPROVED), blind)


def _plan(
    name: str,
    item: Endpoint | Unreadable | None,
    fleet: Fleet,
    cache: ClusterCache,
    policy: Policy,
    now: datetime,
    blind: Mapping[str, str],
) -> Plan | None:
    if item is None:
        return plan_orphan(name, known_for_certain(cache, name), fleet, now, policy)
    return None if not_known(item, blind, policy) else plan(item, cache.observed(name), fleet, now, policy)


def _removal(made: Plan) -> Removal:
    steps: Sequence[Delete] = [step for step in made.steps if isinstance(step, Delete)]
    objects = tuple(str(step.ref) for step in steps)
    return Removal(made.endpoint, steps[0].reason, objects, entry_of(made.endpoint, doomed(made)))
