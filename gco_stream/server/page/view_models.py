"""View models: the data that the templates of the status page can show.

Times are in seconds since 1970 unless noted otherwise.
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
    """One endpoint in the list.

    `desired`: the desired state, "" if it is unknown. `state`: the state that this region reports. `ready` and
    `desired_replicas`: its replica counts. `reason` and `message`: why the endpoint is not in its desired state here,
    as a code and as text; "" if it is. `since`: since when it is not. `regions`: name and state of every region that
    is a target or has reported.
    """

    name: str
    desired: str
    state: str
    ready: int = 0
    desired_replicas: int = 0
    regions: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    message: str = ""
    since: float | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """All endpoints, sorted by name.

    `needs_attention`: those that are not in their desired state, errors first, then by age. `states`: the number
    of endpoints in each state. `regions`: the same for each region. `removals`: names whose removal waits for approval.
    """

    rows: tuple[Row, ...] = ()
    needs_attention: tuple[Row, ...] = ()
    states: tuple[tuple[str, int], ...] = ()
    regions: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    removals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that is being read or waits for its parent.

    `read_age`: seconds since the last read. `behind`: upper bound on the lag in seconds. Both are None before the first
    read.
    """

    id: str
    state: str
    last_sequence_number: str | None
    read_age: float | None
    behind: float | None


@dataclass(frozen=True, slots=True)
class Stream:
    """The state of the stream consumer.

    `mode`: stream or poll. `reason`: why it is in this mode. `records`: the number of records delivered. `errors`: the
    number of failed calls by operation. `poll_interval`: seconds.
    """

    mode: str
    reason: str
    arn: str = ""
    shards: tuple[Shard, ...] = ()
    records: int = 0
    errors: tuple[tuple[str, int], ...] = ()
    poll_interval: float = 0.0

    @property
    def behind(self) -> float | None:
        """Upper bound on the stream lag, in seconds. None if it is unknown."""
        known = [shard.behind for shard in self.shards if shard.behind is not None]
        return max(known, default=None)


@dataclass(frozen=True, slots=True)
class Site:
    """The state of this replica.

    `leader`: the holder of the Lease, "" if there is none. `since`: when the holder acquired the Lease. `is_working`:
    the workers have started. `stream`: None if this replica is not the leader. `resync_interval`: seconds.
    """

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
    """The last report of one region. `reported`: its time according to the item, None if there is no report."""

    region: str
    state: str
    text: str
    is_local: bool
    is_target: bool
    reported: float | None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """The status of one object.

    `status`: an ObjectState (see gco_stream.planning.explain.object_status) or UNKNOWN_OBJECT. `label`: the status as
    text.
    """

    kind: str
    namespace: str
    name: str
    status: str
    label: str
    message: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event about one of the objects."""

    at: float | None
    warning: bool
    reason: str
    about: str
    note: str
    source: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The details of one endpoint.

    `headline`: its state in one line. `reason`: the reason code if it is not in its desired state; "" if it is or if
    that is unknown. `known`: whether this replica knows the item. `desired`: the desired state as pairs of label and
    value. `events_problem`: why the Events cannot be listed, "" if they can.
    """

    name: str
    state: str
    headline: str
    in_desired_state: bool
    reason: str = ""
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
    """The data source of the page. `fleet` and `endpoint` yield to the event loop during long computations."""

    def site(self) -> Site:
        """Returns the current state of this replica."""

    def fleet(self) -> Awaitable[Fleet]:
        """Returns all endpoints."""

    def endpoint(self, name: str) -> Awaitable[Endpoint | None]:
        """Returns one endpoint, or None if nothing is known about the name."""
