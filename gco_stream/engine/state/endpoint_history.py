"""Records of what happened to one endpoint. Times are in seconds since 1970."""

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Change:
    """The last change of an endpoint. A time is None if it is unknown or has not been reached.

    `event`: INSERT, MODIFY, REMOVE or scan. `sequence_number`: "" if a table scan found the change. `read`: when this
    process learned of the change. `clock`: the source of `changed`, which is the item's updated_at or the stream's
    creation time (whole seconds). `ended`: the state in which the change ended, "" while it is in progress. `counted`:
    whether the time from `changed` to `applied` has been handed to the metrics.
    """

    event: str
    sequence_number: str
    read: float
    changed: float | None = None
    clock: Literal["item", "stream", ""] = ""
    applied: float | None = None
    ready: float | None = None
    ended: str = ""
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One reconcile, or `times` identical ones in a row.

    `at`: when the last one ended. `took`: the duration of the last one in seconds. `sequence_number`: the stream record
    that triggered the reconcile, "" for other triggers. `lines`: the steps, the errors and the report as text.
    """

    at: float
    times: int
    result: str
    triggers: tuple[str, ...]
    sequence_number: str
    took: float
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndpointHistory:
    """The history of one endpoint, newest reconcile first.

    `out_of_sync_since`: None if the endpoint is in its desired state.
    """

    change: Change | None = None
    reconciles: tuple[Reconciled, ...] = ()
    out_of_sync_since: float | None = None
