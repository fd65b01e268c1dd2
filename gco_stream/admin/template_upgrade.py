"""Requests the newest pod template for a few endpoints of one cluster, by annotating their Deployments.

The controller observes the annotation and upgrades the template. An attribute of the item would instead restart the
pods in all regions at once.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gco_stream.admin.installation import connect
from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.objects import (
    collection_path,
    items_of,
    object_path,
    observe,
    ownership_of,
    upgraded_managed_fields,
)
from gco_stream.cluster.paging import LARGE_PAGE_SIZE, list_pages
from gco_stream.model import names
from gco_stream.model.item.endpoint import Endpoint, read_endpoint
from gco_stream.model.objects import Kind, ObjectRef, Observed, ObservedObject, Ownership
from gco_stream.planning.explain.template_upgrade import (
    EndpointUpgrade,
    OutdatedDeployment,
    UpgradeSelection,
    select,
    upgrade_of,
)
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings
from gco_stream.planning.types.policy import Policy
from gco_stream.settings import Settings
from gco_stream.table.endpoints import EndpointTable

_MERGE: Final = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """The result of an upgrade request.

    `version`: the requested version of the pod template. `exists`: False if the named endpoint has no valid item.
    """

    selection: UpgradeSelection
    version: int
    exists: bool = True


async def request_upgrade(
    settings: Settings,
    name: str | None,
    limit: int,
    *,
    dry_run: bool,
    on_each: Callable[[EndpointUpgrade], None],
    renderings: Renderings = RENDERINGS,
) -> UpgradeRequest:
    """Requests the newest pod template for the endpoint `name`, or for all endpoints if it is None.

    `on_each` gets each endpoint once its upgrade is requested (or would be: `dry_run`). Raises AWSError and
    ClusterError; earlier requests remain in effect.
    """
    async with connect(settings, renderings) as installation:
        client, table, policy = installation.client, installation.table, installation.policy
        items = [item async for item in _items(table, name)]
        live, owned = await _deployments(client, policy)
        now = datetime.now(UTC)
        found = [upgrade_of(item, _observed(item, live, policy), owned, now, policy) for item in items]
        selection = select(found, limit)
        for one in selection.selected:
            for outdated in one.outdated:
                if not dry_run:
                    await _annotate(client, outdated, renderings.current)
            on_each(one)
    return UpgradeRequest(selection, renderings.current, exists=name is None or bool(items))


async def _items(table: EndpointTable, name: str | None) -> AsyncIterator[Endpoint]:
    if name is not None:
        item = await table.get(name)
        found = read_endpoint(item) if item is not None else None
        if isinstance(found, Endpoint):
            yield found
        return
    async for page in table.scan():
        for item in page:
            found = read_endpoint(item)
            if isinstance(found, Endpoint):
                yield found


async def _deployments(
    client: KubeClient, policy: Policy
) -> tuple[dict[ObjectRef, ObservedObject], dict[ObjectRef, Ownership]]:
    """Returns the endpoints' Deployments, and the field ownership of each after its managedFields are upgraded."""
    found: dict[ObjectRef, ObservedObject] = {}
    owned: dict[ObjectRef, Ownership] = {}
    for namespace in policy.namespaces:
        path, query = collection_path(Kind.DEPLOYMENT, namespace), {"labelSelector": names.OWNED_SELECTOR}
        async for page in list_pages(client, path, query, page_size=LARGE_PAGE_SIZE):
            for raw in items_of(page):
                one = observe(raw, Kind.DEPLOYMENT)
                found[one.ref] = one
                owned[one.ref] = ownership_of(upgraded_managed_fields(raw["metadata"].get("managedFields") or []))
    return found, owned


def _observed(item: Endpoint, live: dict[ObjectRef, ObservedObject], policy: Policy) -> Observed:
    refs = (
        ObjectRef(Kind.DEPLOYMENT, namespace, name)
        for namespace in policy.namespaces
        for name in (item.name, names.canary_name(item.name))
    )
    return Observed({ref: live[ref] for ref in refs if ref in live})


async def _annotate(client: KubeClient, outdated: OutdatedDeployment, version: int) -> None:
    # The UID is a precondition: a Deployment that was recreated in the meantime already has the newest template.
    patch = {"metadata": {"uid": outdated.uid, "annotations": {names.UPGRADE_ANNOTATION: str(version)}}}
    await client.request(
        "PATCH",
        object_path(outdated.ref),
        query={"fieldManager": names.CLI_FIELD_MANAGER},
        body=patch,
        content_type=_MERGE,
    )
