"""Reader of the Kubernetes Events about given objects, from any controller; used when a user views an endpoint."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from gco_stream.cluster.api.client import KubeClient
from gco_stream.cluster.api.objects import items_of
from gco_stream.model.objects import JsonObject
from gco_stream.model.text import truncate

_LIMIT: Final = 100
_MAX_NOTE_LENGTH: Final = 600
_MAX_FIELD_LENGTH: Final = 128


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """A Kubernetes Event.

    `at`: when it was last observed, in RFC 3339 ("" if unknown). `about`: the object, as Kind/name. `source`: the
    reporting controller.
    """

    at: str
    type: str
    reason: str
    about: str
    note: str
    source: str
    count: int


async def list_events(
    client: KubeClient,
    namespace: str,
    names: Iterable[str],
    *,
    timeout: float,  # noqa: ASYNC109 - for each call, including the wait for a connection
) -> tuple[ListedEvent, ...]:
    """Returns the Events about objects with these names, newest first, at most 100 per name. Raises ClusterError."""

    async def of(name: str) -> JsonObject:
        query = {"fieldSelector": f"regarding.name={name}", "limit": str(_LIMIT)}
        path = f"/apis/events.k8s.io/v1/namespaces/{quote(namespace)}/events"
        return await client.request("GET", path, query=query, timeout=timeout)

    pages = await asyncio.gather(*map(of, names))
    found = [_listed_event(item) for page in pages for item in items_of(page)]
    return tuple(sorted(found, key=lambda event: event.at, reverse=True))


def _listed_event(item: JsonObject) -> ListedEvent:
    series = item.get("series") or {}
    regarding = item.get("regarding") or {}
    times = (series.get("lastObservedTime"), item.get("deprecatedLastTimestamp"), item.get("eventTime"))
    created = (item.get("metadata") or {}).get("creationTimestamp")
    return ListedEvent(
        at=str(next((time for time in (*times, created) if time), "")),
        type=str(item.get("type") or ""),
        reason=_text(item.get("reason"), _MAX_FIELD_LENGTH),
        about=_text(f"{regarding.get('kind')}/{regarding.get('name')}", 2 * _MAX_FIELD_LENGTH),
        note=_text(item.get("note"), _MAX_NOTE_LENGTH),
        source=_text(item.get("reportingController"), _MAX_FIELD_LENGTH),
        count=_count(series.get("count"), item.get("deprecatedCount")),
    )


def _text(value: Any, longest: int) -> str:
    return truncate(value, longest) if isinstance(value, str) else ""


def _count(*counts: Any) -> int:
    return next((count for count in counts if isinstance(count, int) and count > 0), 1)
