"""What the page shows, as plain values: whoever fills them in decides what may be seen.

Times are in seconds since 1970 where nothing else is said.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gco_stream.engine.state.endpoint_history import EndpointHistory

NOT_REPORTED: Final = "not reported"
ELSEWHERE: Final = "elsewhere"
UNREADABLE: Final = "unreadable"
UNKNOWN_OBJECT: Final = "Unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint at a glance. `reason`: the code of why it is not in its desired state here, "" where it is;
    `message`: the same for people; `since`: for how long.

    `regions`: every region that is asked for or has reported, and what it reported.
    """

    name: str
    desired: str
    state: str
    ready: int = 0
    replicas_desired: int = 0
    regions: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    message: str = ""
    since: float | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """Every endpoint, by name. `out_of_sync`: those that are not as asked, errors first, the longest time first.

    `states`, `regions`: how many there are of each. `removals`: names whose removal waits for approval.
    """

    rows: tuple[Row, ...] = ()
    out_of_sync: tuple[Row, ...] = ()
    states: tuple[tuple[str, int], ...] = ()
    regions: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    removals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that is read, or waits for its parent's end. `read_age`, `behind`: seconds, None before a first read."""

    id: str
    state: str
    last_sequence_number: str | None
    read_age: float | None
    behind: float | None


@dataclass(frozen=True, slots=True)
class Stream:
    """How changes arrive. `reason` says in words why `mode` is what it is; `errors`: failed calls by name."""

    mode: str
    reason: str
    arn: str = ""
    shards: tuple[Shard, ...] = ()
    records: int = 0
    errors: tuple[tuple[str, int], ...] = ()
    poll_interval: float = 0.0

    @property
    def behind(self) -> float | None:
        """At most so many seconds ago something may have been written that is not delivered yet."""
        known = [shard.behind for shard in self.shards if shard.behind is not None]
        return max(known, default=None)


@dataclass(frozen=True, slots=True)
class Site:
    """This replica. `leader`: who holds the Lease, "" nobody. `stream` None: this replica does not read it."""

    version: str
    cluster: str
    region: str
    identity: str
    leader: str = ""
    leading: bool = False
    since: float | None = None
    is_working: bool = False
    problems: tuple[str, ...] = ()
    stream: Stream | None = None
    queue: int = 0
    processing: int = 0
    last_scan: float | None = None
    resync_interval: float = 0.0


@dataclass(frozen=True, slots=True)
class RegionRow:
    """What one region reported last, in words. `reported`: when, as the item says it."""

    region: str
    state: str
    text: str
    is_local: bool
    is_target: bool
    reported: float | None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object and what becomes of it. `state`: a code of gco_stream.planning.explain.object_status, `text` for
    people.
    """

    kind: str
    namespace: str
    name: str
    state: str
    text: str
    message: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event on one of the objects."""

    at: float | None
    warning: bool
    reason: str
    about: str
    note: str
    source: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. `headline`: whether it is as asked, in words. `known`: the table's item is known to this replica.

    `events_problem`: why the Events cannot be shown, "" where they can.
    """

    name: str
    state: str
    headline: str
    in_desired_state: bool
    known: bool = True
    held: bool = False
    desired: tuple[tuple[str, str], ...] = ()
    reports: tuple[RegionRow, ...] = ()
    objects: tuple[ObjectRow, ...] = ()
    plan: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    history: EndpointHistory = field(default_factory=EndpointHistory)
    events: tuple[Event, ...] = ()
    events_problem: str = ""


class Source(Protocol):
    """Where the page gets its values from. `fleet` and `endpoint` give the loop back while they are at it."""

    def site(self) -> Site:
        """This replica, now."""

    def fleet(self) -> Awaitable[Fleet]:
        """All endpoints."""

    def endpoint(self, name: str) -> Awaitable[Endpoint | None]:
        """One of them, None where nothing is known of that name."""
