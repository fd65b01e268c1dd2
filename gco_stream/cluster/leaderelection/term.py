"""One leadership term, from acquiring the Lease to its release or loss: how long it is valid, and how its task ends."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Term:
    """Leadership term. `expiry` and `deadline` are local monotonic times, counted from before the last renewal."""

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
        """End the term: the leader's task is cancelled in the event loop's next iteration."""
        if not self.over:
            self.over = True
            self.extend(0.0)

    def extend(self, seconds: float) -> None:
        """Let the leader's task run for `seconds` from now."""
        if self.scope is not None and not self.scope.expired():
            self.scope.reschedule(asyncio.get_running_loop().time() + seconds)
