"""Faults that replace the response to a call."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error response of DynamoDB; the operation is not performed."""

    code: str
    message: str = "scripted"


@dataclass(frozen=True, slots=True)
class Body:
    """A foreign body, such as a proxy's page; the operation is not performed."""

    text: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Hang:
    """No response at all; the operation is not performed."""


@dataclass(frozen=True, slots=True)
class Slow:
    """The correct response, delayed by `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The correct response, truncated to `share` of its bytes by a closed connection; 0 loses it completely."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Empty:
    """GetRecords returns no records and an iterator for the same position, which DynamoDB may do at any time."""


Misfortune = Refuse | Body | Hang | Slow | Cut | Empty


@dataclass(slots=True)
class Fault:
    """`misfortune` for the next `times` calls of `operation`, for one shard or for all ("")."""

    operation: str
    misfortune: Misfortune
    shard: str = ""
    times: int = 1


@dataclass(slots=True)
class Faults:
    """A script of faults. The first one that matches a call is applied to it."""

    script: list[Fault] = field(default_factory=list)

    def of(self, operation: str, shard: str) -> Misfortune | None:
        for fault in self.script:
            if fault.operation == operation and fault.shard in {"", shard}:
                fault.times -= 1
                if not fault.times:
                    self.script.remove(fault)
                return fault.misfortune
        return None


@dataclass(frozen=True, slots=True)
class Reply:
    """A response on the wire. The connection is closed after `share` of the body; 1 is all of it."""

    status: int
    body: bytes
    share: float = 1.0


@dataclass(slots=True)
class Call:
    """A call and its response; times are in the server's seconds.

    `outcome`: "ok", DynamoDB's error code, the fault's name, or "" while there is no response. `limited`: the call
    exceeded the server's own limits. `answer`: the content of the response, None for errors.
    """

    operation: str
    parameters: dict[str, Any]
    shard: str
    began: float
    ended: float | None = None
    outcome: str = ""
    limited: bool = False
    answer: dict[str, Any] | None = None

    @property
    def arrived(self) -> bool:
        """Whether the client has received the response."""
        return self.answer is not None and self.outcome in {"ok", "Slow", "Empty"} and self.ended is not None
