"""What a call may meet instead of its answer."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error of DynamoDB's; nothing is done."""

    code: str
    message: str = "scripted"


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of somebody's, a proxy's page for instance; nothing is done."""

    text: str
    status: int = 200


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer, ever; nothing is done."""


@dataclass(frozen=True, slots=True)
class Slow:
    """The right answer, so many seconds late."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The right answer up to this share of its bytes, then the connection is cut. At 0 it is lost as a whole."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Empty:
    """GetRecords answers with no record and an iterator for the same place, which DynamoDB may do at any time."""


Misfortune = Refuse | Body | Hang | Slow | Cut | Empty


@dataclass(slots=True)
class Fault:
    """`misfortune` for the next `times` calls of `operation`, of one shard or of all ("")."""

    operation: str
    misfortune: Misfortune
    shard: str = ""
    times: int = 1


@dataclass(slots=True)
class Faults:
    """A script of faults: the first that concerns a call is what it meets."""

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
    """An answer on the wire. Of the body so much as `share` is sent before the connection is cut; 1 is all of it."""

    status: int
    body: bytes
    share: float = 1.0


@dataclass(slots=True)
class Call:
    """A call as it was made and answered; times in the server's seconds.

    `outcome`: "ok", DynamoDB's name of an error, the misfortune's name, or "" while there is no answer. `limited`: it
    was one too many for the server's own limits. `answer`: what was done and told, None for errors.
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
        """Whether the client has the answer."""
        return self.answer is not None and self.outcome in {"ok", "Slow", "Empty"} and self.ended is not None
