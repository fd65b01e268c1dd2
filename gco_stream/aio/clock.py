"""The two clocks of the process, passed to whatever depends on time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Returns the current time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic`: seconds, for intervals. `now`: the wall clock with a time zone, for what outlives this process."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = utc_now
