"""A one-time snapshot of the cluster, for commands that do not watch it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.cache.cluster_cache import ClusterCache

_SYNC_SECONDS: Final = 60.0


async def snapshot(client: KubeClient, namespaces: Sequence[str]) -> ClusterCache:
    """Returns a cache of the live objects. Its `unsynced` has the namespaces not listed within a minute."""
    cache = ClusterCache(client, namespaces, lambda _: None)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(cache.run(), name="cache")
        with suppress(TimeoutError):
            async with asyncio.timeout(_SYNC_SECONDS):
                await cache.wait_settled()
        watching.cancel()
    return cache
