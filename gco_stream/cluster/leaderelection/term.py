"""One time of leading, from taking the Lease to its release or loss: what is proven of it, and the end of its task."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Term:
    """A time of leading. `expiry` and `deadline` are local monotonic times, counted from before the last proof."""

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
        """Whether the leader's task has been, or is being, cancelled."""
        return self.over or (self.scope is not None and self.scope.expired())

    def end(self) -> None:
        """Nothing is proven any more: the leader's task is cancelled as soon as the loop turns."""
        if not self.over:
            self.over = True
            self.extend(0.0)

    def extend(self, seconds: float) -> None:
        """The leader's task may run for so long from now."""
        if self.scope is not None and not self.scope.expired():
            self.scope.reschedule(asyncio.get_running_loop().time() + seconds)
