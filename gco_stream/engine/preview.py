"""What would be done, and why, without doing it: the plans of some or all endpoints, from one look."""

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from gco_stream.cluster.cache import ClusterCache
from gco_stream.cluster.client import KubeClient
from gco_stream.engine.controller import policy_of
from gco_stream.engine.reconciler import not_known
from gco_stream.model import names
from gco_stream.model.endpoint import Endpoint, Unreadable, read_endpoint
from gco_stream.planning.plan import plan
from gco_stream.planning.policy import Fleet
from gco_stream.planning.steps import Plan
from gco_stream.settings import Settings
from gco_stream.table.clients import table_client
from gco_stream.table.endpoints import EndpointTable

_SYNC_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Preview:
    """The plans made, and what stood in the way of more.

    `items` by name, None where the table has no item of the name; the others are in `plans` or, with the reason, in
    `unknown`, where what stands of them cannot be read. `unclaimed`: names of endpoints whose objects stand in the
    cluster without an item. `blind`: namespaces that cannot be read, and why.
    """

    items: dict[str, Endpoint | Unreadable | None]
    plans: dict[str, Plan]
    unknown: dict[str, str]
    unclaimed: tuple[str, ...]
    blind: dict[str, str]


async def preview(settings: Settings, wanted: Collection[str] | None) -> Preview:
    """Plans for the named endpoints, or for all. Reads only. Raises TableError, ClusterError."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(KubeClient.connect(timeout=settings.k8s_api_timeout))
        dynamodb = await stack.enter_async_context(
            table_client(settings.home_region, timeout=settings.dynamodb_timeout_seconds, connections=4)
        )
        table = EndpointTable(dynamodb, settings.inference_endpoints_table_name)
        info = await table.describe()
        items = await _items(table, wanted)
        cache = ClusterCache(client, settings.namespaces, lambda _: None)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(cache.run(), name="cache")
            # What has not been listed by then is told as such.
            with suppress(TimeoutError):
                async with asyncio.timeout(_SYNC_SECONDS):
                    await cache.wait_settled()
            watching.cancel()
        policy, now = policy_of(settings, info.arn), datetime.now(UTC)
        plans, unknown, blind = {}, {}, cache.unsynced
        for name, item in items.items():
            if item is None:
                continue
            if reason := not_known(item, blind, policy):
                unknown[name] = reason
            else:
                canary = names.canary_name(name)
                claimed = canary in items if wanted is None else await table.get(canary) is not None
                fleet = Fleet(claimed=frozenset({canary}) if claimed else frozenset())
                plans[name] = plan(item, cache.observed(name), fleet, now, policy)
        unclaimed = sorted(cache.endpoint_names() - items.keys()) if wanted is None else []
        return Preview(items, plans, unknown, tuple(unclaimed), blind)


async def _items(table: EndpointTable, wanted: Collection[str] | None) -> dict[str, Endpoint | Unreadable | None]:
    found: dict[str, Endpoint | Unreadable | None] = {}
    if wanted is not None:
        for name in wanted:
            item = await table.get(name)
            found[name] = None if item is None else read_endpoint(item)
        return found
    async for page in table.scan():
        for item in page:
            found[item["endpoint_name"]["S"]] = read_endpoint(item)
    return found
