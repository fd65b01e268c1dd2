"""List of the removals that no item requests, for review and approval.

The removals are planned as in the controller, from one snapshot of the table and the cluster. The deletion budget and
the evidence that an item is gone are ignored, so the list contains every removal that an approval can permit.
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
from gco_stream.engine.state.ingress_paths import IngressPaths
from gco_stream.model.item.endpoint import Endpoint, InvalidItem, read_endpoint
from gco_stream.planning.types.plan import Plan
from gco_stream.planning.types.steps import Delete
from gco_stream.settings import LEASE_NAME, Settings

# The API server's limit on the annotations of one object: the total size of all keys and values.
_MAX_BYTES: Final = 256 * 1024


class NotApproved(Exception):
    """Error for a list that cannot be approved. The message gives the reason."""


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
    """Returns the removals that are pending now. Changes nothing. Raises AWSError and ClusterError."""
    async with connect(settings) as installation:
        return await _collect(installation)


async def approve(settings: Settings, digest: str) -> PendingDeletions:
    """Approves the current list for one hour if its digest is `digest`, and returns the list.

    Raises NotApproved, AWSError, ClusterError.
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
        # The UID prevents the annotation of a Lease that was recreated in the meantime. A resourceVersion would cause
        # conflicts, because the holder renews the Lease every two seconds.
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
    # Items are read after the cluster. Otherwise, the objects of an item created in between would look orphaned.
    items = {item["endpoint_name"]["S"]: item async for page in installation.table.scan() for item in page}

    def item_of(name: str) -> Endpoint | InvalidItem | None:
        return read_endpoint(items[name]) if name in items else None

    view = ClusterView(cache, partial(pods_of, installation.client, timeout=installation.settings.k8s_api_timeout))
    # Removals do not depend on the ingress paths of other items.
    planner = EndpointPlanner(item_of, IngressPaths(), view, policy, utc_now, guard=None)
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
