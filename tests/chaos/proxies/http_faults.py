"""The faults that the proxy can inject, and the requests that it sees, as values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from multidict import CIMultiDictProxy


@dataclass(frozen=True, slots=True)
class Request:
    """A request as received. DynamoDB's operation is in `headers["X-Amz-Target"]`; header names ignore case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def is_watch(self) -> bool:
        """Whether the request opens a Kubernetes watch."""
        return self.query.get("watch") in {"true", "1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Responds in place of the server, which does not receive the request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hang:
    """Never responds; the server does not receive the request."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Resets the client's connection (RST); the server does not receive the request."""


@dataclass(frozen=True, slots=True)
class LoseResponse:
    """Sends the request to the server, `late` seconds later, even if the client has gone, and resets the client's
    connection.
    """

    late: float = 0.0


@dataclass(frozen=True, slots=True)
class Swallow:
    """Sends the request to the server; the client never receives the response."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Forwards the request after this many seconds, if the client still waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Trickle:
    """Sends the response at this rate."""

    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class CutAfter:
    """Resets the connection after this many bytes of the response body."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Sends the response headers and this many bytes of the body, then nothing; the connection stays open."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Changes the whole response body: invalid, truncated or different data. Not for watches."""

    change: Callable[[bytes], bytes]


Action = Answer | Hang | Reset | LoseResponse | Swallow | Delay | Trickle | CutAfter | Silence | Rewrite


@dataclass
class Fault:
    """A fault for the requests that `matches`: a random `share` of them, or the first `times` if set.

    `matches` is called in the proxy's thread.
    """

    name: str
    matches: Callable[[Request], bool]
    does: Action
    share: float = 1.0
    times: int | None = None


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request that arrived: at which time (time.monotonic), and which fault affected it ("" for none)."""

    at: float
    method: str
    path: str
    query: Mapping[str, str]
    target: str
    agent: str
    fault: str

    @property
    def is_watch(self) -> bool:
        """Whether the request opened a Kubernetes watch."""
        return self.query.get("watch") in {"true", "1"}
