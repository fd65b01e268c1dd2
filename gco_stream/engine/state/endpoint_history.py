"""Records of what happened to one endpoint. Times are in seconds since 1970."""

from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True)
class Change:
    """The moments of an endpoint's last change; None: not yet, or not known.

    `clock`: whose `changed` is: the item's updated_at, or the stream's (whole seconds). `ended`: what became of it, ""
    while it is under way. `sequence_number`: "" where a scan found it. `counted`: its time to `applied` is in the
    metrics.
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
    """One reconcile, or `times` of them in a row that were alike: `at` is the last one's end, `took` in seconds.

    `sequence_number`: of the stream's record that led to it, "" where something else did. `lines`: what was done and
    what is reported, in words.
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
    """What is remembered of one endpoint, the newest reconcile first. `out_of_sync_since`: None while it is as
    asked.
    """

    change: Change | None = None
    reconciles: tuple[Reconciled, ...] = ()
    out_of_sync_since: float | None = None
