"""Lists of the Kubernetes API, read page by page."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Final

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.errors import ServerError
from gco_stream.model.objects import JsonObject

# All watched collections are listed at the same time, and a page's dicts take megabytes: pages of 500 cost 30 MiB
# permanently.
PAGE_SIZE: Final = 100
# For lists that are read one at a time.
LARGE_PAGE_SIZE: Final = 250


async def list_pages(
    client: KubeClient,
    path: str,
    query: Mapping[str, str],
    *,
    page_size: int = PAGE_SIZE,
    max_pages: int | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - for each page
    deadline: float | None = None,
) -> AsyncIterator[JsonObject]:
    """Yields the pages of a list, all of the same resourceVersion, or only the first `max_pages`.

    `timeout`: seconds for each page. `deadline`: for all pages together, in the running loop's time, instead of
    `timeout`. Raises ClusterError.
    """
    clock = asyncio.get_running_loop().time
    query = {**query, "limit": str(page_size)}
    for number in itertools.count(1):
        limit = timeout if deadline is None else deadline - clock()
        page = await client.request("GET", path, query=query, timeout=limit)
        following = (page.get("metadata") or {}).get("continue")
        yield page
        if not following or number == max_pages:
            return
        if following == query.get("continue"):
            raise ServerError(200, "", f"{path}: the list returned the same continue token twice")
        query = {**query, "continue": str(following)}
