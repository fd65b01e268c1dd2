"""The faults that the proxy before a server can inject, as values: what a request is, and what may become of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from multidict import CIMultiDictProxy


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived. DynamoDB's operation is `headers["X-Amz-Target"]`; header names in any case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def is_watch(self) -> bool:
        """Whether it opens a watch of the Kubernetes API."""
        return self.query.get("watch") in {"true", "1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The proxy answers itself; the server never hears of the request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, ever; the server never hears of the request."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The client's connection is reset (RST); the server never hears of the request."""


@dataclass(frozen=True, slots=True)
class LoseResponse:
    """The server does it, `observe_delay` seconds later and even if nobody waits any more; the client's connection is
    reset.
    """

    late: float = 0.0


@dataclass(frozen=True, slots=True)
class Swallow:
    """The server does it, and the client waits for an answer that never comes."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Passed on so many seconds later, if the client still waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Trickle:
    """The answer comes this slowly."""

    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class CutAfter:
    """The connection is reset after so many bytes of the answer's body."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Silence:
    """The answer's headers and so many bytes of its body pass, then nothing more; the connection stays open."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The answer's whole body is changed: garbage, half of it, another number. Not for watches."""

    change: Callable[[bytes], bytes]


Action = Answer | Hang | Reset | LoseResponse | Swallow | Delay | Trickle | CutAfter | Silence | Rewrite


@dataclass
class Fault:
    """What is done to the requests that `matches`: to a random `share` of them, to the first `times` where given.

    `matches` is called in the proxy's thread.
    """

    name: str
    matches: Callable[[Request], bool]
    does: Action
    share: float = 1.0
    times: int | None = None


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request that has arrived: when (time.monotonic), and which fault struck it ("": none)."""

    at: float
    method: str
    path: str
    query: Mapping[str, str]
    target: str
    agent: str
    fault: str

    @property
    def is_watch(self) -> bool:
        """Whether it opened a watch of the Kubernetes API."""
        return self.query.get("watch") in {"true", "1"}
