"""Lists the removals that no item requests, for review and approval.

They are planned as in the controller, from one snapshot of the table and the cluster, but without the limit and without
the evidence that an item is gone. The list contains everything that an approval can permit.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from gco_stream.admin.installation import Installation, connect
from gco_stream.admin.snapshot import snapshot
from gco_stream.aio.clock import utc_now
from gco_stream.cluster.leaderelection.record import LeaseRef, annotations_of
from gco_stream.cluster.pods import pods_of
from gco_stream.engine.deletion.approvals import APPROVED_ANNOTATION, MAX_APPROVED, approval_of, digest_of, entry_of
from gco_stream.engine.deletion.guard import unrequested_deletions
from gco_stream.engine.reconcile.endpoint_planner import ClusterView, EndpointPlanner
from gco_stream.model.endpoint import Endpoint, InvalidItem, read_endpoint
from gco_stream.planning.types.plan import Delete, Plan
from gco_stream.settings import LEASE_NAME, Settings

# apimachinery's limit on all annotations of one object, keys and values together.
_MAX_BYTES: Final = 256 * 1024


class NotApproved(Exception):
    """The list cannot be approved. The message says why."""


@dataclass(frozen=True, slots=True)
class PendingDeletion:
    """One endpoint that would be removed: why, its objects in the order of deletion, and its entry in an approval."""

    name: str
    why: str
    objects: tuple[str, ...]
    entry: str


@dataclass(frozen=True, slots=True)
class PendingDeletions:
    """The removals by name, at most as many as one approval can hold. `more`: the number of further removals.

    `unsynced`: namespaces that cannot be read, with the reason. The list has none of their objects.
    """

    deletions: tuple[PendingDeletion, ...]
    more: int
    unsynced: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The digest that identifies exactly this list."""
        return digest_of(removal.entry for removal in self.deletions)


async def pending_deletions(settings: Settings) -> PendingDeletions:
    """Returns what would be removed now. Changes nothing. Raises TableError, ClusterError."""
    async with connect(settings) as installation:
        return await _collect(installation)


async def approve(settings: Settings, digest: str) -> PendingDeletions:
    """Approves the current list for one hour if it has this digest, and returns it.

    Raises NotApproved, TableError, ClusterError.
    """
    async with connect(settings) as installation:
        pending = await _collect(installation)
        if not pending.deletions:
            raise NotApproved("no removals are pending")
        if digest != pending.digest:
            raise NotApproved(f"the list has changed since digest {digest!r:.40} was shown; review it again")
        path = LeaseRef(settings.inference_namespace, LEASE_NAME).path
        raw = await installation.client.request("GET", path)
        text = approval_of((removal.entry for removal in pending.deletions), time.time())
        annotations = {**annotations_of(raw), APPROVED_ANNOTATION: text}
        size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        if size > _MAX_BYTES:
            raise NotApproved(f"the Lease's annotations would have {size} bytes; at most {_MAX_BYTES} are allowed")
        # The UID ensures that no other Lease is annotated. There is no resourceVersion, because the holder changes it
        # every two seconds.
        patch = {"metadata": {"uid": raw["metadata"]["uid"], "annotations": {APPROVED_ANNOTATION: text}}}
        await installation.client.request(
            "PATCH",
            path,
            query={"fieldManager": "gco-stream-approve"},
            body=patch,
            content_type="application/merge-patch+json",
        )
        return pending


async def _collect(installation: Installation) -> PendingDeletions:
    policy = installation.policy
    cache = await snapshot(installation.client, policy.namespaces)
    # Read after the cluster, so that every object in the snapshot already has its item.
    items = {item["endpoint_name"]["S"]: item async for page in installation.table.scan() for item in page}

    def item_of(name: str) -> Endpoint | InvalidItem | None:
        return read_endpoint(items[name]) if name in items else None

    view = ClusterView(cache, partial(pods_of, installation.client, timeout=installation.settings.k8s_api_timeout))
    planner = EndpointPlanner(item_of, view, policy, utc_now, guard=None)
    found = []
    for name in sorted(items.keys() | cache.endpoint_names()):
        plan = planner.plan_now(name).plan
        if unrequested_deletions(plan):
            found.append(_pending_deletion(plan))
    return PendingDeletions(tuple(found[:MAX_APPROVED]), max(0, len(found) - MAX_APPROVED), cache.unsynced)


def _pending_deletion(plan: Plan) -> PendingDeletion:
    steps: Sequence[Delete] = [step for step in plan.steps if isinstance(step, Delete)]
    objects = tuple(str(step.ref) for step in steps)
    return PendingDeletion(
        plan.endpoint, steps[0].reason, objects, entry_of(plan.endpoint, unrequested_deletions(plan))
    )
