"""Parsing of stream records: which item changed, and its images before and after the change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from gco_stream.model.wire import WireItem

Event = Literal["INSERT", "MODIFY", "REMOVE"]

_KEY: Final = "endpoint_name"


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One change of one item.

    `name` is the name of the endpoint. `new` and `old` are images in DynamoDB's wire format. An image is None if it
    does not exist or if the stream's view type excludes it. DynamoDB rounds `created` to a second, and DynamoDB Local
    to a minute: use it to measure lag, never to order records.
    """

    name: str
    event: Event
    new: WireItem | None
    old: WireItem | None
    sequence_number: str
    shard_id: str
    created: datetime | None


def record_of(raw: Mapping[str, Any], shard_id: str) -> StreamRecord:
    """Parses a record returned by GetRecords. Raises ValueError if it is malformed."""
    try:
        change = raw["dynamodb"]
        name, sequence_number, event = change["Keys"][_KEY]["S"], change["SequenceNumber"], raw["eventName"]
        new, old, created = map(change.get, ("NewImage", "OldImage", "ApproximateCreationDateTime"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a stream record of the table of endpoints: {error!r}") from None
    if event not in get_args(Event):
        raise ValueError(f"not an event of a stream record: {event!r:.40}")
    if isinstance(created, int | float):
        created = datetime.fromtimestamp(created, UTC)
    return StreamRecord(name, event, new, old, sequence_number, shard_id, created)
