"""View models of the status page. The code that fills them in decides what is visible.

Times are in seconds since 1970, unless noted otherwise.
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

    `desired`: the desired state. `state`: the state that this region reports. `reason`: the code of why the endpoint is
    not in its desired state here, "" if it is, and `message` the explanation. `since`: since when. `regions`: every
    region that is a target or has reported, with its state.
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
    """All endpoints, by name.

    `needs_attention`: those that are not in their desired state, errors first, then by age. `states` and `regions`:
    the number of endpoints for each. `removals`: names whose removal waits for approval.
    """

    rows: tuple[Row, ...] = ()
    needs_attention: tuple[Row, ...] = ()
    states: tuple[tuple[str, int], ...] = ()
    regions: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    removals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that is read or waits for its parent. `read_age`, `behind`: in seconds, None before the first read."""

    id: str
    state: str
    last_sequence_number: str | None
    read_age: float | None
    behind: float | None


@dataclass(frozen=True, slots=True)
class Stream:
    """How changes arrive. `mode` is stream or poll, and `reason` explains why. `errors`: failed calls by operation."""

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
    """This replica. `leader`: the holder of the Lease, "" if none. `stream`: None if this replica does not read it."""

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
    """The last report of one region. `reported`: its time, according to the item."""

    region: str
    state: str
    text: str
    is_local: bool
    is_target: bool
    reported: float | None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """The status of one object. `status`: a code of gco_stream.planning.explain.object_status. `label`: its display
    name.
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
    """One endpoint.

    `headline`: its state in one line. `reason`: the code of why it is not in its desired state, "" if it is or if that
    is unknown. `known`: whether this replica knows the item. `desired`: the desired state, by label. `events_problem`:
    why the Events cannot be listed, "" if they are.
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
    """Provides the page's values. `fleet` and `endpoint` yield to the event loop during long computations."""

    def site(self) -> Site:
        """The current state of this replica."""

    def fleet(self) -> Awaitable[Fleet]:
        """All endpoints."""

    def endpoint(self, name: str) -> Awaitable[Endpoint | None]:
        """One endpoint, None if nothing is known about the name."""
