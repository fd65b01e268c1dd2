"""Records of a stream: which item changed, and its images before and after the change."""

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

    `new` and `old` are images in wire form, None if the change or the stream's view type has none. `created` is rounded
    by DynamoDB to a second (DynamoDB Local: a minute), so use it for lag, never for order.
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
