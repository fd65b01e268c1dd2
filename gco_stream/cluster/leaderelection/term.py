"""One leadership term: how long it is valid, and how the leader's task ends."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Term:
    """Leadership term, from acquiring the Lease to its release or loss.

    `expiry` (end of the lease) and `deadline` (time by which it must be renewed) are local monotonic times in seconds.
    Both are computed from the time at which the last renewal was sent.
    """

    uid: str
    epoch: int
    began: datetime
    expiry: float
    deadline: float
    over: bool = False
    scope: asyncio.Timeout | None = None
    on_lease_change: Callable[[], None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the leader's task has been or is being cancelled."""
        return self.over or (self.scope is not None and self.scope.expired())

    def end(self) -> None:
        """Ends the term. The leader's task is cancelled in the next iteration of the event loop."""
        if not self.over:
            self.over = True
            self.extend(0.0)

    def extend(self, seconds: float) -> None:
        """Lets the leader's task run for `seconds` from now."""
        if self.scope is not None and not self.scope.expired():
            self.scope.reschedule(asyncio.get_running_loop().time() + seconds)
