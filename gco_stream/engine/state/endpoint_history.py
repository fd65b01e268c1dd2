"""Records of what happened to one endpoint. Times are in seconds since 1970."""

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Change:
    """The timestamps of an endpoint's last change, None if not reached or unknown.

    `clock` is the source of `changed`: the item's updated_at, or the stream's creation time (whole seconds). `ended`:
    the state that the change ended in, "" while it is in progress. `sequence_number`: "" if a table scan found the
    change. `counted`: whether its time to `applied` is in the metrics.
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

    `at`: the end of the last one. `took`: its duration in seconds. `sequence_number`: the stream record that triggered
    it, "" for other triggers. `lines`: what was done and reported.
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
    """The history of one endpoint, newest reconcile first. `out_of_sync_since`: None while it is in its desired
    state.
    """

    change: Change | None = None
    reconciles: tuple[Reconciled, ...] = ()
    out_of_sync_since: float | None = None
