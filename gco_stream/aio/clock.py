"""Monotonic and wall clock, which are passed to code that depends on the time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Returns the current time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """A monotonic clock and a wall clock.

    `monotonic` returns seconds and is used for intervals. `now` returns an aware datetime and is used for times that
    outlive this process.
    """

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = utc_now
